#include "control/store/postgres/rows.h"

#include "control/store/rules.h"

namespace tidegate::store::postgres {

using model::Run;

// ---- reading

Result<Run> live_run_from(const sql::Row& row) {
  TG_TRY(Run run, sql::run_from(row));
  if (const auto began = row.maybe_time(sql::kRunDetail + 1)) {
    run.attempt -= 1;  // begin_attempt counts it
    rules::begin_attempt(run, OwnerId(run.owner), run.fence, run.exclusive_key, *began);
  }
  return run;
}

Result<std::optional<Run>> find_run(Session& db, const RunId& id) {
  TG_TRY(const auto rows,
         db.exec("SELECT " TG_LIVE_RUN_COLUMNS " FROM readable_runs WHERE id = $1", id));
  if (rows.empty()) return std::nullopt;
  return live_run_from(rows.front());
}

Result<JobHead> whole_job_from(const sql::Row& row) {
  TG_TRY(auto head, sql::job_head_from(row));
  TG_TRY(head.job.spec, sql::spec_from(row.view(20)));
  if (!row.null(21)) {
    TG_TRY(head.job.known_state, sql::states_from(row.view(21)));
  }
  return head;
}

Result<std::optional<model::SyncJob>> load_job(Session& db, const WorkspaceId& ws,
                                               const JobId& id) {
  TG_TRY(const auto rows, db.exec(TG_WHOLE_JOBS "WHERE id = $1 AND deleted_at IS NULL", id));
  if (rows.empty()) return std::nullopt;
  TG_TRY(auto head, whole_job_from(rows.front()));
  if (!ws.empty() && head.job.workspace != ws) return std::nullopt;
  return std::move(head.job);
}

Result<JobHead> lock_job(Session& db, const WorkspaceId& ws, const JobId& id) {
  TG_TRY(const auto rows, db.exec("SELECT " TG_JOB_COLUMNS
                                  " FROM sync_jobs WHERE id = $1 AND deleted_at IS NULL FOR UPDATE",
                                  id));
  if (rows.empty()) return rules::job_not_found(id);
  TG_TRY(auto head, sql::job_head_from(rows.front()));
  if (!ws.empty() && head.job.workspace != ws) return rules::job_not_found(id);
  return head;
}

// An array, not a join: with the order the planner would walk through all jobs and compare each
// with each of the runs.
Query lock_jobs_of(const std::vector<RunId>& runs, const std::vector<JobId>& jobs) {
  return query("SELECT " TG_COUNTED_COLUMNS
               ", last_run_at, fence FROM sync_jobs WHERE id = ANY (ARRAY(SELECT job_id FROM "
               "sync_runs WHERE id = ANY ($1) UNION ALL SELECT unnest($2))) ORDER BY id FOR UPDATE",
               runs, jobs);
}

Result<JobHead> locked_job_from(const sql::Row& row) {
  TG_TRY(JobHead head, sql::counted_job_from(row));
  head.job.last_run_at = row.maybe_time(7);
  head.fence = Fence{row.integer(8)};
  return head;
}

Query active_runs(const std::vector<JobId>& jobs) {
  return query(
      "SELECT " TG_LIVE_RUN_COLUMNS
      " FROM readable_runs WHERE id IN (SELECT run_id FROM run_queue WHERE job_id = ANY ($1) "
      "UNION ALL SELECT run_id FROM job_execution_locks WHERE job_id = ANY ($1)) ORDER BY "
      "created_at, id",
      jobs);
}

Result<std::vector<Run>> live_runs_from(const Rows& rows) {
  std::vector<Run> runs;
  for (const Row row : rows) {
    TG_TRY(auto run, live_run_from(row));
    runs.push_back(std::move(run));
  }
  return runs;
}

// ---- writing

Query insert_runs(const std::vector<AddedRun>& added) {
  const auto of_run = [&](auto&& part) {
    return column(added, [&](const AddedRun& a) { return std::invoke(part, a.run); });
  };
  return query(
      "WITH added AS (INSERT INTO sync_runs (" TG_RUN_COLUMNS
      ", allow_overlap, source_id, destination_id, sort_at) SELECT id, workspace_id, job_id, "
      "job_revision, scheduled_for, trigger, triggered_by, 'queued', 0, 0, 0, created_at, "
      "not_before, NULL, NULL, '', 0, false, '', '', '', NULLIF(detail, '')::json, allow_overlap, "
      "source_id, destination_id, coalesce(scheduled_for, created_at) FROM unnest($1, $2, $3, $4, "
      "$5, $6, $7, $8, $9, $10, $11, $12, $13) AS i(id, workspace_id, job_id, job_revision, "
      "scheduled_for, trigger, triggered_by, created_at, not_before, detail, allow_overlap, "
      "source_id, destination_id) RETURNING id, job_id, sort_at, not_before, allow_overlap, "
      "destination_id, " TG_BY_SCHEDULE ") INSERT INTO run_queue (" TG_QUEUE_COLUMNS
      ") SELECT * FROM added",
      of_run(&Run::id), of_run(&Run::workspace), of_run(&Run::job), of_run(&Run::job_revision),
      of_run(&Run::scheduled_for),
      of_run([](const Run& r) { return name_of(r.trigger, model::kTriggerNames); }),
      of_run(&Run::triggered_by), of_run(&Run::created_at), of_run(&Run::not_before),
      of_run(sql::run_detail), column(added, &AddedRun::allow_overlap),
      column(added, &AddedRun::source), column(added, &AddedRun::destination));
}

Query update_runs(const std::vector<const Run*>& runs) {
  return query(
      "UPDATE sync_runs r SET state = i.state, attempt = i.attempt, retries_used = i.retries_used, "
      "lost_in_row = i.lost_in_row, not_before = i.not_before, started_at = i.started_at, "
      "finished_at = i.finished_at, owner = i.owner, fence = i.fence, cancel_requested = "
      "i.cancel_requested, error_kind = i.error_kind, error = i.error, exclusive_key = "
      "i.exclusive_key, detail = NULLIF(i.detail, '')::json FROM unnest($1, $2, $3, $4, $5, $6, "
      "$7, $8, $9, $10, $11, $12, $13, $14, $15) AS i(id, state, attempt, retries_used, "
      "lost_in_row, not_before, started_at, finished_at, owner, fence, cancel_requested, "
      "error_kind, error, exclusive_key, detail) WHERE r.id = i.id",
      column(runs, &Run::id),
      column(runs, [](const Run* r) { return name_of(r->state, model::kRunStateNames); }),
      column(runs, &Run::attempt), column(runs, &Run::retries_used),
      column(runs, &Run::lost_in_row), column(runs, &Run::not_before),
      column(runs, &Run::started_at), column(runs, &Run::finished_at), column(runs, &Run::owner),
      column(runs, &Run::fence), column(runs, &Run::cancel_requested),
      column(runs, &Run::error_kind), column(runs, &Run::error), column(runs, &Run::exclusive_key),
      column(runs, [](const Run* r) { return sql::run_detail(*r); }));
}

Query update_job_progress(const std::vector<const JobHead*>& heads) {
  const auto of_job = [&](auto&& part) {
    return column(heads, [&](const JobHead* h) { return std::invoke(part, h->job); });
  };
  using model::SyncJob;
  return query(
      "UPDATE sync_jobs j SET fence = i.fence, last_run_at = i.last_run_at, last_success_at = "
      "i.last_success_at, last_error = i.last_error, run_count = i.run_count, consecutive_failures "
      "= i.consecutive_failures, success_durations = i.success_durations::json FROM unnest($1, $2, "
      "$3, $4, $5, $6, $7, $8) AS i(id, fence, last_run_at, last_success_at, last_error, "
      "run_count, consecutive_failures, success_durations) WHERE j.id = i.id",
      of_job(&SyncJob::id), column(heads, &JobHead::fence), of_job(&SyncJob::last_run_at),
      of_job(&SyncJob::last_success_at), of_job(&SyncJob::last_error), of_job(&SyncJob::run_count),
      of_job(&SyncJob::consecutive_failures), of_job(sql::durations_text));
}

Query save_states(const std::map<JobId, States>& states) {
  return query(
      "INSERT INTO job_states SELECT id, states::json FROM unnest($1, $2) AS i(id, states) ON "
      "CONFLICT (job_id) DO UPDATE SET states = excluded.states",
      column(states, [](const auto& s) { return s.first; }),
      column(states, [](const auto& s) { return sql::states_text(s.second); }));
}

}  // namespace tidegate::store::postgres
