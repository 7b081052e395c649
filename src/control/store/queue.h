#pragma once
// From slot to outcome: what the leader and the workers write. Every write carries its fence, which
// is locked and compared in the same transaction; Fenced means: stop, somebody else owns this.
// Time is the store's: a lease ends by the store's clock (SQLite: CLOCK_BOOTTIME of one boot id).

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/types.h"

namespace tidegate::store {

// ---- planning -------------------------------------------------------------------------------

// What the planner needs of one job.
struct PlanView {
  model::SyncJob job;
  std::vector<model::Run> active;  // queued and running runs, oldest first
};

struct NewRun {
  RunId id;
  std::optional<Instant> slot;
  model::Trigger trigger = model::Trigger::Schedule;
  Instant not_before;
};

// One job, one atomic step: applied whole or not at all.
struct PlanStep {
  JobId job;
  std::int64_t expected_revision = 0;
  std::optional<Instant> expected_next_slot;
  std::optional<Instant> next_slot;  // none: nothing more will come due
  // Set: the step was judged by the job's queued and running runs, and holds only while exactly
  // these are, each in that state.
  std::optional<std::map<RunId, model::RunState>> expected_active = {};
  std::vector<NewRun> runs;
  std::vector<model::SlotRecord>
      records;                   // one that continues the job's newest record (same outcome
                                 // and reason) and no run lies between extends that record
  std::vector<RunId> supersede;  // queued runs that end as cancelled (error_kind superseded)
  std::vector<RunId> cancel;     // running runs that get cancel_requested
  bool clear_pause = false;      // its `until` has passed
};
enum class PlanResult : std::uint8_t { Applied, Stale /* the job changed: read again */ };

struct LeaderLease {
  OwnerId owner;
  Fence fence{};
  Millis ttl{0};
};

// ---- execution ------------------------------------------------------------------------------

struct ClaimParams {
  OwnerId owner;
  std::size_t max = 1;
  Millis lease_ttl{12'000};
};
struct ClaimedRun {
  model::Run run;  // state running; owner, fence, attempt and exclusive_key set
  // What many runs have in common is shared by them; never null.
  std::shared_ptr<const model::JobSpec> spec;  // of run.job_revision
  std::shared_ptr<const model::Connection> source, destination;
  std::int64_t reset_epoch = 0;
  std::map<std::string, protocol::KnownState> known_state;
};

struct HeldRun {
  RunId run;
  Fence fence{};
};
struct Renewal {
  HeldRun held;
  std::map<std::string, model::EntityProgress> progress;                // empty: unchanged
  std::vector<std::pair<std::string, protocol::KnownState>> committed;  // since the last renewal
};
struct RenewOutcome {
  RunId run;
  bool held = false;  // false: fenced; stop it
  bool cancel_requested = false;
};

// How an attempt ended, and what becomes of the run.
struct AttemptEnd {
  HeldRun held;
  model::RunState next = model::RunState::Succeeded;  // terminal, or Queued for another attempt
  std::string outcome;                                // of the attempt: see model::Attempt
  // next = Queued: how long to wait, by the store's clock, from when it takes this. No time of day:
  // the worker's clock may show another one.
  Millis wait{0};
  bool uses_retry = false;          // next = Queued
  std::optional<Millis> took = {};  // see model::Attempt
  std::string error_kind, error;
  std::vector<protocol::EntityResult> entities;  // merged by entity into the run's
  std::vector<std::string> only_entities;        // next = Queued: the failed ones
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, protocol::KnownState>> committed;
  // What the destination holds, when it refused the attempt's: of a store that was restored from an
  // older backup, or planned by a clock that was ahead.
  std::optional<Fence> fence_found;
};

struct OrphanDecision {  // for a running run whose lease has expired
  HeldRun held;
  AttemptEnd end;  // outcome worker_lost; lost_in_row grows
};

struct TriggerRun {
  WorkspaceId workspace;
  JobId job;
  RunId run;
  model::Trigger trigger = model::Trigger::Manual;  // Manual or Retry
  std::string triggered_by;
  std::vector<std::string> only_entities;
  bool take_over = false;  // see model::Run
  std::optional<Idempotency> once;
};

// Thread-safe.
class QueueStore {
 public:
  virtual ~QueueStore() = default;

  // ---- leader lease (worker_locks, _id "scheduler")
  // The lease when it is free, expired or already `owner`'s; nullopt while another holds it.
  virtual Result<std::optional<LeaderLease>> acquire_leader(const OwnerId& owner, Millis ttl) = 0;
  virtual Status renew_leader(const LeaderLease& lease) = 0;    // Fenced once somebody took over
  virtual Status release_leader(const LeaderLease& lease) = 0;  // free at once; no error when lost

  // ---- planning
  // Jobs whose next_slot ≤ now, soonest first. And the soonest next_slot after now, for the timer.
  struct Due {
    std::vector<PlanView> jobs;
    std::optional<Instant> next;
  };
  virtual Result<Due> due_jobs(Instant now, std::size_t limit) = 0;
  // Applies each step or finds it stale. Fenced: nothing was applied. (jobId, slot) is unique:
  // what a step says of a slot that has an outcome already is dropped, the rest of it applies.
  virtual Result<std::vector<PlanResult>> apply_plan(const LeaderLease& lease,
                                                     std::span<const PlanStep> steps) = 0;

  // ---- execution
  // Queued runs with not_before ≤ the store's now, oldest slot (else creation) first, at most one
  // running run of a job (any number with Overlap::Allow) and of an exclusive_key; what
  // rules::is_held holds is left out. The fence of
  // each is max(the job's previous + 1, the store's time in ms, the greatest fence_found of the
  // job's attempts + 1). Also says when the next queued run
  // may start, for the timer.
  struct Claim {
    std::vector<ClaimedRun> runs;
    std::optional<Instant> next;
  };
  virtual Result<Claim> claim_runs(const ClaimParams& params) = 0;
  virtual Result<std::vector<RenewOutcome>> renew_runs(const OwnerId& owner, Millis lease_ttl,
                                                       std::span<const Renewal> renewals) = 0;
  // One status for each: Fenced when the run is not held under that fence any more. Updates the
  // job's last_run_at, last_success_at, last_error, run_count, durations, known_state.
  virtual Result<std::vector<Status>> finish_attempts(std::span<const AttemptEnd> ends) = 0;

  // ---- orphans (the leader's work)
  virtual Result<std::vector<ClaimedRun>> expired_runs(std::size_t limit) = 0;
  // Under the leader's fence; a run that was renewed meanwhile is left alone.
  virtual Result<std::size_t> release_orphans(const LeaderLease& lease,
                                              std::span<const OrphanDecision> decisions) = 0;

  // ---- triggers by people
  // A queued run with no slot, due now. Conflict `run_active` with the active run's id in
  // details[0].message while one is queued or running (not with Overlap::Allow); one that is held
  // (rules::is_held) gives way and ends as superseded, or stays held beside a run of only some
  // entities.
  virtual Result<Created<RunId>> trigger_run(const TriggerRun& trigger) = 0;
  // queued → cancelled at once; running → cancel_requested. Conflict `run_ended` when terminal.
  virtual Result<model::Run> request_cancel(const WorkspaceId& ws, const RunId& run,
                                            const std::optional<Idempotency>& once) = 0;
};

}  // namespace tidegate::store
