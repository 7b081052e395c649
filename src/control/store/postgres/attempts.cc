#include "control/store/postgres/attempts.h"

#include <algorithm>

namespace tidegate::store::postgres {

using model::Run;
using model::RunState;

Attempts::Attempts(std::vector<HeldRun> held, std::vector<RunId> committing, HeldRuns* own)
    : held_(std::move(held)), committing_(std::move(committing)), orphans_(own == nullptr) {
  std::ranges::sort(held_, {}, &HeldRun::run);  // as renewals lock them
  for (const HeldRun& h : held_) {
    auto known = own != nullptr ? own->take(h.run, h.fence) : std::nullopt;
    if (known) {
      runs_.emplace(h.run, Found{.run = std::move(*known), .held = true});
    } else {
      unknown_.push_back(h.run);
    }
  }
}

std::vector<Query> Attempts::looks() const {
  if (unknown_.empty() && committing_.empty()) return {};
  // Of all, or some would be locked out of order when they are told.
  const auto known_jobs = column(runs_, [](const auto& r) { return r.second.run->job; });
  // A renewal holds the lock of its run alone, and may write the run: its row is read after that.
  return {lock_jobs_of(unknown_, known_jobs), JobStates::look(committing_),
          query(std::string("SELECT run_id, owner, fence, acquired_at, exclusive_key, "
                            "cancel_requested FROM job_execution_locks WHERE run_id = ANY ($1)") +
                    (orphans_ ? " AND expires_at <= (SELECT tidegate_now())" : "") +
                    " ORDER BY run_id FOR UPDATE",
                unknown_),
          query("SELECT " TG_RUN_COLUMNS " FROM sync_runs WHERE id = ANY ($1)", unknown_)};
}

void Attempts::learn(std::span<const Rows> rows) {
  if (rows.empty()) return;
  states_.learn(rows[0], rows[1]);
  // One that cannot be read is the answer to its own end, not to all.
  for (const Row row : rows[3]) {
    runs_.emplace(RunId(row.text(0)), Found{.run = sql::run_from(row)});
  }
  for (const Row row : rows[2]) {
    const auto locked = runs_.find(RunId(row.text(0)));
    if (locked == runs_.end()) continue;
    const Fence fence{row.integer(2)};
    const auto held = std::ranges::lower_bound(held_, locked->first, {}, &HeldRun::run);
    Found& found = locked->second;
    found.held = fence == held->fence;
    found.cancel_requested = row.flag(5);
    if (!found.held || !found.run) continue;
    Run& run = *found.run;
    if (run.fence != fence) {
      rules::begin_attempt(run, OwnerId(row.text(1)), fence, row.text(4), row.time(3));
    }
    run.cancel_requested = run.cancel_requested || found.cancel_requested;
  }
}

bool Attempts::is_held(const RunId& run) const {
  const auto found = runs_.find(run);
  return found != runs_.end() && found->second.held;
}

Status Attempts::end(const AttemptEnd& end, Tx& tx) {
  const auto known = runs_.find(end.held.run);
  if (known == runs_.end()) return rules::run_fenced(end.held.run);
  Found& found = known->second;
  if (!found.run) return fail(found.run.error());
  Run& run = *found.run;
  if (rules::is_repeat(run, end)) return {};
  if (!found.held) return rules::run_fenced(run.id);
  TG_CHECK(rules::check_move(run.state, end.next));
  if (!end.committed.empty()) TG_CHECK(states_.keep(run.job, end.committed));
  JobNews news{.job = run.job,
               .fence = rules::fence_after(run.fence, end),
               .began_at = run.attempts.empty() ? std::nullopt
                                                : std::optional(run.attempts.back().started_at),
               .lesson = {}};
  rules::end_attempt(run, end, tx.now);
  if (model::is_terminal(run.state)) news.lesson = rules::lesson_of(run);
  news_.push_back(std::move(news));
  found.held = false;
  ended_.emplace(run.id, &found);
  tx.note(ChangeKind::Run, run.id.str());
  return {};
}

// The jobs come first, in the order of who locks what.
std::vector<Query> Attempts::writes() const {
  if (ended_.empty()) return {};
  const auto of_run = [&](auto part) {
    return column(ended_, [&](const auto& e) { return std::invoke(part, *e.second->run); });
  };
  std::vector<RunId> queued;
  for (const auto& [id, found] : ended_) {
    if (found->run->state == RunState::Queued) queued.push_back(id);
  }
  auto queries = tell_jobs(news_);
  // Each lock must be there as it is known: a division by zero otherwise.
  queries.push_back(query(
      "WITH gone AS (DELETE FROM job_execution_locks l USING unnest($1, $2, $3) AS i(run, "
      "held, cancel) WHERE l.run_id = i.run AND l.fence = i.held AND l.cancel_requested = "
      "i.cancel RETURNING 1) SELECT 1 / (count(*) = $4)::int FROM gone",
      of_run(&Run::id), of_run(&Run::fence),
      column(ended_, [](const auto& e) { return e.second->cancel_requested; }), ended_.size()));
  queries.push_back(update_runs(of_run([](const Run& run) { return &run; })));
  if (!queued.empty()) {
    queries.push_back(query("INSERT INTO run_queue (" TG_QUEUE_COLUMNS
                            ") SELECT id, job_id, sort_at, "
                            "not_before, allow_overlap, destination_id, " TG_BY_SCHEDULE
                            " FROM sync_runs WHERE id = ANY ($1)",
                            queued));
  }
  for (Query& q : states_.writes()) queries.push_back(std::move(q));
  return queries;
}

}  // namespace tidegate::store::postgres
