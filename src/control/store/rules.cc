#include "control/store/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tidegate::store::rules {
namespace {

// What a line costs beyond its texts: time, level, numbers.
constexpr std::int64_t kLineOverhead = 32;

std::int64_t cost(const model::RunLogLine& line) {
  return kLineOverhead + static_cast<std::int64_t>(line.message.size() + line.entity.size());
}

void merge_entities(std::vector<protocol::EntityResult>& into,
                    const std::vector<protocol::EntityResult>& from) {
  for (const auto& e : from) {
    const auto it =
        std::ranges::find(into, e.entity, [](const auto& known) { return known.entity; });
    if (it == into.end()) {
      into.push_back(e);
    } else {
      *it = e;
    }
  }
}

void end_queued(model::Run& run, std::string_view kind, std::string_view error, Instant now) {
  run.state = model::RunState::Cancelled;
  run.error_kind = kind;
  run.error = error;
  run.finished_at = now;
}

model::Attempt* current_attempt(model::Run& run) {
  return run.attempts.empty() ? nullptr : &run.attempts.back();
}

}  // namespace

Fence next_fence(Fence previous, Instant now) {
  return Fence{std::max(value(previous) + 1, to_ms(now))};
}

Fence fence_after(Fence of_job, const AttemptEnd& end) {
  if (!end.fence_found || value(*end.fence_found) > to_ms(kForEver)) return of_job;
  return Fence{std::max(value(of_job), value(*end.fence_found))};
}

bool is_held(bool enabled, const std::optional<model::Pause>& pause, model::Trigger trigger,
             Instant now) {
  const bool by_schedule =
      trigger == model::Trigger::Schedule || trigger == model::Trigger::Catchup;
  return by_schedule && (!enabled || (pause && pause->holds(now)));
}

Status check_room(bool enabled, const std::optional<model::Pause>& pause,
                  std::span<const model::Run> active, Instant now) {
  for (const model::Run& run : active) {
    if (run.state != model::RunState::Queued || !is_held(enabled, pause, run.trigger, now)) {
      return run_active(run.id);
    }
  }
  return {};
}

Status check_move(model::RunState from, model::RunState to) {
  if (model::can_move(from, to)) return {};
  return fail(Code::Internal,
              fmt::format("a run cannot go from {} to {}; this is a defect, please report it",
                          model::kRunStateNames[static_cast<std::size_t>(from)],
                          model::kRunStateNames[static_cast<std::size_t>(to)]));
}

void begin_attempt(model::Run& run, const OwnerId& owner, Fence fence, std::string exclusive_key,
                   Instant now) {
  run.state = model::RunState::Running;
  run.attempt += 1;
  run.owner = owner;
  run.fence = fence;
  run.exclusive_key = std::move(exclusive_key);
  run.error_kind.clear();
  run.error.clear();
  run.progress.clear();
  if (!run.started_at) run.started_at = now;
  run.attempts.push_back(
      {.number = run.attempt, .owner = owner, .fence = fence, .started_at = now});
  if (run.attempts.size() > kAttemptsKept) run.attempts.erase(run.attempts.begin());
}

void end_attempt(model::Run& run, const AttemptEnd& end, Instant now) {
  if (model::Attempt* a = current_attempt(run); a != nullptr) {
    a->finished_at = now;
    a->took = end.took;
    a->outcome = end.outcome;
    a->error_kind = end.error_kind;
    a->error = end.error;
  }
  merge_entities(run.entities, end.entities);
  for (const auto& w : end.warnings) {
    if (std::ranges::find(run.warnings, w) == run.warnings.end()) run.warnings.push_back(w);
  }
  const bool lost = end.outcome == model::error_kind::kWorkerLost ||
                    end.error_kind == model::error_kind::kWorkerLost;
  if (!end.committed.empty() || !lost) run.lost_in_row = 0;
  if (lost) run.lost_in_row += 1;
  run.owner = OwnerId();
  run.exclusive_key.clear();
  run.error_kind = end.error_kind;
  run.error = end.error;
  run.state = end.next;
  if (end.next == model::RunState::Queued && !run.cancel_requested) {
    run.not_before = now + end.wait;
    run.retries_used += end.uses_retry ? 1 : 0;
    if (!end.only_entities.empty()) run.only_entities = end.only_entities;
    return;
  }
  if (end.next == model::RunState::Queued) {
    run.state = model::RunState::Cancelled;
    run.error_kind = model::error_kind::kCancelled;
    run.error = "cancelled on request instead of a further attempt";
  }
  run.finished_at = now;
}

void supersede(model::Run& run, std::string_view why, Instant now) {
  end_queued(run, model::error_kind::kSuperseded, why, now);
}

void cancel_queued(model::Run& run, Instant now) {
  run.cancel_requested = true;
  end_queued(run, model::error_kind::kCancelled, "cancelled before it started", now);
}

bool is_repeat(const model::Run& run, const AttemptEnd& end) {
  return run.state != model::RunState::Running && run.fence == end.held.fence &&
         !run.attempts.empty() && run.attempts.back().fence == end.held.fence &&
         run.attempts.back().finished_at && run.attempts.back().outcome == end.outcome;
}

Lesson lesson_of(const model::Run& run) {
  switch (run.state) {
    case model::RunState::Succeeded:
      return {.success_at = run.finished_at,
              .took = run.started_at ? std::optional(model::run_time(run)) : std::nullopt,
              .error = {}};
    case model::RunState::Failed:
    case model::RunState::TimedOut:
      return {.success_at = {}, .took = {}, .error = run.error};
    default:
      // Replaced while it waited for its retry: the next one starts from zero, so that a job that
      // never succeeds would otherwise never have failed. Other cancelled runs tell nothing.
      if (run.error_kind == model::error_kind::kSuperseded && !run.attempts.empty() &&
          !run.attempts.back().error.empty()) {
        return {.success_at = {}, .took = {}, .error = run.attempts.back().error};
      }
      return {};
  }
}

void account(model::SyncJob& job, const model::Run& run) {
  job.run_count += 1;
  const Lesson lesson = lesson_of(run);
  if (lesson.success_at) {
    job.last_success_at = lesson.success_at;
    job.last_error.reset();
    job.consecutive_failures = 0;
  }
  if (lesson.took) {
    job.success_durations.push_back(*lesson.took);
    if (job.success_durations.size() > model::kDurationsKept) job.success_durations.pop_front();
  }
  if (lesson.error) {
    job.last_error = lesson.error;
    job.consecutive_failures += 1;
  }
}

void keep_states(model::SyncJob& job, const Committed& committed) {
  for (const auto& [entity, state] : committed) {
    if (state.epoch >= job.reset_epoch) job.known_state[entity] = state;
  }
}

Status move_next_slot(model::SyncJob& job, const Reschedule& change) {
  if (job.next_slot != change.expected_next_slot) return slots_moved();
  job.next_slot = change.next_slot;
  return {};
}

bool allows_overlap(const model::JobSpec& spec) { return spec.overlap == model::Overlap::Allow; }

bool extends(const model::SlotRecord& newest, const model::SlotRecord& next) {
  return newest.outcome == next.outcome && newest.reason == next.reason && newest.last < next.first;
}

void replace(model::Connection& row, const model::Connection& with) {
  row.name = with.name;
  row.type = with.type;
  row.config = with.config;
  row.exclusive_key = with.exclusive_key;
  row.updated_at = with.updated_at;
  row.revision += 1;
}

std::vector<model::RunLogLine> fit_log(LogTail& tail, std::span<const model::RunLogLine> lines,
                                       std::size_t max_bytes, Instant now) {
  std::vector<model::RunLogLine> kept;
  const auto budget = static_cast<std::int64_t>(max_bytes);
  for (const auto& line : lines) {
    if (tail.full) break;
    if (tail.bytes + cost(line) > budget) {
      tail.full = true;
      kept.push_back({.seq = ++tail.seq,
                      .at = now,
                      .attempt = line.attempt,
                      .level = LogLevel::Warn,
                      .entity = "",
                      .message = fmt::format("log limit of {} bytes a run reached: further lines "
                                             "are not kept",
                                             max_bytes)});
      break;
    }
    tail.bytes += cost(line);
    kept.push_back(line);
    kept.back().seq = ++tail.seq;
  }
  return kept;
}

std::int64_t log_bytes(std::span<const model::RunLogLine> lines) {
  std::int64_t bytes = 0;
  for (const auto& line : lines) bytes += cost(line);
  return bytes;
}

std::set<Instant> slots_of(const PlanStep& step) {
  std::set<Instant> slots;
  for (const NewRun& run : step.runs) {
    if (run.slot) slots.insert(*run.slot);
  }
  for (const auto& record : step.records) slots.insert({record.first, record.last});
  return slots;
}

model::Run new_run(const JobId& job, const WorkspaceId& workspace, std::int64_t revision,
                   const NewRun& added, Instant now) {
  model::Run run;
  run.id = added.id;
  run.workspace = workspace;
  run.job = job;
  run.job_revision = revision;
  run.scheduled_for = added.slot;
  run.trigger = added.trigger;
  run.created_at = now;
  run.not_before = added.not_before;
  return run;
}

bool step_applies(const PlanStep& step, std::int64_t revision,
                  const std::optional<Instant>& next_slot,
                  const std::map<RunId, model::RunState>& active) {
  if (revision != step.expected_revision || next_slot != step.expected_next_slot) return false;
  if (step.expected_active && active != *step.expected_active) return false;
  std::set<Instant> slots;
  for (const NewRun& run : step.runs) {
    if (run.slot && !slots.insert(*run.slot).second) return false;
  }
  for (const auto& record : step.records) {
    if (!slots.insert(record.first).second) return false;
  }
  const auto in_state = [&](model::RunState state) {
    return [&active, state](const RunId& id) {
      const auto it = active.find(id);
      return it != active.end() && it->second == state;
    };
  };
  return std::ranges::none_of(step.supersede, in_state(model::RunState::Running)) &&
         std::ranges::none_of(step.cancel, in_state(model::RunState::Queued));
}

void drop_known_slots(PlanStep& step, const std::set<Instant>& known) {
  if (known.empty()) return;
  std::erase_if(step.runs, [&](const NewRun& r) { return r.slot && known.contains(*r.slot); });
  for (auto& record : step.records) {
    // Which slots lie between is not known here: the newest keeps its outcome.
    if (!known.contains(record.first) || known.contains(record.last)) continue;
    record.first = record.last;
    record.count = 1;
  }
  std::erase_if(step.records, [&](const auto& r) { return known.contains(r.first); });
  if (!step.runs.empty()) return;
  step.supersede.clear();  // no newer run takes their place
  step.cancel.clear();
}

}  // namespace tidegate::store::rules
