#pragma once
// One entity's rows into one collection.
//
// A full load goes through a stage (stage.h). Rows that are merged or appended are held in memory
// until the commit and then put with the state in one transaction. A commit of more rows than
// kHeldRows or kHeldBytes would outlast what a server allows one transaction, so they are put in
// parts, each under the fence: readers see the first ones before the commit. A merge may always be
// repeated; an append is written down before its first part, and the next attempt takes its rows
// away. On a server without transactions every commit is put that way.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/connectors/mongodb/connection.h"
#include "engine/connectors/mongodb/encoder.h"
#include "engine/connectors/mongodb/layout.h"
#include "engine/connectors/mongodb/ledger.h"
#include "engine/connectors/mongodb/stage.h"
#include "engine/core/context.h"
#include "engine/core/cursor.h"
#include "engine/core/destination.h"

namespace tidegate::engine::mongodb {

inline constexpr std::size_t kHeldRows = 50'000;
inline constexpr std::size_t kHeldBytes = 32U << 20;

class MongoWriter final : public Writer {
 public:
  // REQUIRES: `claim` was made; db outlives this and is used by nobody else meanwhile; so does
  // `context`.
  MongoWriter(Connection& db, const Context& context, Timestamps timestamps, WritePlan plan,
              Claim claim, WriterState state, std::string unfinished)
      : db_(db),
        context_(context),
        timestamps_(timestamps),
        ledger_(db),
        plan_(std::move(plan)),
        claim_(std::move(claim)),
        state_(std::move(state)),
        unfinished_(std::move(unfinished)) {}
  ~MongoWriter() override { (void)undo(); }

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
  struct Held {
    DocumentEncoder::Row row;
    std::string locator, text;  // should it be refused
    std::optional<CursorValue> cursor;
    bool dropped = false;   // superseded or refused
    bool repeated = false;  // its key was put by an earlier part of the same commit
  };

  Result<std::vector<std::string>> do_begin(const LoadPlan& load);
  Result<std::vector<RejectedRow>> do_write(const arrow::RecordBatch& batch);
  Status write_staged(const arrow::RecordBatch& batch, std::vector<RejectedRow>& out);
  Status write_held(const arrow::RecordBatch& batch, std::vector<RejectedRow>& out);
  void hold(Held held, std::size_t bytes);
  Result<CommitReport> do_flush();
  Status flush_stage(CommitReport& report);
  Status put_part(bool last);
  Status put_rows(bool last);
  Result<Written> put_held(std::vector<std::size_t>& which);
  Status take_unfinished_away();
  Status take_table();
  Status do_commit(const std::optional<NewState>& state);
  Status commit_stage(const std::optional<NewState>& state);
  RejectedRow rejected(const arrow::RecordBatch& batch, std::int64_t row, std::string why) const;
  Status undo();
  // Whatever fails for an older attempt (a newer one ended its transaction, or changed the
  // collection), it is fenced.
  template <class T>
  Result<T> told(Result<T> result);

  Connection& db_;
  const Context& context_;
  const Timestamps timestamps_;
  Ledger ledger_;
  const WritePlan plan_;
  const Claim claim_;
  WriterState state_;
  std::string unfinished_;  // of an append that is not committed
  LoadPlan load_;
  LayoutChange change_;
  std::optional<DocumentEncoder> encoder_;
  std::optional<Stage> stage_;
  // Since the last commit.
  std::vector<Held> held_;
  std::size_t held_bytes_ = 0;
  std::uint32_t appended_ = 0;                           // rows with an `_id` of `unfinished_`
  std::unordered_map<std::string, std::size_t> by_key_;  // key → place in held_
  std::unordered_map<std::string, std::optional<CursorValue>> put_keys_;  // of earlier parts
  std::vector<RejectedRow> rejected_;
  CommitReport report_;
  std::int64_t staged_ = 0;
  bool in_parts_ = false;
  bool table_taken_ = false;  // for as long as the claim holds
};

template <class T>
Result<T> MongoWriter::told(Result<T> result) {
  if (result || result.error().code == Code::Fenced || result.error().code == Code::Cancelled) {
    return result;
  }
  db_.abort();
  const auto record = ledger_.read(claim_.job, claim_.entity);
  // Without a record it is another database by now, and nobody's.
  if (!record || !*record ||
      ((*record)->stored.fence == claim_.fence && (*record)->stored.session == claim_.session)) {
    return result;
  }
  return fail(fenced(claim_));
}

}  // namespace tidegate::engine::mongodb
