#pragma once
// From SQLite's dynamically typed cells to Arrow columns.

#include <arrow/type_fwd.h>
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "engine/connectors/sqlite/types.h"

namespace tidegate::engine::sqlite {

// Builds one column of a batch. A cell that cannot be held exactly is refused, never bent.
class CellColumn {
 public:
  virtual ~CellColumn() = default;
  // Appends the cell; on refusal appends NULL in its place and returns why. An empty text: taken.
  virtual std::string append(sqlite3_stmt* stmt, int column) = 0;
  virtual Result<std::shared_ptr<arrow::Array>> finish() = 0;

  static Result<std::unique_ptr<CellColumn>> make(const ColumnType& type);
};

// A cell as text for people: `'abc'`, `12`, `NULL`, `3 bytes`.
std::string cell_words(sqlite3_stmt* stmt, int column);

// Shortest text that reads back as the same number.
std::string real_text(double v);

// The 15 digits that a floating-point number is sure of, when theirs is the number beside it:
// SQLite itself turns some literals of few digits into their neighbour (3.40: 0.609153), and sums
// end there too. nullopt: it holds more.
std::optional<std::string> sure_digits(double v);

}  // namespace tidegate::engine::sqlite
