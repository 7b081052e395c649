#include "control/store/postgres/attempts.h"

namespace tidegate::store::postgres {

using model::Run;
using model::RunState;

Query states_of(const std::vector<RunId>& runs) {
  return query(
      "SELECT job_id, states FROM job_states WHERE job_id IN (SELECT job_id FROM sync_runs WHERE "
      "id = ANY ($1))",
      runs);
}

Status learn_states(const Rows& rows, std::map<JobId, States>& states) {
  for (const Row row : rows) {
    TG_TRY(states[JobId(row.text(0))], sql::states_from(row.view(1)));
  }
  return {};
}

std::vector<Query> Attempts::looks() const {
  return {lock_jobs_of(ids_),
          query("SELECT run_id, fence, expires_at FROM job_execution_locks WHERE run_id = ANY ($1) "
                "ORDER BY run_id FOR UPDATE",
                ids_),
          query("SELECT " TG_RUN_COLUMNS " FROM sync_runs WHERE id = ANY ($1)", ids_),
          states_of(ids_)};
}

Status Attempts::learn(std::span<const Rows> rows) {
  for (const Row row : rows[0]) {
    TG_TRY(auto head, sql::job_head_from(row));
    heads_[head.job.id] = std::move(head);
  }
  for (const Row row : rows[1]) {
    held_[RunId(row.text(0))] = {Fence{row.integer(1)}, row.time(2)};
  }
  // One that cannot be read is the answer to its own end, not to all.
  for (const Row row : rows[2]) runs_.emplace(RunId(row.text(0)), sql::run_from(row));
  return learn_states(rows[3], states_);
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
  rules::end_attempt(run, end, tx.now);
  held_.erase(lock);
  ended_[run.id] = run;
  tx.note(ChangeKind::Run, run.id.str());
  JobHead& head = heads_.at(run.job);
  if (!end.committed.empty()) {
    head.job.known_state = states_[run.job];
    rules::keep_states(head.job, end.committed);
    changed_states_[run.job] = states_[run.job] = head.job.known_state;
  }
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
