#pragma once
// One entity's rows into one PostgreSQL table.
//
// Rows are collected by COPY in a table of the load's own. That of a full load takes the place of
// the old table where it may (replacement.h). Else it is a temporary one, which nobody else sees
// and no log is written of, and what a commit makes visible is put in its place within one
// transaction: readers see the old rows until COMMIT and never a part, views, grants and references
// stay, and the table is locked (against other changes of its definition, and writers of the same
// rows) for that short time alone.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/connectors/postgres/connection.h"
#include "engine/connectors/postgres/copy_encoder.h"
#include "engine/connectors/postgres/layout.h"
#include "engine/connectors/postgres/ledger.h"
#include "engine/connectors/postgres/replacement.h"
#include "engine/core/context.h"
#include "engine/core/destination.h"

namespace tidegate::engine::postgres {

// Of the fields of a load that are written.
Result<CopyEncoder> encoder_of(const arrow::Schema& schema, const std::vector<int>& fields);
Result<std::shared_ptr<arrow::RecordBatch>> written_columns(const arrow::RecordBatch& batch,
                                                            const std::vector<int>& fields);

class PostgresWriter final : public Writer {
 public:
  // REQUIRES: `claim` was made; db outlives this and is used by nobody else meanwhile; so does
  // `context`.
  // `reconnect`: another connection, to ask what became of the claim when this one was lost.
  using Reconnect = std::function<Result<std::unique_ptr<Connection>>()>;
  PostgresWriter(Connection& db, Reconnect reconnect, const Context& context,
                 const std::string& schema, WritePlan plan, Claim claim, WriterState state)
      : db_(db),
        context_(context),
        reconnect_(std::move(reconnect)),
        ledger_(db, schema),
        place_{schema, claim.table},
        plan_(std::move(plan)),
        claim_(std::move(claim)),
        state_(std::move(state)) {}
  ~PostgresWriter() override { undo(); }

  const WriterState& state() const override { return state_; }
  Result<std::vector<std::string>> begin(const LoadPlan& load) override {
    return told(do_begin(load));
  }
  Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& batch) override {
    return told(do_write(batch));
  }
  Status reject(std::span<const RejectedRow> rows) override;
  Result<CommitReport> flush() override { return told(do_flush()); }
  Status commit(const std::optional<NewState>& state) override { return told(do_commit(state)); }
  Status finish() override;
  Status abort(std::span<const RejectedRow> keep) override;

 private:
  Status create_stage();
  Status start_copy();
  Status end_copy();
  Error with_row(Error error) const;
  Status start_transaction();
  std::string drop_superseded() const;
  std::string stage() const;
  std::string staged_name(std::size_t i) const;
  Status place_range(std::int64_t begin, std::int64_t end, std::int64_t rows, CommitReport& report);
  Result<std::string> put(std::int64_t begin, std::int64_t end, std::int64_t rows,
                          CommitReport& report);
  Result<std::int64_t> known_rows(std::int64_t begin, std::int64_t end);
  Status prepare_table();
  Status check_whole(std::int64_t rows);
  Result<boost::json::object> staged_row(std::int64_t seq);
  std::string insert_sql(std::int64_t begin, std::int64_t end) const;
  void undo();
  // The steps of the interface; what they return passes through told().
  Result<std::vector<std::string>> do_begin(const LoadPlan& load);
  Result<std::vector<RejectedRow>> do_write(const arrow::RecordBatch& batch);
  Result<CommitReport> do_flush();
  Status flush_rows(CommitReport& report);
  Status flush_replacement(CommitReport& report);
  Status place_replacement();
  Status do_commit(const std::optional<NewState>& state);
  // A newer attempt ends the connection of an older one, which is then fenced and not unlucky.
  template <class T>
  Result<T> told(Result<T> result);
  Status check_claim() const;

  Connection& db_;
  const Context& context_;
  const Reconnect reconnect_;
  Ledger ledger_;
  const Place place_;
  const WritePlan plan_;
  const Claim claim_;
  WriterState state_;
  LoadPlan load_;
  TableLayout now_;
  LayoutChange change_;
  std::optional<Replacement> replacement_;
  std::optional<CopyEncoder> encoder_;
  std::string bytes_;  // of one batch
  bool copying_ = false, staging_ = false, in_transaction_ = false;
  std::int64_t copied_ = 0, refused_ = 0;  // since the last commit
  std::int64_t deleted_ = 0, rows_ = 0;    // of a Replace: rows before it, and after
  std::vector<RejectedRow> rejected_;      // since the last commit, until the transaction
};

template <class T>
Result<T> PostgresWriter::told(Result<T> result) {
  if (result || result.error().code != Code::Unavailable || db_.is_open()) return result;
  const Status claim = check_claim();
  if (claim || claim.error().code != Code::Fenced) return result;
  return std::unexpected(claim.error());
}

}  // namespace tidegate::engine::postgres
