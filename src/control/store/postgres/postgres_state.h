#pragma once
// The PostgreSQL store's class; its methods are spread over postgres_*.cc by noun.

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/store/bad_rows.h"
#include "control/store/change_hub.h"
#include "control/store/job_round.h"
#include "control/store/postgres/feed.h"
#include "control/store/postgres/held_runs.h"
#include "control/store/postgres/postgres_store.h"
#include "control/store/postgres/rows.h"
#include "control/store/postgres/spec_cache.h"
#include "control/store/postgres/tx.h"
#include "control/store/rules.h"

namespace tidegate::store::postgres {

class PostgresStore final : public Store {
 public:
  // REQUIRES: the schema is current.
  PostgresStore(Target target, const Timeouts& timeouts, const std::string& schema,
                const std::string& channel, std::size_t connections, Rng& rng);

  Capabilities capabilities() const override;
  Result<Instant> now() override;
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
  Result<model::SyncJob> change_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision,
                                    const std::optional<Idempotency>& once,
                                    const std::function<Status(Tx&, model::SyncJob&)>& change);
  Result<std::vector<PlanResult>> apply_steps(Tx& tx, std::span<const PlanStep> steps);

  const Target target_;
  const Timeouts timeouts_;
  const std::string schema_;
  ChangeHub hub_;
  BadRows bad_rows_;
  SpecCache specs_;
  HeldRuns held_;
  JobRound pruned_;  // whose slot records were looked at
  std::mutex claiming_;
  Pool pool_;
  Feed feed_;
  Database db_;
};

}  // namespace tidegate::store::postgres
