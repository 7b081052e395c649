#pragma once
// Between rows and the model's structs.

#include <string>
#include <string_view>

#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/sqlite/db.h"

namespace tidegate::store::sqlite {

// For `SELECT …`, in the order that the readers below expect.
#define TG_RUN_COLUMNS_BUT_DETAIL                                                                  \
  "id, workspace_id, job_id, job_revision, scheduled_for, trigger, triggered_by, state, attempt, " \
  "retries_used, lost_in_row, created_at, not_before, started_at, finished_at, owner, fence, "     \
  "cancel_requested, error_kind, error, exclusive_key, "
#define TG_RUN_COLUMNS TG_RUN_COLUMNS_BUT_DETAIL "detail"
#define TG_BRIEF_RUN_COLUMNS TG_RUN_COLUMNS_BUT_DETAIL "''"  // RunQuery::brief
inline constexpr int kRunDetail = 21;
#define TG_JOB_COLUMNS                                                                           \
  "id, workspace_id, revision, next_slot, last_run_at, last_success_at, last_error, run_count, " \
  "consecutive_failures, success_durations, reset_epoch, pause_note, pause_until, pause_since, " \
  "pause_by, created_by, created_at, updated_at, fence, deleted_at"
#define TG_CONNECTION_COLUMNS                                                                     \
  "id, workspace_id, kind, name, type, config, exclusive_key, revision, created_at, updated_at, " \
  "created_by"

// A job without its spec and its known state, and what only the store knows of it.
struct JobHead {
  model::SyncJob job;
  Fence fence{};
  bool deleted = false;
};

Result<model::Run> run_from(Row row);
Result<JobHead> job_head_from(Row row);
Result<model::Connection> connection_from(Row row);

std::string run_detail(const model::Run& run);  // the JSON column of sync_runs
std::string durations_text(const model::SyncJob& job);
std::string spec_text(const model::JobSpec& spec);

template <class E, std::size_t N>
std::string_view name_of(E e, const std::string_view (&names)[N]) {
  return names[static_cast<std::size_t>(e)];
}
// Internal when a column holds none of the names.
template <class E, std::size_t N>
Status read_name(std::string_view text, const std::string_view (&names)[N], E& out) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) {
      out = static_cast<E>(i);
      return {};
    }
  }
  return fail(Code::Internal, "the store holds the unknown value '" + std::string(text) +
                                  "': it is damaged or was written by a newer version");
}

// ---- reading whole things
Result<std::optional<model::Run>> find_run(Db& db, const RunId& id);
// Deleted ones too.
Result<std::optional<JobHead>> find_job_head(Db& db, const JobId& id);
// What keeps a job's queued runs from starting, see rules::is_held. An unknown job: nothing.
struct JobHold {
  bool enabled = true;
  std::optional<model::Pause> pause;
};
Result<JobHold> find_hold(Db& db, const JobId& id);
Result<model::JobSpec> load_spec(Db& db, const JobId& id, std::int64_t revision);
Result<std::map<std::string, protocol::KnownState>> load_states(Db& db, const JobId& id);
// With its current spec and state; nullopt for a deleted one and one of another workspace.
Result<std::optional<model::SyncJob>> load_job(Db& db, const WorkspaceId& ws, const JobId& id);
Result<std::optional<model::Connection>> find_connection(Db& db, const ConnectionId& id);

// ---- writing
Status insert_run(Db& db, const model::Run& run, bool allow_overlap, const ConnectionId& source,
                  const ConnectionId& destination);
// Every column that changes in a run's life, but the lease.
Status update_run(Db& db, const model::Run& run);
// What runs change of a job: slot, counters, last_*, fence.
Status update_job_progress(Db& db, const JobHead& head);
Status save_states(Db& db, const JobId& id,
                   const std::map<std::string, protocol::KnownState>& states);

}  // namespace tidegate::store::sqlite
