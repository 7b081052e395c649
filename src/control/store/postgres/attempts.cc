#include "control/store/postgres/attempts.h"

namespace tidegate::store::postgres {

using model::Run;
using model::RunState;

Query states_of(const std::vector<RunId>& runs) {
  return query(
      "SELECT job_id, states FROM job_states WHERE job_id = ANY (ARRAY(SELECT job_id FROM "
      "sync_runs WHERE id = ANY ($1)))",
      runs);
}

KnownStates states_from(const Rows& rows) {
  KnownStates known;
  for (const Row row : rows) known.emplace(JobId(row.text(0)), sql::states_from(row.view(1)));
  return known;
}

Result<States> states_in(const KnownStates& known, const JobId& job) {
  const auto it = known.find(job);
  return it == known.end() ? States() : it->second;
}

std::vector<Query> Attempts::looks() const {
  std::vector<Query> queries{
      lock_jobs_of(ids_),
      query("SELECT run_id, fence, expires_at FROM job_execution_locks WHERE run_id = ANY ($1) "
            "ORDER BY run_id FOR UPDATE",
            ids_),
      query("SELECT " TG_RUN_COLUMNS " FROM sync_runs WHERE id = ANY ($1)", ids_)};
  if (!committing_.empty()) queries.push_back(states_of(committing_));
  return queries;
}

void Attempts::learn(std::span<const Rows> rows) {
  // One that cannot be read is the answer to its own end, not to all.
  for (const Row row : rows[0]) heads_.emplace(JobId(row.text(0)), sql::counted_job_from(row));
  for (const Row row : rows[1]) {
    held_[RunId(row.text(0))] = {Fence{row.integer(1)}, row.time(2)};
  }
  for (const Row row : rows[2]) runs_.emplace(RunId(row.text(0)), sql::run_from(row));
  if (!committing_.empty()) states_ = states_from(rows[3]);
}

bool Attempts::is_orphan(const HeldRun& held, Instant now) const {
  const auto lock = held_.find(held.run);
  return lock != held_.end() && lock->second.fence == held.fence && lock->second.expires <= now;
}

Status Attempts::end(const AttemptEnd& end, Tx& tx) {
  const auto found = runs_.find(end.held.run);
  if (found == runs_.end()) return rules::run_fenced(end.held.run);
  if (!found->second) return fail(found->second.error());
  Run& run = *found->second;
  if (rules::is_repeat(run, end)) return {};
  const auto lock = held_.find(run.id);
  if (lock == held_.end() || lock->second.fence != end.held.fence) {
    return rules::run_fenced(run.id);
  }
  TG_CHECK(rules::check_move(run.state, end.next));
  Result<JobHead>& known = heads_.at(run.job);
  if (!known) return fail(known.error());
  JobHead& head = *known;
  if (!end.committed.empty()) {
    TG_TRY(head.job.known_state, states_in(states_, run.job));
    rules::keep_states(head.job, end.committed);
    changed_states_[run.job] = head.job.known_state;
    states_.insert_or_assign(run.job, head.job.known_state);
  }
  rules::end_attempt(run, end, tx.now);
  held_.erase(lock);
  ended_[run.id] = run;
  tx.note(ChangeKind::Run, run.id.str());
  if (model::is_terminal(run.state)) {
    rules::account(head.job, run);
    accounted_[run.job] = head;
  }
  return {};
}

std::vector<Query> Attempts::writes() const {
  if (ended_.empty()) return {};
  const auto runs = column(ended_, [](const auto& r) { return r.second; });
  const auto ids = column(runs, &Run::id);
  std::vector<Query> queries{query("DELETE FROM job_execution_locks WHERE run_id = ANY ($1)", ids),
                             update_runs(runs)};
  std::vector<RunId> queued;
  for (const Run& run : runs) {
    if (run.state == RunState::Queued) queued.push_back(run.id);
  }
  if (!queued.empty()) {
    queries.push_back(query("INSERT INTO run_queue (" TG_QUEUE_COLUMNS
                            ") SELECT id, job_id, sort_at, "
                            "not_before, allow_overlap, destination_id, " TG_BY_SCHEDULE
                            " FROM sync_runs WHERE id = ANY ($1)",
                            queued));
  }
  if (!accounted_.empty()) {
    queries.push_back(
        update_job_progress(column(accounted_, [](const auto& h) { return h.second; })));
  }
  if (!changed_states_.empty()) queries.push_back(save_states(changed_states_));
  return queries;
}

}  // namespace tidegate::store::postgres
