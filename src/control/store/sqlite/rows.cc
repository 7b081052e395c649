#include "control/store/sqlite/rows.h"

namespace tidegate::store::sqlite {
// ---- runs

Result<std::optional<model::Run>> find_run(Db& db, const RunId& id) {
  std::optional<model::Run> run;
  TG_CHECK(db.maybe(
      "SELECT " TG_RUN_COLUMNS " FROM sync_runs WHERE id = ?",
      [&](const Row& r) -> Status {
        TG_TRY(run, run_from(r));
        return {};
      },
      id));
  return run;
}

Status insert_run(Db& db, const model::Run& run, bool allow_overlap, const ConnectionId& source,
                  const ConnectionId& destination) {
  return db.exec(
      "INSERT INTO sync_runs (" TG_RUN_COLUMNS
      ", allow_overlap, source_id, destination_id, sort_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
      "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      run.id, run.workspace, run.job, run.job_revision, run.scheduled_for,
      name_of(run.trigger, model::kTriggerNames), run.triggered_by,
      name_of(run.state, model::kRunStateNames), run.attempt, run.retries_used, run.lost_in_row,
      run.created_at, run.not_before, run.started_at, run.finished_at, run.owner, run.fence,
      run.cancel_requested, run.error_kind, run.error, run.exclusive_key, run_detail(run),
      allow_overlap, source, destination, run.scheduled_for.value_or(run.created_at));
}

Status update_run(Db& db, const model::Run& run) {
  return db.exec(
      "UPDATE sync_runs SET state = ?, attempt = ?, retries_used = ?, lost_in_row = ?, "
      "not_before = ?, started_at = ?, finished_at = ?, owner = ?, fence = ?, "
      "cancel_requested = ?, error_kind = ?, error = ?, exclusive_key = ?, detail = ? "
      "WHERE id = ?",
      name_of(run.state, model::kRunStateNames), run.attempt, run.retries_used, run.lost_in_row,
      run.not_before, run.started_at, run.finished_at, run.owner, run.fence, run.cancel_requested,
      run.error_kind, run.error, run.exclusive_key, run_detail(run), run.id);
}

// ---- jobs

Result<std::optional<JobHead>> find_job_head(Db& db, const JobId& id) {
  std::optional<JobHead> head;
  TG_CHECK(db.maybe(
      "SELECT " TG_JOB_COLUMNS " FROM sync_jobs WHERE id = ?",
      [&](const Row& r) -> Status {
        TG_TRY(head, job_head_from(r));
        return {};
      },
      id));
  return head;
}

Result<model::JobSpec> load_spec(Db& db, const JobId& id, std::int64_t revision) {
  std::optional<model::JobSpec> spec;
  TG_CHECK(db.maybe(
      "SELECT spec FROM job_revisions WHERE job_id = ? AND revision = ?",
      [&](const Row& r) -> Status {
        TG_TRY(spec, sql::spec_from(r.view(0)));
        return {};
      },
      id, revision));
  if (!spec) {
    return fail(Code::Internal, "the store does not hold the spec of the job '" + id.str() +
                                    "': it is damaged; restore a backup");
  }
  return std::move(*spec);
}

Result<std::map<std::string, protocol::KnownState>> load_states(Db& db, const JobId& id) {
  std::map<std::string, protocol::KnownState> states;
  TG_CHECK(db.maybe(
      "SELECT states FROM job_states WHERE job_id = ?",
      [&](const Row& r) -> Status {
        TG_TRY(states, sql::states_from(r.view(0)));
        return {};
      },
      id));
  return states;
}

Result<std::optional<model::SyncJob>> load_job(Db& db, const WorkspaceId& ws, const JobId& id) {
  TG_TRY(auto head, find_job_head(db, id));
  if (!head || head->deleted || (!ws.empty() && head->job.workspace != ws)) return std::nullopt;
  TG_TRY(head->job.spec, load_spec(db, id, head->job.revision));
  TG_TRY(head->job.known_state, load_states(db, id));
  return std::move(head->job);
}

Status update_job_progress(Db& db, const JobHead& head) {
  const model::SyncJob& job = head.job;
  return db.exec(
      "UPDATE sync_jobs SET next_slot = ?, fence = ?, last_run_at = ?, last_success_at = ?, "
      "last_error = ?, run_count = ?, consecutive_failures = ?, success_durations = ? "
      "WHERE id = ?",
      job.next_slot, head.fence, job.last_run_at, job.last_success_at, job.last_error,
      job.run_count, job.consecutive_failures, durations_text(job), job.id);
}

Status save_states(Db& db, const JobId& id,
                   const std::map<std::string, protocol::KnownState>& states) {
  if (states.empty()) {
    return db.exec("DELETE FROM job_states WHERE job_id = ?", id);
  }
  return db.exec("INSERT OR REPLACE INTO job_states VALUES (?, ?)", id, sql::states_text(states));
}

// ---- connections

Result<std::optional<model::Connection>> find_connection(Db& db, const ConnectionId& id) {
  std::optional<model::Connection> c;
  TG_CHECK(db.maybe(
      "SELECT " TG_CONNECTION_COLUMNS " FROM connections WHERE id = ?",
      [&](const Row& r) -> Status {
        TG_TRY(c, connection_from(r));
        return {};
      },
      id));
  return c;
}

}  // namespace tidegate::store::sqlite
