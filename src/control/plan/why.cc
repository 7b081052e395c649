#include "control/plan/why.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "control/plan/plan.h"
#include "control/store/rules.h"

namespace tidegate::plan {
namespace {

namespace skip = model::skip_reason;
using model::RunState;

// A slot that is due for so long has no leader that plans it.
constexpr Millis kOverdue{10'000};

Why paused(const model::Pause& pause) {
  std::string text = "paused";
  if (!pause.by.empty()) text += " by " + pause.by;
  if (pause.until) text += " until " + format_utc(*pause.until);
  if (!pause.note.empty()) text += ": " + pause.note;
  return {"paused", text};
}

struct Sentence {
  std::string_view reason, text;
};
constexpr Sentence kSentences[] = {
    {skip::kOverlap, "a run of the job was still queued, running or waiting for a retry"},
    {skip::kPaused, "the job was paused"},
    {skip::kDisabled, "the job was disabled"},
    {skip::kCatchupWindow, "it was older than the job's catch-up allows when it was found"},
    {skip::kSuperseded, "a newer scheduled time of the job took its place"},
    {skip::kScheduleChanged, "the schedule was changed before it was planned"},
    {skip::kDown,
     "no server could plan it in time (none was running, or the store could not be written), and "
     "the job's overlap or catch-up policy leaves it out"},
    {skip::kRestored,
     "it came due after the backup was made that this store was restored from, and before the "
     "restore; whether it ran elsewhere is not known here"},
};

}  // namespace

Why why_queued(const model::Run& run, const store::PlanView& view, Instant now) {
  if (store::rules::is_held(view.job.spec.enabled, view.job.pause, run.trigger, now)) {
    if (view.job.spec.enabled) return paused(*view.job.pause);
    return {"disabled", "waits until the job is enabled"};
  }
  if (in_backoff(run) && run.not_before > now) {
    return {"retry_backoff", fmt::format("retry {} of {} starts at {}; the last attempt failed: {}",
                                         run.retries_used, view.job.spec.retry.max_attempts - 1,
                                         format_utc(run.not_before), run.error)};
  }
  if (run.not_before > now) {
    return {"jitter", fmt::format("starts at {}", format_utc(run.not_before))};
  }
  const auto running = std::ranges::find(view.active, RunState::Running, &model::Run::state);
  if (running != view.active.end() && view.job.spec.overlap != model::Overlap::Allow) {
    return {"job_running", fmt::format("waits for run {} of this job to end", running->id.str())};
  }
  return {"no_free_worker",
          "waits for a free place on a worker (`tidegate workers list` shows them: is one "
          "running?), or for the destination's one writer"};
}

Why why_waiting(const store::PlanView& view, Instant now) {
  const model::SyncJob& job = view.job;
  const auto running = std::ranges::find(view.active, RunState::Running, &model::Run::state);
  if (running != view.active.end()) {
    return {"running",
            fmt::format("run {} is running (attempt {}){}", running->id.str(), running->attempt,
                        running->cancel_requested ? "; it was asked to stop" : "")};
  }
  if (!view.active.empty()) return why_queued(view.active.front(), view, now);
  if (!job.spec.enabled) return {"disabled", "the job is disabled"};
  if (is_paused(job, now)) return paused(*job.pause);
  if (!job.next_slot) {
    if (std::holds_alternative<std::monostate>(job.spec.schedule)) {
      return {"no_schedule", "the job has no schedule: it is started by hand"};
    }
    return {"schedule_over", "nothing more will come due under the job's schedule"};
  }
  if (*job.next_slot + kOverdue < now) {
    return {"overdue", fmt::format("{} is due and no server has planned it: is a worker running?",
                                   format_utc(*job.next_slot))};
  }
  return {"scheduled", fmt::format("next scheduled time: {}", format_utc(*job.next_slot))};
}

Why why_not_run(const model::LedgerEntry& entry) {
  if (!entry.run.empty()) {
    return {entry.reason.empty() ? entry.outcome : entry.reason,
            entry.outcome == "planned" ? "its run has not ended yet"
            : entry.reason.empty()
                ? fmt::format("its run ended as {}", entry.outcome)
                : fmt::format("its run ended as {}: {}", entry.outcome, entry.reason)};
  }
  const auto* known = std::ranges::find(kSentences, entry.reason, &Sentence::reason);
  const std::string text = known == std::end(kSentences) ? entry.reason : std::string(known->text);
  return {entry.reason, fmt::format("{}: {}", entry.outcome, text)};
}

}  // namespace tidegate::plan
