#pragma once
// A record batch as an SQLite virtual table, so that a batch is written by one statement:
//   INSERT INTO t (…) SELECT c0, c1, … FROM _tidegate_batch
// One statement keeps the destination's cursor open and calls back once per value; a statement per
// row, bound and stepped, costs about half as much again (docs/benchmarks.md).

#include <arrow/type_fwd.h>
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/types.h"

namespace tidegate::engine::sqlite {

// How one column's values become SQLite values.
struct Encoder;

// The table exists in `db` as `_tidegate_batch` while this lives. Not thread-safe.
class BatchTable {
 public:
  // `targets[i]` is the type of the destination's column for field i: text, for one, takes any
  // value as text.
  static Result<std::unique_ptr<BatchTable>> create(Db& db, const arrow::Schema& schema,
                                                    const std::vector<ColumnType>& targets);
  ~BatchTable();
  BatchTable(const BatchTable&) = delete;
  BatchTable& operator=(const BatchTable&) = delete;

  // Shows `batch`. REQUIRES: the schema given to create(); `batch` outlives its use.
  Status show(const arrow::RecordBatch& batch);
  // Only these rows, [begin, end).
  void show_range(std::int64_t begin, std::int64_t end);

  // Rows of the batch that hold a value SQLite cannot store in its column (row, why), ascending.
  // Looked at before anything is written.
  std::vector<std::pair<std::int64_t, std::string>> unstorable() const;

  // Implementation, for the module's callbacks.
  struct State;

 private:
  explicit BatchTable(Db& db);

  Db& db_;
  std::unique_ptr<State> state_;
};

}  // namespace tidegate::engine::sqlite
