#pragma once
// One entity's rows into one SQLite table, in one transaction per commit.
//
// Replace and Append write into the table inside the transaction: readers see the old rows until
// COMMIT (WAL) and never a part. Merge collects the rows in a temporary table first, so the
// database is locked only while they are merged.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/connectors/sqlite/batch_table.h"
#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/functions.h"
#include "engine/connectors/sqlite/layout.h"
#include "engine/connectors/sqlite/ledger.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::sqlite {

// BEGIN IMMEDIATE, waiting for other writers; Unavailable when they do not finish, Cancelled on
// stop.
Status begin_write(Db& db, const Context& context);

class SqliteWriter final : public Writer {
 public:
  // REQUIRES: `claim` was made; db outlives this and is used by nobody else meanwhile.
  SqliteWriter(Db& db, const Context& context, WritePlan plan, Claim claim, WriterState state)
      : db_(db),
        context_(context),
        ledger_(db),
        plan_(std::move(plan)),
        claim_(std::move(claim)),
        state_(std::move(state)) {}
  ~SqliteWriter() override { undo(); }

  const WriterState& state() const override { return state_; }
  Result<std::vector<std::string>> begin(const LoadPlan& load) override;
  Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& batch) override;
  Status reject(std::span<const RejectedRow> rows) override;
  Result<CommitReport> flush() override;
  Status commit(const std::optional<NewState>& state) override;
  Status finish() override;
  Status abort(std::span<const RejectedRow> keep) override;

 private:
  bool merging() const { return load_.kind == LoadKind::Merge; }
  Status start_transaction();
  Status create_stage();
  Status prepare_insert();
  Status insert(std::int64_t begin, std::int64_t end, const arrow::RecordBatch& batch,
                std::vector<RejectedRow>& rejected);
  Result<std::string> put(Stmt& statement, std::int64_t rows);
  Error rows_lost(std::int64_t given, std::int64_t there) const;
  Result<CommitReport> merge();
  Status merge_range(std::int64_t begin, std::int64_t end, std::int64_t rows, CommitReport& report);
  Result<boost::json::object> staged_row(std::int64_t seq);
  std::string cursor_collation() const;
  std::string keep_greater_cursor() const;
  Status clear_stage();
  Status move_rejected();
  Status in_stage(Status status) const;
  void undo();

  Db& db_;
  const Context& context_;
  Ledger ledger_;
  const WritePlan plan_;
  const Claim claim_;
  WriterState state_;
  LoadPlan load_;
  LayoutChange change_;
  std::unique_ptr<BatchTable> batch_table_;  // before insert_, which reads it
  Stmt insert_;
  bool stage_used_ = false;  // by what is committed
  // Of the table, as the transaction found it.
  bool triggers_ = false;
  const char* verb_ = "INSERT";
  Met met_;  // of one statement
  std::int64_t inserted_ = 0, deleted_ = 0, superseded_ = 0,
               refused_ = 0;  // since the last commit
};

}  // namespace tidegate::engine::sqlite
