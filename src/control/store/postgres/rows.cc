#include "control/store/postgres/rows.h"

#include <functional>
#include <map>

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
  return query(
      "SELECT id, reset_epoch FROM sync_jobs WHERE id = ANY (ARRAY(SELECT job_id FROM sync_runs "
      "WHERE id = ANY ($1) UNION ALL SELECT unnest($2))) ORDER BY id FOR UPDATE",
      runs, jobs);
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

namespace {

// The newest of success_durations with one more; what is no list of numbers begins anew, so that no
// job holds up the others of its batch. Few functions on purpose: translate() and rtrim() of such a
// list cost more than the update of its row.
#define TG_LIST "j.success_durations::text"
#define TG_APPENDED                                                   \
  "(CASE WHEN " TG_LIST                                               \
  " !~ '^\\[[0-9]+(,[0-9]+)*\\]$' THEN '[' || i.took || ']' WHEN "    \
  "json_array_length(j.success_durations) < $8 THEN replace(" TG_LIST \
  ", ']', ',' || i.took || ']') ELSE '[' || substr(replace(" TG_LIST  \
  ", ']', ',' || i.took || ']'), strpos(" TG_LIST ", ',') + 1) END)::json"

Query tell_each_job(const std::vector<const JobNews*>& news) {
  const auto of_lesson = [&](auto part) {
    return column(news, [&](const JobNews* n) {
      return n->lesson ? std::invoke(part, *n->lesson) : decltype(std::invoke(part, *n->lesson))();
    });
  };
  return query(
      "UPDATE sync_jobs j SET fence = greatest(j.fence, i.fence), last_run_at = "
      "greatest(j.last_run_at, i.began_at), last_success_at = coalesce(i.success_at, "
      "j.last_success_at), last_error = CASE WHEN i.success_at IS NULL THEN coalesce(i.error, "
      "j.last_error) END, run_count = j.run_count + i.ended::int, consecutive_failures = CASE WHEN "
      "i.success_at IS NULL THEN j.consecutive_failures + (i.error IS NOT NULL)::int ELSE 0 END, "
      "success_durations = CASE WHEN i.took IS NULL THEN j.success_durations ELSE " TG_APPENDED
      " END FROM unnest($1, $2, $3, $4, $5, $6, $7) AS i(id, fence, began_at, ended, success_at, "
      "error, took) WHERE j.id = i.id",
      column(news, &JobNews::job), column(news, &JobNews::fence), column(news, &JobNews::began_at),
      column(news, [](const JobNews* n) { return n->lesson.has_value(); }),
      of_lesson([](const rules::Lesson& l) { return l.success_at; }),
      of_lesson([](const rules::Lesson& l) { return l.error; }),
      of_lesson([](const rules::Lesson& l) {
        return l.took ? std::optional(l.took->count()) : std::nullopt;
      }),
      model::kDurationsKept);
}

}  // namespace

std::vector<Query> tell_jobs(const std::vector<JobNews>& news) {
  std::map<JobId, std::vector<const JobNews*>> of_jobs;
  for (const JobNews& n : news) of_jobs[n.job].push_back(&n);
  // One statement changes a row once: the second run of a job waits for the next round.
  std::vector<std::vector<const JobNews*>> rounds;
  for (const auto& [job, its] : of_jobs) {
    if (its.size() > rounds.size()) rounds.resize(its.size());
    for (std::size_t i = 0; i < its.size(); ++i) rounds[i].push_back(its[i]);
  }
  std::vector<Query> queries;
  for (const auto& round : rounds) queries.push_back(tell_each_job(round));
  return queries;
}

}  // namespace tidegate::store::postgres
