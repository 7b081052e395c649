#pragma once
// Reading and writing whole things: what sql_rows.h says of one row, over a connection. Queries are
// built here and sent by the caller, together with others in one flight.

#include <fmt/format.h>

#include <map>
#include <span>
#include <string>
#include <vector>

#include "control/store/postgres/session.h"
#include "control/store/rules.h"
#include "control/store/sql_rows.h"

namespace tidegate::store::postgres {

using sql::JobHead;
using sql::name_of;

// A condition that grows; `{}` in it is the number of its parameter.
struct Where {
  std::string sql;
  Params params;
  template <class T>
  void add(std::string_view condition, const T& value) {
    params.add(value);
    sql += fmt::format(fmt::runtime(condition), params.size());
  }
};

// ---- reading
// Runs as they are, of readable_runs; `live_run_from` reads a row of these columns. (A brief one is
// read by sql::run_from.)
#define TG_LIVE_RUN_COLUMNS TG_RUN_COLUMNS ", began_at"
Result<model::Run> live_run_from(const sql::Row& row);
Result<std::optional<model::Run>> find_run(Session& db, const RunId& id);
// With its current spec and state; nullopt for a deleted one and one of another workspace.
Result<std::optional<model::SyncJob>> load_job(Session& db, const WorkspaceId& ws, const JobId& id);
// "SELECT … FROM readable_jobs" with spec and states behind the columns of job_head_from; the row
// of such a select.
#define TG_WHOLE_JOBS                                                                        \
  "SELECT " TG_JOB_COLUMNS                                                                   \
  ", (SELECT spec FROM job_revisions v WHERE v.job_id = j.id AND v.revision = j.revision), " \
  "(SELECT states FROM job_states s WHERE s.job_id = j.id) FROM readable_jobs j "
Result<JobHead> whole_job_from(const sql::Row& row);

// The job's row for writing: every write of what belongs to a job holds it, so such writes come one
// after the other. Several are locked in the order of their ids. NotFound: deleted, unknown, of
// another workspace.
Result<JobHead> lock_job(Session& db, const WorkspaceId& ws, const JobId& id);
// Rows of: id, reset_epoch.
Query lock_jobs_of(const std::vector<RunId>& runs, const std::vector<JobId>& jobs = {});

// Queued and running ones, oldest first; columns of live_run_from.
Query active_runs(const std::vector<JobId>& jobs);
Result<std::vector<model::Run>> live_runs_from(const Rows& rows);

// ---- writing
// The columns of run_queue; the last one out of a run's row.
#define TG_QUEUE_COLUMNS \
  "run_id, job_id, sort_at, not_before, allow_overlap, destination_id, by_schedule"
#define TG_BY_SCHEDULE "trigger IN ('schedule', 'catchup')"

struct AddedRun {
  model::Run run;
  bool allow_overlap = false;
  ConnectionId source, destination;
};
Query insert_runs(
    const std::vector<AddedRun>& added);  // queued ones, with their place in the queue
// Every column that changes in a run's life.
Query update_runs(const std::vector<const model::Run*>& runs);
// What a run tells its job: at the end of an attempt its fence and when it began; the lesson of all
// when it ended for good.
struct JobNews {
  JobId job;
  std::optional<Fence> fence;
  std::optional<Instant> began_at;
  std::optional<rules::Lesson> lesson;
};
// Adds them to the jobs' rows, which need not be read for it, in the order of the jobs' ids.
// Several of one job count in their order.
std::vector<Query> tell_jobs(const std::vector<JobNews>& news);

}  // namespace tidegate::store::postgres
