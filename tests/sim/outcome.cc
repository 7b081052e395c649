// After the faults: somebody leads, what is due is planned, every run ends; then the books are
// compared with what was promised.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "control/plan/attempt.h"
#include "control/plan/plan.h"
#include "tests/sim/world.h"

namespace tidegate::sim {

using model::Run;
using model::RunState;
using model::SyncJob;

namespace {

// Planning takes as long as nothing, and waits this long after an outage.
constexpr Millis kMayBeDue{2'000};

// Of runs in the order of their ends; none when two that count ended in the same millisecond.
std::optional<int> failures_in_a_row(std::vector<Run> runs) {
  std::ranges::sort(runs, {}, &Run::finished_at);
  int failures = 0;
  std::optional<Instant> before;
  for (const Run& run : runs) {
    const bool failed = run.state == RunState::Failed || run.state == RunState::TimedOut;
    const bool replaced = run.error_kind == model::error_kind::kSuperseded &&
                          !run.attempts.empty() && !run.attempts.back().error.empty();
    if (run.state != RunState::Succeeded && !failed && !replaced) continue;
    if (run.finished_at == before) return std::nullopt;
    before = run.finished_at;
    failures = run.state == RunState::Succeeded ? 0 : failures + 1;
  }
  return failures;
}

}  // namespace

std::vector<Run> World::runs(const JobId& job) {
  std::vector<Run> all;
  store::RunQuery query{.workspace = ws_, .job = job, .oldest_first = true};
  query.page.limit = 1'000;
  for (;;) {
    auto page = store_->list_runs(query);
    if (!page) return all;
    std::ranges::move(page->items, std::back_inserter(all));
    if (!page->next_cursor) return all;
    query.page.cursor = page->next_cursor;
  }
}

std::vector<model::LedgerEntry> World::ledger(const JobId& job) {
  std::vector<model::LedgerEntry> all;
  store::LedgerQuery query{.workspace = ws_, .job = job};
  query.page.limit = 1'000;
  for (;;) {
    auto page = store_->list_slots(query);
    if (!page) return all;
    std::ranges::move(page->items, std::back_inserter(all));
    if (!page->next_cursor) return all;
    query.page.cursor = page->next_cursor;
  }
}

void World::check_leader() {
  const auto leaders = std::ranges::count_if(
      stage_.workers(), [](const auto& w) { return !w->dead && w->leader.leading(); });
  if (leaders == 1) return;
  violation(fmt::format("{} workers lead {} after the faults stopped", leaders,
                        format_duration(kLedWithin)));
}

void World::check_planned() {
  const auto jobs = store_->list_jobs({.workspace = ws_, .page = {.limit = 1'000}});
  for (const SyncJob& job : jobs->items) {
    if (!job.next_slot || *job.next_slot > clock_.now() - kMayBeDue) continue;
    violation(fmt::format("{} of {} is still not planned {} after the faults stopped",
                          format_utc(*job.next_slot), job.id.str(),
                          format_duration(kPlannedWithin)));
  }
}

// Nothing new comes due; what is there must end.
void World::resolve() {
  const auto jobs = store_->list_jobs({.workspace = ws_, .page = {.limit = 1'000}});
  for (const SyncJob& job : jobs->items) {
    (void)store_->set_pause(ws_, job.id, {}, std::nullopt, {});
    auto now = store_->get_job(ws_, job.id);
    store::JobStore::UpdateJob update;
    update.workspace = ws_;
    update.id = job.id;
    update.spec = now->spec;
    update.spec.schedule = std::monostate{};
    update.spec.enabled = true;
    update.at = clock_.now();
    update.reschedule = *plan::reschedule(*now, update.spec, update.at);
    (void)store_->update_job(update);
  }
  std::int64_t left = -1;
  for (;;) {
    const auto count = [this](RunState state) {
      return store_->list_runs({.state = state, .brief = true, .page = {.limit = 1}})->total;
    };
    const std::int64_t now_left = count(RunState::Queued) + count(RunState::Running);
    if (now_left == 0 || !stage_.stuck().empty()) return;
    if (now_left == left) {
      violation(fmt::format("{} runs are left, and none ended for {}", left,
                            format_duration(kProgressWithin)));
      return;
    }
    left = now_left;
    const Millis until = passed() + kProgressWithin;
    while (passed() < until && stage_.stuck().empty() &&
           count(RunState::Queued) + count(RunState::Running) == left) {
      live_until(passed() + Seconds(15));
    }
  }
}

void World::check_run(const Run& run) {
  const auto retried =
      std::ranges::count(run.attempts, plan::attempt_outcome::kRetry, &model::Attempt::outcome);
  // The last one is not counted when somebody had asked for the end.
  const auto uncounted = retried - run.retries_used;
  const bool cancelled = run.cancel_requested && uncounted == 1;
  if (run.attempt == std::ssize(run.attempts) && uncounted != 0 && !cancelled) {
    violation(fmt::format("run {}: {} attempts failed and were tried again, {} are counted",
                          run.id.str(), retried, run.retries_used));
  }
  Fence before{};
  for (const model::Attempt& attempt : run.attempts) {
    if (attempt.fence <= before) violation("run " + run.id.str() + ": fences do not grow");
    before = attempt.fence;
    if (attempt.finished_at) continue;
    violation(fmt::format("run {}: attempt {} has no end", run.id.str(), attempt.number));
  }
  if (run.state == RunState::Succeeded && !destination_.completed(run.id, run.fence)) {
    violation(
        fmt::format("run {} succeeded, and its rows are not in the destination", run.id.str()));
  }
}

void World::check_counters(const SyncJob& job, const std::vector<Run>& all) {
  if (job.run_count != std::ssize(all)) {
    violation(
        fmt::format("{} counts {} runs, and has {}", job.id.str(), job.run_count, all.size()));
  }
  std::optional<Instant> last_success;
  for (const Run& run : all) {
    if (run.state == RunState::Succeeded) last_success = std::max(last_success, run.finished_at);
  }
  if (job.last_success_at != last_success) {
    violation(job.id.str() + ": last_success_at is not that of its newest success");
  }
  const auto failures = failures_in_a_row(all);
  if (failures && job.consecutive_failures != *failures) {
    violation(fmt::format("{} counts {} failures in a row, and has {}", job.id.str(),
                          job.consecutive_failures, *failures));
  }
  if (job.spec.mode == protocol::SyncMode::FullAppend) return;  // a lane for each run
  for (const auto& [entity, known] : job.known_state) {
    const Lane& lane = destination_.lane(job.id.str());
    if (known.epoch == lane.epoch && known.sequence > lane.sequence) {
      violation(fmt::format("{}: commit {} is remembered, and {} were made", job.id.str(),
                            known.sequence, lane.sequence));
    }
  }
}

void World::check_books() {
  for (auto [id, eras] : store_->all_eras()) {
    const auto job = store_->get_job(ws_, id);
    // All before the next slot is planned; a job that is gone has no next one.
    if (job && job->next_slot) eras.back().until = *job->next_slot - Millis(1);
    const auto entries = ledger(id);
    for (const auto& entry : entries) report_.slots += static_cast<std::uint64_t>(entry.count);
    const auto problems = check_slots(id, eras, entries);
    for (const std::string& problem : *problems) violation(problem);
    const std::vector<Run> all = runs(id);
    report_.runs += all.size();
    for (const Run& run : all) {
      check_run(run);
      report_.note(run.id.str(), static_cast<std::int64_t>(run.state));
    }
    if (job && stage_.stuck().empty()) check_counters(*job, all);
  }
}

}  // namespace tidegate::sim
