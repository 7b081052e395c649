#pragma once
// The MongoDB store's class; its methods are spread over mongo_*.cc by noun.

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "control/store/bad_rows.h"
#include "control/store/change_hub.h"
#include "control/store/job_round.h"
#include "control/store/mongo/feed.h"
#include "control/store/mongo/mongo_store.h"
#include "control/store/mongo/rows.h"
#include "control/store/mongo/server_clock.h"
#include "control/store/mongo/session_book.h"
#include "control/store/rules.h"

namespace tidegate::store::mongo {

class MongoStore final : public Store {
 public:
  // REQUIRES: the schema is current.
  MongoStore(const MongoOptions& options, const Clock& clock, Rng& rng, std::unique_ptr<Pool> pool,
             bool replicated);

  Capabilities capabilities() const override;
  Result<Instant> now() override { return fixed_time_ ? fixed_time_() : time_.now(); }
  Status ping() override;
  Result<std::optional<std::string>> find_replay(const Idempotency& once) override;
  std::unique_ptr<Subscription> watch(ChangeHandler handler) override;

  // jobs
  Result<Created<JobId>> create_job(const model::SyncJob& job,
                                    const std::optional<Idempotency>& once) override;
  Result<model::SyncJob> get_job(const WorkspaceId& ws, const JobId& id) override;
  Result<Listing<model::SyncJob>> list_jobs(const JobQuery& query) override;
  Result<model::SyncJob> update_job(const UpdateJob& update) override;
  Result<model::SyncJob> set_pause(const WorkspaceId& ws, const JobId& id, IfRevision if_revision,
                                   const std::optional<model::Pause>& pause,
                                   const std::optional<Idempotency>& once) override;
  Result<model::SyncJob> reset_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision,
                                   const std::optional<Idempotency>& once) override;
  Status delete_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision) override;

  // queue
  Result<std::optional<LeaderLease>> acquire_leader(const OwnerId& owner, Millis ttl) override;
  Status renew_leader(const LeaderLease& lease) override;
  Status release_leader(const LeaderLease& lease) override;
  Result<Due> due_jobs(Instant now, std::size_t limit) override;
  Result<std::vector<PlanResult>> apply_plan(const LeaderLease& lease,
                                             std::span<const PlanStep> steps) override;
  Result<Claim> claim_runs(const ClaimParams& params) override;
  Result<std::vector<RenewOutcome>> renew_runs(const OwnerId& owner, Millis lease_ttl,
                                               std::span<const Renewal> renewals) override;
  Result<std::vector<Status>> finish_attempts(std::span<const AttemptEnd> ends) override;
  Result<std::vector<ClaimedRun>> expired_runs(std::size_t limit) override;
  Result<std::size_t> release_orphans(const LeaderLease& lease,
                                      std::span<const OrphanDecision> decisions) override;
  Result<Created<RunId>> trigger_run(const TriggerRun& trigger) override;
  Result<model::Run> request_cancel(const WorkspaceId& ws, const RunId& run,
                                    const std::optional<Idempotency>& once) override;

  // history
  Result<model::Run> get_run(const WorkspaceId& ws, const RunId& id) override;
  Result<Listing<model::Run>> list_runs(const RunQuery& query) override;
  Result<Listing<model::LedgerEntry>> list_slots(const LedgerQuery& query) override;
  Status append_log(const HeldRun& held, std::span<const model::RunLogLine> lines,
                    std::size_t max_bytes) override;
  Result<std::vector<model::RunLogLine>> read_log(const RunId& run, std::int64_t after,
                                                  std::size_t limit) override;
  Result<std::size_t> prune(const Retention& retention, Instant now) override;

  // registry
  Result<Created<ConnectionId>> create_connection(const model::Connection& connection,
                                                  const std::optional<Idempotency>& once) override;
  Result<model::Connection> get_connection(const WorkspaceId& ws, model::ConnectionKind kind,
                                           const ConnectionId& id) override;
  Result<Listing<model::Connection>> list_connections(const ConnectionQuery& query) override;
  Result<model::Connection> update_connection(const model::Connection& connection,
                                              IfRevision if_revision) override;
  Status delete_connection(const WorkspaceId& ws, model::ConnectionKind kind,
                           const ConnectionId& id, IfRevision if_revision) override;
  Result<Created<WorkspaceId>> create_workspace(const model::Workspace& workspace,
                                                const std::optional<Idempotency>& once) override;
  Result<model::Workspace> find_workspace(const std::string& id_or_name) override;
  Result<std::vector<model::Workspace>> list_workspaces() override;
  Status delete_workspace(const WorkspaceId& id, IfRevision if_revision) override;
  Status create_token(const model::Token& token) override;
  Result<std::optional<model::Token>> find_token(const std::string& hash) override;
  Result<std::vector<model::Token>> list_tokens() override;
  Status delete_token(const TokenId& id) override;
  Status heartbeat(const model::WorkerInfo& worker) override;
  Status forget_worker(const OwnerId& id) override;
  Result<std::vector<model::WorkerInfo>> list_workers(Millis seen_within) override;
  Result<std::optional<std::string>> find_setting(const std::string& name) override;
  Result<std::string> keep_setting(const std::string& name, const std::string& value) override;
  Status replace_setting(const std::string& name, const std::string& from,
                         const std::string& to) override;

  // archive
  Result<std::unique_ptr<ArchiveReader>> read_archive() override;
  Result<Instant> begin_restore(const std::string& archive) override;
  Status check_whole() override;
  Status load_archive(std::span<const ArchiveRecord> records) override;
  Status end_restore(const std::string& archive) override;

 private:
  // Runs body(Tx&) -> Result<T>, in a transaction where the server has them, again from the start
  // while it loses races, and tells of its changes. REQUIRES: body may run several times.
  template <class F>
  auto write(F&& body) -> std::invoke_result_t<F&, Tx&> {
    return attempts<std::invoke_result_t<F&, Tx&>>(body, replicated_);
  }
  // The same for a step that is one write of one document.
  template <class F>
  auto write_one(F&& body) -> std::invoke_result_t<F&, Tx&> {
    return attempts<std::invoke_result_t<F&, Tx&>>(body, false);
  }
  template <class R, class F>
  R attempts(F& body, bool transaction) {
    for (int tried = 1;; ++tried) {
      TG_TRY(const Instant at, now());
      Conn conn(*pool_);
      const Status begun = transaction ? begin(conn) : Status();
      Tx tx{.db = conn, .now = at, .self = self_};
      R result = begun ? body(tx) : R(std::unexpected(begun.error()));
      bool again = !result && conn.transient();
      if (result && transaction) {
        if (Status done = conn.commit(); !done) {
          again = conn.transient();
          result = std::unexpected(std::move(done).error());
        }
      }
      if (result) {
        feed_.tell(conn, tx.changes);
        return result;
      }
      conn.abort();
      if (result.error().code == Code::Unavailable) time_.forget();
      if (!again || !pause_before(tried)) return result;
    }
  }
  Status begin(Conn& conn) {
    TG_CHECK(conn.begin());
    return sessions_->note(conn.session());
  }
  // False: it was tried often enough.
  bool pause_before(int tried);

  Status check_leader(Tx& tx, const LeaderLease& lease) const;
  Result<PlanResult> apply_step(Tx& tx, const LeaderLease& lease, const PlanStep& step);
  Result<std::optional<ClaimedRun>> start(const ClaimParams& params, const RunId& id);
  struct StillHeld {
    JobId job;
    bool cancel = false;  // it was asked to
  };
  using Prolonged = std::map<RunId, StillHeld>;
  Result<Prolonged> prolong(const OwnerId& owner, Millis lease_ttl,
                            std::span<const Renewal> renewals);
  Result<bool> keep_committed(const OwnerId& owner, const Renewal& renewal, const JobId& job);
  Status finish(Tx& tx, const AttemptEnd& end, std::optional<Instant> lease_until);
  Result<model::SyncJob> change_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision,
                                    const std::optional<Idempotency>& once,
                                    const std::function<Status(Tx&, model::SyncJob&)>& change);

  Rng& rng_;
  std::unique_ptr<Pool> pool_;
  const bool replicated_;                              // transactions and change streams
  const std::string self_;                             // unique per start
  const std::function<Result<Instant>()> fixed_time_;  // MongoOptions::now
  ServerClock time_;
  std::unique_ptr<SessionBook> sessions_;  // none without transactions
  BadRows bad_rows_;
  JobRound pruned_;  // whose slot records were looked at
  ChangeHub hub_;
  Feed feed_;  // last: its thread uses the others
};

}  // namespace tidegate::store::mongo
