#include "control/store/postgres/attempts.h"

#include <algorithm>
#include <functional>

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

Attempts::Attempts(std::vector<HeldRun> held, std::vector<RunId> committing, HeldRuns* own)
    : held_(std::move(held)), committing_(std::move(committing)), orphans_(own == nullptr) {
  std::ranges::sort(held_, {}, &HeldRun::run);  // as renewals lock them
  for (const HeldRun& h : held_) {
    auto known = own != nullptr ? own->take(h.run, h.fence) : std::nullopt;
    if (known) {
      runs_.emplace(h.run, std::move(*known));
    } else {
      unknown_.push_back(h.run);
    }
  }
}

#define TG_LOCK_COLUMNS                                                                   \
  "run_id, job_id, owner, fence, acquired_at, expires_at, exclusive_key, allow_overlap, " \
  "cancel_requested"

std::vector<Query> Attempts::looks() const {
  const auto ids = column(held_, &HeldRun::run);
  const auto known_jobs = column(runs_, [](const auto& r) { return r.second->job; });
  std::vector<Query> queries{
      lock_jobs_of(unknown_, known_jobs),
      query(std::string("DELETE FROM job_execution_locks l USING unnest($1, $2) AS i(run, held) "
                        "WHERE l.run_id = i.run AND l.fence = i.held") +
                (orphans_ ? " AND l.expires_at <= (SELECT tidegate_now())" : "") +
                " RETURNING " TG_LOCK_COLUMNS,
            ids, column(held_, &HeldRun::fence)),
      query("SELECT " TG_RUN_COLUMNS " FROM sync_runs WHERE id = ANY ($1)", unknown_)};
  if (!committing_.empty()) queries.push_back(states_of(committing_));
  return queries;
}

void Attempts::learn(std::span<const Rows> rows) {
  // One that cannot be read is the answer to its own end, not to all.
  for (const Row row : rows[0]) heads_.emplace(JobId(row.text(0)), locked_job_from(row));
  for (const Row row : rows[1]) {
    locks_[RunId(row.text(0))] = {.job = JobId(row.text(1)),
                                  .owner = OwnerId(row.text(2)),
                                  .fence = Fence{row.integer(3)},
                                  .acquired = row.time(4),
                                  .expires = row.time(5),
                                  .exclusive_key = row.text(6),
                                  .allow_overlap = row.flag(7),
                                  .cancel_requested = row.flag(8)};
  }
  for (const Row row : rows[2]) runs_.emplace(RunId(row.text(0)), sql::run_from(row));
  if (!committing_.empty()) states_ = states_from(rows[3]);
}

Status Attempts::end(const AttemptEnd& end, Tx& tx) {
  const auto found = runs_.find(end.held.run);
  if (found == runs_.end()) return rules::run_fenced(end.held.run);
  if (!found->second) return fail(found->second.error());
  Run& run = *found->second;
  if (rules::is_repeat(run, end)) return {};
  const auto found_lock = locks_.find(run.id);
  if (found_lock == locks_.end()) return rules::run_fenced(run.id);
  const Lock& lock = found_lock->second;
  if (run.fence != lock.fence) {
    rules::begin_attempt(run, lock.owner, lock.fence, lock.exclusive_key, lock.acquired);
  }
  run.cancel_requested = run.cancel_requested || lock.cancel_requested;
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
  head.fence = rules::fence_after(std::max(head.fence, lock.fence), end);
  head.job.last_run_at = std::max(head.job.last_run_at, std::optional(lock.acquired));
  if (model::is_terminal(run.state)) rules::account(head.job, run);
  locks_.erase(found_lock);
  ended_.push_back(&run);
  tx.note(ChangeKind::Run, run.id.str());
  return {};
}

Query Attempts::put_back() const {
  const auto of_lock = [&](auto&& part) {
    return column(locks_, [&](const auto& l) { return std::invoke(part, l.second); });
  };
  return query("INSERT INTO job_execution_locks (" TG_LOCK_COLUMNS
               ") SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)",
               column(locks_, [](const auto& l) { return l.first; }), of_lock(&Lock::job),
               of_lock(&Lock::owner), of_lock(&Lock::fence), of_lock(&Lock::acquired),
               of_lock(&Lock::expires), of_lock(&Lock::exclusive_key),
               of_lock(&Lock::allow_overlap), of_lock(&Lock::cancel_requested));
}

std::vector<Query> Attempts::writes() const {
  std::vector<Query> queries;
  if (!locks_.empty()) queries.push_back(put_back());
  if (ended_.empty()) return queries;
  queries.push_back(update_runs(ended_));
  std::map<JobId, const JobHead*> heads;
  std::vector<RunId> queued;
  for (const Run* run : ended_) {
    if (run->state == RunState::Queued) queued.push_back(run->id);
    heads.try_emplace(run->job, &*heads_.at(run->job));
  }
  queries.push_back(update_job_progress(column(heads, [](const auto& h) { return h.second; })));
  if (!queued.empty()) {
    queries.push_back(query("INSERT INTO run_queue (" TG_QUEUE_COLUMNS
                            ") SELECT id, job_id, sort_at, "
                            "not_before, allow_overlap, destination_id, " TG_BY_SCHEDULE
                            " FROM sync_runs WHERE id = ANY ($1)",
                            queued));
  }
  if (!changed_states_.empty()) queries.push_back(save_states(changed_states_));
  return queries;
}

}  // namespace tidegate::store::postgres
