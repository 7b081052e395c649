#pragma once
// Jobs and runs for the planner's tests.

#include <fmt/format.h>

#include <string>
#include <utility>

#include "control/plan/attempt.h"
#include "control/plan/plan.h"

namespace tidegate::plan::testing {

inline Instant at(const char* text) {
  auto parsed = parse_rfc3339(text);
  return parsed ? *parsed : throw std::invalid_argument(text);
}

inline model::SyncJob every(Seconds interval, Instant next_slot) {
  model::SyncJob job;
  job.id = JobId("job-1");
  job.spec.schedule = model::EverySchedule{interval, std::nullopt};
  job.spec.mode = protocol::SyncMode::Full;
  job.next_slot = next_slot;
  return job;
}

inline model::SyncJob cron(std::string expression, Instant next_slot, std::string zone = "UTC") {
  model::SyncJob job = every(Seconds(1), next_slot);
  job.spec.schedule = model::CronSchedule{std::move(expression), std::move(zone), {}};
  return job;
}

inline model::Run run_of(std::string id, model::RunState state,
                         model::Trigger trigger = model::Trigger::Schedule) {
  model::Run run;
  run.id = RunId(std::move(id));
  run.state = state;
  run.trigger = trigger;
  run.attempt = state == model::RunState::Running ? 1 : 0;
  return run;
}

inline model::Run backoff_run(std::string id, Instant not_before) {
  model::Run run = run_of(std::move(id), model::RunState::Queued);
  run.attempt = 1;
  run.retries_used = 1;
  run.not_before = not_before;
  run.error = "connection refused";
  run.attempts.push_back({.number = 1, .outcome = std::string(attempt_outcome::kRetry)});
  return run;
}

inline NewRunId counting_ids() {
  return [n = 0]() mutable { return RunId(fmt::format("new-{}", ++n)); };
}

// "R" a run, "C" a catch-up run, and "reason×count" for each record, in slot order.
inline std::string outline(const store::PlanStep& step) {
  std::string text;
  std::size_t r = 0, k = 0;
  while (r < step.runs.size() || k < step.records.size()) {
    if (!text.empty()) text += ' ';
    const bool run_first = k == step.records.size() ||
                           (r < step.runs.size() && *step.runs[r].slot < step.records[k].first);
    if (run_first) {
      text += step.runs[r++].trigger == model::Trigger::Catchup ? "C" : "R";
    } else {
      const model::SlotRecord& record = step.records[k++];
      text += fmt::format("{}{}x{}", record.outcome == model::SlotOutcome::Missed ? "!" : "",
                          record.reason, record.count);
    }
  }
  return text;
}

inline store::PlanStep step_of(const store::PlanView& view, Instant now,
                               const PlanLimits& limits = {}) {
  auto planned = plan(view, now, limits, counting_ids());
  if (!planned || !*planned) throw std::logic_error("nothing planned");
  return **planned;
}

}  // namespace tidegate::plan::testing
