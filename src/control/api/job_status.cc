#include "control/api/job_status.h"

#include <algorithm>

#include "control/api/job_io.h"
#include "control/model/job_json.h"
#include "control/model/run_json.h"
#include "control/model/text_field.h"
#include "control/plan/plan.h"
#include "control/plan/slots.h"
#include "control/plan/why.h"

namespace tidegate::api {
namespace {

using boost::json::object;
using boost::json::value;
using model::RunState;

constexpr std::size_t kNextSlots = 10;
constexpr std::size_t kActiveShown = 100;
constexpr std::size_t kLedgerLooked = 20;

Result<std::vector<model::Run>> runs_in(store::Store& store, const model::SyncJob& job,
                                        std::optional<RunState> state, std::size_t limit,
                                        bool oldest_first) {
  store::RunQuery q;
  q.workspace = job.workspace;
  q.job = job.id;
  q.state = state;
  q.oldest_first = oldest_first;
  q.page.limit = limit;
  TG_TRY(auto list, store.list_runs(q));
  return std::move(list.items);
}

object to_json(const plan::Why& why) { return {{"code", why.code}, {"text", why.text}}; }

// The newest slot that has no run.
Result<value> last_not_run(store::Store& store, const model::SyncJob& job) {
  store::LedgerQuery q;
  q.workspace = job.workspace;
  q.job = job.id;
  q.page.limit = kLedgerLooked;
  TG_TRY(const auto slots, store.list_slots(q));
  const auto it = std::ranges::find_if(slots.items, [](const auto& e) { return e.run.empty(); });
  if (it == slots.items.end()) return value(nullptr);
  object o = model::to_json(*it);
  o["why"] = plan::why_not_run(*it).text;
  return o;
}

}  // namespace

std::string_view job_health(const model::SyncJob& job, bool active, Instant now) {
  if (!job.spec.enabled) return "disabled";
  if (plan::is_paused(job, now)) return "paused";
  const Millis grace = std::max(job.spec.misfire_grace, Millis(10'000));
  if (!active && job.next_slot && *job.next_slot + grace < now) return "late";
  if (job.consecutive_failures > 0) return "failing";
  return job.run_count == 0 ? "new" : "healthy";
}

Result<object> job_status_json(store::Store& store, const model::SyncJob& job) {
  TG_TRY(const Instant now, store.now());
  store::PlanView view{.job = job, .active = {}};
  TG_TRY(view.active, runs_in(store, job, RunState::Running, kActiveShown, true));
  const std::size_t running = view.active.size();
  TG_TRY(auto queued, runs_in(store, job, RunState::Queued, kActiveShown, true));
  for (auto& run : queued) view.active.push_back(std::move(run));
  TG_TRY(const auto newest, runs_in(store, job, std::nullopt, 1, false));
  const auto next = plan::next_slots(job, now, kNextSlots);
  TG_TRY(value not_run, last_not_run(store, job));

  const model::SyncJob as_shown = shown(job, now);
  object o;
  o["jobId"] = job.id.str();
  o["name"] = job.spec.name;
  o["status"] = model::job_status(as_shown);
  o["health"] = job_health(job, !view.active.empty(), now);
  o["currentRun"] = running > 0 ? value(model::to_json(view.active.front())) : value(nullptr);
  boost::json::array waiting_runs;
  for (std::size_t i = running; i < view.active.size(); ++i) {
    object item = to_json(plan::why_queued(view.active[i], view, now));
    item["runId"] = view.active[i].id.str();
    item["notBefore"] = format_utc(view.active[i].not_before);
    waiting_runs.push_back(std::move(item));
  }
  o["queuedRuns"] = std::move(waiting_runs);
  o["lastRun"] = newest.empty() ? value(nullptr) : value(model::to_json(newest.front()));
  // Nothing of the job is planned until its zone can be read again.
  o["waiting"] = to_json(next || !view.active.empty()
                             ? plan::why_waiting(view, now)
                             : plan::Why{"schedule_unreadable", next.error().message});
  o["lastNotRun"] = std::move(not_run);
  o["nextRunAt"] = model::next_run_at(as_shown);
  boost::json::array times;
  if (next) {
    for (const Instant t : *next) times.emplace_back(format_utc(t));
  }
  o["nextRuns"] = std::move(times);
  o["lastSuccessAt"] = model::time_or_null(job.last_success_at);
  o["lastError"] = job.last_error ? value(*job.last_error) : value(nullptr);
  o["consecutiveFailures"] = job.consecutive_failures;
  const auto avg = job.avg_duration();
  o["avgDurationMs"] = avg ? value(avg->count()) : value(nullptr);
  return o;
}

}  // namespace tidegate::api
