#pragma once
// The memory store's rows and class; its methods are spread over memory_*.cc by noun.

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/store/change_hub.h"
#include "control/store/memory/memory_store.h"
#include "control/store/rules.h"

namespace tidegate::store {

struct JobRow {
  model::SyncJob job;
  bool deleted = false;
  Fence fence{};                                     // of the newest attempt of any run
  std::map<std::int64_t, model::JobSpec> revisions;  // the current one and those of active runs
  std::map<Instant, RunId> by_slot;
  std::map<Instant, model::SlotRecord> records;  // by first slot
  std::set<std::pair<Instant, RunId>> runs;      // by creation
  std::set<RunId> active;                        // queued and running
};

struct RunRow {
  model::Run run;
  BootInstant lease_until{};  // while running
  std::vector<model::RunLogLine> log;
  rules::LogTail log_tail;
};

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(const Clock& clock);

  Capabilities capabilities() const override;
  Result<Instant> now() override { return clock_.now(); }
  Status ping() override { return {}; }
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
  // Holds the mutex; publishes the changes noted in it after unlocking.
  class Write {
   public:
    explicit Write(MemoryStore& store) : store_(store), lock_(store.mutex_) {}
    ~Write() {
      lock_.unlock();
      store_.hub_.publish(changes_);
    }
    void note(ChangeKind kind, std::string id) { changes_.push_back({kind, std::move(id)}); }

   private:
    MemoryStore& store_;
    std::unique_lock<std::mutex> lock_;
    std::vector<Change> changes_;
  };
  struct Remembered {
    std::string body_hash, id;
    Instant at;
  };
  struct Leader {
    OwnerId owner;
    Fence fence{};
    BootInstant until{};
    Instant acquired_at{};
  };
  class Pages;  // of the archive

  // All below REQUIRE the mutex.
  // The id made by an earlier request with this key; Conflict `idempotency_mismatch`.
  Result<std::optional<std::string>> replay(const std::optional<Idempotency>& once) const;
  void remember(const std::optional<Idempotency>& once, const std::string& id);
  JobRow* find_job(const WorkspaceId& ws, const JobId& id);  // not a deleted one
  Result<JobRow*> job_for_write(const WorkspaceId& ws, const JobId& id, IfRevision if_revision);
  RunRow* find_run(const WorkspaceId& ws, const RunId& id);
  const model::Connection* connection(const ConnectionId& id, model::ConnectionKind kind,
                                      const WorkspaceId& ws) const;
  Status check_spec(const WorkspaceId& ws, const JobId& self, const model::JobSpec& spec) const;
  void forget_revisions(JobRow& row) const;

  RunRow& insert_run(JobRow& row, const NewRun& run, Instant now);
  void add_record(JobRow& row, model::SlotRecord record);
  void left_active(JobRow& row, const model::Run& run);  // after a run became terminal
  bool slot_known(const JobRow& row, Instant slot) const;
  bool step_applies(const JobRow& row, const PlanStep& step) const;
  void apply(JobRow& row, const PlanStep& step, Write& write);
  void supersede(JobRow& row, const RunId& id, std::string_view why, Write& write);
  bool is_held(const model::Run& run) const;
  bool may_start(const model::Run& run) const;
  ClaimedRun claimed(const model::Run& run) const;
  bool held(const HeldRun& held) const;
  bool is_leader(const LeaderLease& lease) const;
  Status finish(const AttemptEnd& end, Write& write);
  void cancel_run(RunRow& row, Write& write);
  void load_one(const ArchiveRecord& record);
  std::size_t prune_job(JobRow& row, const Retention& retention, Instant now, std::size_t budget);

  const Clock& clock_;
  ChangeHub hub_;
  std::mutex mutex_;
  std::map<WorkspaceId, model::Workspace> workspaces_;
  std::map<ConnectionId, model::Connection> connections_;
  std::map<TokenId, model::Token> tokens_;
  std::map<OwnerId, model::WorkerInfo> workers_;
  std::map<std::string, std::string> settings_;
  std::map<JobId, JobRow> jobs_;
  std::map<RunId, RunRow> runs_;
  std::set<std::pair<Instant, RunId>> queued_;  // by slot, else creation
  std::set<RunId> running_;
  std::map<std::pair<std::string, std::string>, Remembered> keys_;
  Leader leader_;
};

}  // namespace tidegate::store
