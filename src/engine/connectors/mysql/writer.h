#pragma once
// One entity's rows into one MySQL table.
//
// Rows are collected in a temporary table of the connection's own, which nobody else sees. What a
// commit makes visible is put in its place within one transaction of InnoDB: readers see the old
// rows until COMMIT and never a part, and views, grants, triggers and indexes of the table stay.
// Changes of the table's definition commit by themselves, so they are made before that transaction
// begins (or, of a key that old rows may not have, after it), and only under a claim that no other
// attempt has: ledger.h says how.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/connectors/mysql/connection.h"
#include "engine/connectors/mysql/layout.h"
#include "engine/connectors/mysql/ledger.h"
#include "engine/connectors/mysql/row_encoder.h"
#include "engine/core/destination.h"

namespace tidegate::engine::mysql {

// Of the fields of a load that are written.
Result<RowEncoder> encoder_of(const Connection& db, const arrow::Schema& schema,
                              const LayoutChange& change);
Result<std::shared_ptr<arrow::RecordBatch>> written_columns(const arrow::RecordBatch& batch,
                                                            const std::vector<int>& fields);

class MysqlWriter final : public Writer {
 public:
  // REQUIRES: `claim` was made; db outlives this and is used by nobody else meanwhile.
  // `reconnect`: another connection, to ask what became of the claim when this one was lost.
  using Reconnect = std::function<Result<std::unique_ptr<Connection>>()>;
  MysqlWriter(Connection& db, Reconnect reconnect, WritePlan plan, Claim claim, WriterState state)
      : db_(db),
        reconnect_(std::move(reconnect)),
        ledger_(db),
        table_(claim.table),
        plan_(std::move(plan)),
        claim_(std::move(claim)),
        state_(std::move(state)) {}
  ~MysqlWriter() override { undo(); }

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
  Result<std::int64_t> drop_superseded();
  Status change_table();
  Status start_transaction();
  std::string staged_name(std::string_view column) const;
  Status place_range(std::int64_t begin, std::int64_t end, std::int64_t rows, CommitReport& report);
  Result<std::string> put(std::int64_t begin, std::int64_t end, std::int64_t rows,
                          CommitReport& report);
  std::string same_key() const;
  std::string update_sql(std::int64_t begin, std::int64_t end) const;
  std::string insert_sql(std::int64_t begin, std::int64_t end) const;
  Result<std::int64_t> staged_rows(std::int64_t begin, std::int64_t end);
  Status check_whole(std::int64_t rows);
  Result<boost::json::object> staged_row(std::int64_t seq);
  void undo();
  // The steps of the interface; what they return passes through told().
  Result<std::vector<std::string>> do_begin(const LoadPlan& load);
  Result<std::vector<RejectedRow>> do_write(const arrow::RecordBatch& batch);
  Result<CommitReport> do_flush();
  Status do_commit(const std::optional<NewState>& state);
  Status in_transaction(const std::function<Status()>& steps);
  // A newer attempt ends the connection of an older one, which is then fenced and not unlucky.
  template <class T>
  Result<T> told(Result<T> result);
  Status check_claim() const;

  Connection& db_;
  const Reconnect reconnect_;
  Ledger ledger_;
  const std::string table_;
  const WritePlan plan_;
  const Claim claim_;
  WriterState state_;
  LoadPlan load_;
  LayoutChange change_;
  std::optional<RowEncoder> encoder_;
  bool staged_ = false, in_transaction_ = false, key_is_due_ = false;
  std::int64_t next_ = 0, refused_ = 0;  // since the last commit
  std::int64_t deleted_ = 0;             // of a Replace: rows before it
  std::vector<RejectedRow> rejected_;    // since the last commit, until the transaction
};

template <class T>
Result<T> MysqlWriter::told(Result<T> result) {
  if (result || result.error().code != Code::Unavailable || db_.is_open()) return result;
  const Status claim = check_claim();
  if (claim || claim.error().code != Code::Fenced) return result;
  return std::unexpected(claim.error());
}

}  // namespace tidegate::engine::mysql
