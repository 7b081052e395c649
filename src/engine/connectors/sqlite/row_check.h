#pragma once
// What of a load's rows the table would not take, found without writing: for a dry run.

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/connectors/sqlite/batch_table.h"
#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/layout.h"
#include "engine/core/destination.h"

namespace tidegate::engine::sqlite {

// A table in memory with the user's own definition of one (NOT NULL, CHECK, unique indexes), into
// which a batch is written and undone. So what compares a row with rows that are there, or with
// those of another batch, is not known, and triggers do not run. A row that a later one of its key
// replaces is judged, too.
class TableTwin {
 public:
  // nullptr: the table has no rules of its own, or some that hold only in its database (a function
  // of the program that made it).
  static Result<std::unique_ptr<TableTwin>> make(Db& db, const std::string& table,
                                                 const TableLayout& now, const LoadPlan& load,
                                                 const LayoutChange& change, std::stop_token stop);

  // Adds the rows that it refuses. `batch`: of the written columns; without the `left_out` rows,
  // ascending.
  Status check(const arrow::RecordBatch& batch, const std::vector<std::int64_t>& left_out,
               std::vector<RowCheck::Refused>& refused);

 private:
  explicit TableTwin(std::unique_ptr<Db> db) : db_(std::move(db)) {}
  Status insert(std::int64_t begin, std::int64_t end, std::vector<RowCheck::Refused>& refused);

  std::unique_ptr<Db> db_;
  std::unique_ptr<BatchTable> batch_;  // before insert_, which reads it
  Stmt insert_;
};

// As SqliteWriter::write(). `twin` may be nullptr.
Result<std::unique_ptr<RowCheck>> make_row_check(const LoadPlan& load, const LayoutChange& change,
                                                 std::unique_ptr<TableTwin> twin);

}  // namespace tidegate::engine::sqlite
