#pragma once
// Sync jobs as users see them.

#include <optional>
#include <string>
#include <vector>

#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/types.h"

namespace tidegate::store {

struct JobQuery {
  WorkspaceId workspace;  // empty: all
  std::optional<std::string> name_contains;
  std::optional<bool> enabled;
  std::optional<ConnectionId> connection;  // as source or destination
  bool deleted = false;                    // instead those deleted whose runs are still kept
  Page page;                               // sorted by name
};

// What a change of a job does to its planning, computed by plan::reschedule.
struct Reschedule {
  // What it was judged by. The leader may have planned meanwhile; then part of what it says would
  // be about slots that have an outcome, and the slots behind them would get none.
  std::optional<Instant> expected_next_slot;
  std::optional<Instant> next_slot;
  std::vector<model::SlotRecord> skipped;  // slots that were due under the old schedule
};

// Thread-safe. Every method is one atomic, durable step.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // REQUIRES: job.id, workspace, spec, created_*, next_slot set; other system fields at defaults.
  // Conflict `name_taken`; NotFound `workspace_not_found`, or Invalid with details for a missing or
  // wrong-kind source or destination of the same workspace.
  virtual Result<Created<JobId>> create_job(const model::SyncJob& job,
                                            const std::optional<Idempotency>& once) = 0;

  virtual Result<model::SyncJob> get_job(const WorkspaceId& ws, const JobId& id) = 0;  // NotFound
  virtual Result<Listing<model::SyncJob>> list_jobs(const JobQuery& query) = 0;

  // Replaces the spec; the revision grows by one. Same errors as create_job, PreconditionFailed;
  // Conflict `slots_moved`: the reschedule was judged by another next slot, judge again.
  struct UpdateJob {
    WorkspaceId workspace;
    JobId id;
    IfRevision if_revision;
    model::JobSpec spec;
    std::optional<Reschedule> reschedule;  // when the schedule changed
    Instant at;
    std::optional<Idempotency> once = {};
  };
  virtual Result<model::SyncJob> update_job(const UpdateJob& update) = 0;

  // Sets or clears the pause; the revision grows.
  virtual Result<model::SyncJob> set_pause(const WorkspaceId& ws, const JobId& id,
                                           IfRevision if_revision,
                                           const std::optional<model::Pause>& pause,
                                           const std::optional<Idempotency>& once) = 0;

  // The next attempt starts over with an empty state (all entities); raises reset_epoch.
  virtual Result<model::SyncJob> reset_job(const WorkspaceId& ws, const JobId& id,
                                           IfRevision if_revision,
                                           const std::optional<Idempotency>& once) = 0;

  // Queued runs are cancelled, a running one gets cancel_requested; runs, logs and slots stay
  // readable by run id until retention removes them. The name is free at once.
  virtual Status delete_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision) = 0;
};

}  // namespace tidegate::store
