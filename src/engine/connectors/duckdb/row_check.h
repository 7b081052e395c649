#pragma once
// Which rows of a load the table cannot hold, told before they are written: DuckDB has no
// savepoints, so a row that it refuses takes the whole load with it.

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/layout.h"
#include "engine/connectors/duckdb/values.h"
#include "engine/core/destination.h"

namespace tidegate::engine::duckdb {

// The SQL that makes a value of the column of a handed one.
std::string cast_of(const std::string& value, const ColumnType& from, const ColumnType& to);

// Values that only DuckDB can judge: JSON, and casts that may bend one.
class CastCheck {
 public:
  // nullptr: the load has none. `db`: a connection of its own.
  static Result<std::unique_ptr<CastCheck>> make(std::unique_ptr<Db> db,
                                                 const LayoutChange& change);
  static bool needed(const LayoutChange& change);

  // Adds the rows that do not fit.
  Status check(const arrow::RecordBatch& handed, std::vector<RowCheck::Refused>& refused);

 private:
  explicit CastCheck(std::unique_ptr<Db> db) : db_(std::move(db)) {}

  std::unique_ptr<Db> db_;
  std::vector<std::string> whys_;  // by column
  std::string create_, select_;
};

// All refusals of a batch: values, casts, and NULLs where the table takes none.
Status check_rows(const LayoutChange& change, CastCheck* casts, Handed& handed);

// As DuckdbWriter::write().
Result<std::unique_ptr<RowCheck>> make_row_check(const LoadPlan& load, const LayoutChange& change,
                                                 const Context& context);

}  // namespace tidegate::engine::duckdb
