#include "control/plan/plan.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "control/plan/attempt.h"
#include "control/plan/slots.h"

namespace tidegate::plan {
namespace {

using model::RunState;
using model::SlotOutcome;
using store::PlanStep;

// Below this a slot that is planned at once would count as missed.
constexpr Millis kLeastGrace{1'000};
// Planning takes less; a slot found later was not planned because nobody could.
constexpr Millis kLate{2'000};
// Runs of one job that may wait or run at a time: behind a stuck one the queue would grow for ever,
// and every step of the planner reads it.
constexpr int kMaxActive = 1'000;
// Slots that are counted at the most outside of planning: half a year of an every-second job.
constexpr std::int64_t kMaxCounted = 16'000'000;

bool is_incremental(protocol::SyncMode mode) {
  return mode == protocol::SyncMode::Incremental || mode == protocol::SyncMode::IncrementalAppend;
}

// Adds a slot to the newest stretch, or begins one.
void add_record(std::vector<model::SlotRecord>& records, bool continues, const JobId& job,
                Instant slot, SlotOutcome outcome, std::string_view reason, Instant now) {
  if (continues && !records.empty() && records.back().outcome == outcome &&
      records.back().reason == reason) {
    records.back().last = slot;
    ++records.back().count;
    return;
  }
  records.push_back({.job = job,
                     .first = slot,
                     .last = slot,
                     .count = 1,
                     .outcome = outcome,
                     .reason = std::string(reason),
                     .recorded_at = now});
}

// With catchup `all`: the first missed slot that still runs, so that the newest `allowed` ones do.
// Looks back over windows of doubling length, so the cost follows `allowed` and not the outage.
std::optional<Instant> first_caught_up(const SlotSequence& slots, Instant oldest, Instant cutoff,
                                       std::size_t allowed) {
  if (allowed == 0) return std::nullopt;
  for (Millis back{60'000};; back *= 2) {
    const bool whole = cutoff - oldest <= back;
    const Instant from = whole ? oldest : cutoff - back;
    std::deque<Instant> newest;
    for (auto s = slots.next(from - Millis(1)); s && *s < cutoff; s = slots.next(*s)) {
      newest.push_back(*s);
      if (newest.size() > allowed) newest.pop_front();
    }
    if (newest.size() == allowed || whole) {
      return newest.empty() ? std::nullopt : std::optional(newest.front());
    }
  }
}

// Plans one job. The runs that are active after the step so far are counted as it goes, so that two
// due slots of one step overlap like those of two steps.
class Planner {
 public:
  Planner(const store::PlanView& view, const SlotSequence& slots, Instant now,
          const NewRunId& new_id)
      : view_(view), job_(view.job), slots_(slots), now_(now), new_id_(new_id) {
    step_.job = job_.id;
    step_.expected_revision = job_.revision;
    step_.expected_next_slot = job_.next_slot;
    cutoff_ = now_ - std::max(job_.spec.misfire_grace, kLeastGrace);
    oldest_ = now_ - job_.spec.catchup_window;
    for (const model::Run& run : view_.active) {
      run.state == RunState::Running ? ++running_ : ++queued_;
      if (run.trigger == model::Trigger::Catchup) ++caught_up_;
    }
  }

  PlanStep run(std::size_t max_slots) {
    std::optional<Instant> slot = job_.next_slot;
    for (std::size_t n = 0; slot && *slot <= now_ && n < max_slots; ++n) {
      const std::optional<Instant> following = slots_.next(*slot);
      decide(*slot, following);
      slot = following;
    }
    step_.next_slot = slot;
    // Not before the last slot that it explains: further steps have to know it.
    step_.clear_pause =
        job_.pause && !is_paused(job_, now_) && (!slot || *slot >= *job_.pause->until);
    return std::move(step_);
  }

 private:
  void decide(Instant slot, std::optional<Instant> following) {
    if (!job_.spec.enabled) return skip(slot, model::skip_reason::kDisabled);
    if (is_paused(job_, now_) || in_past_pause(slot)) {
      return skip(slot, model::skip_reason::kPaused);
    }
    if (slot < cutoff_) return missed(slot, following);
    on_time(slot, following);
  }

  // A pause that has run out meanwhile still explains its own slots.
  bool in_past_pause(Instant slot) const {
    const auto& pause = job_.pause;
    return pause && pause->until && slot >= pause->since && slot < *pause->until;
  }

  void missed(Instant slot, std::optional<Instant> following) {
    switch (job_.spec.catchup) {
      case model::Catchup::None:
        return record(slot, SlotOutcome::Missed, model::skip_reason::kDown);
      case model::Catchup::Last: {
        const bool last = !following || *following >= cutoff_;
        if (last && slot >= oldest_) return start(slot, following, model::Trigger::Catchup);
        if (all_too_old()) return skip(slot, model::skip_reason::kCatchupWindow);
        return record(slot, SlotOutcome::Missed, model::skip_reason::kDown);
      }
      case model::Catchup::All:
        if (!caught_up_from_) caught_up_from_ = caught_up_from();
        if (slot >= *caught_up_from_) return start(slot, following, model::Trigger::Catchup);
        return skip(slot, model::skip_reason::kCatchupWindow);
    }
  }

  // Whether even the newest missed slot is outside the window, which is then the reason for all.
  bool all_too_old() {
    if (!all_too_old_) {
      all_too_old_ =
          cutoff_ <= oldest_ || slots_.next(oldest_ - Millis(1)).value_or(cutoff_) >= cutoff_;
    }
    return *all_too_old_;
  }

  Instant caught_up_from() const {
    const std::size_t most = static_cast<std::size_t>(std::max(0, job_.spec.max_catchup));
    const std::size_t allowed = most > caught_up_ ? most - caught_up_ : 0;
    const Instant oldest = std::max(oldest_, *job_.next_slot);
    return first_caught_up(slots_, oldest, cutoff_, allowed).value_or(Instant::max());
  }

  void on_time(Instant slot, std::optional<Instant> following) {
    replace_backoff();
    const bool busy = running_ + queued_ > 0;
    switch (job_.spec.overlap) {
      case model::Overlap::Skip:
        judge_by_active();
        if (busy) return overlaps(slot);
        break;
      case model::Overlap::QueueOne:
        judge_by_active();
        if (queued_ > 0) return overlaps(slot);
        break;
      case model::Overlap::CancelRunning:
        judge_by_active();
        replace_all();
        break;
      case model::Overlap::QueueAll:
      case model::Overlap::Allow:
        if (running_ + queued_ >= kMaxActive) return overlaps(slot);
        break;
    }
    start(slot, following, model::Trigger::Schedule);
  }

  // A run may end, or another begin, between the view and the write of the step.
  void judge_by_active() {
    if (step_.expected_active) return;
    step_.expected_active.emplace();
    for (const model::Run& run : view_.active) step_.expected_active->emplace(run.id, run.state);
  }

  // What is in the way of a late slot counts as overlap only when it was there at the slot's time:
  // one that was created after an outage says nothing of the slots within it.
  void overlaps(Instant slot) {
    const bool there = std::ranges::any_of(
        view_.active, [&](const model::Run& run) { return run.created_at <= slot; });
    if (there || now_ - slot <= kLate) return skip(slot, model::skip_reason::kOverlap);
    record(slot, SlotOutcome::Missed, model::skip_reason::kDown);
  }

  // The run of a newer slot of an incremental job does the work of one that waits for its retry.
  void replace_backoff() {
    if (!is_incremental(job_.spec.mode)) return;
    for (const model::Run& run : view_.active) {
      if (in_backoff(run)) supersede(run.id);
    }
  }

  // cancel_running: the newest slot wins over everything that is active, of this step too.
  void replace_all() {
    for (const model::Run& run : view_.active) {
      if (run.state == RunState::Queued) supersede(run.id);
      if (run.state == RunState::Running && !std::ranges::count(step_.cancel, run.id)) {
        step_.cancel.push_back(run.id);
      }
    }
    for (const store::NewRun& run : std::exchange(step_.runs, {})) {
      skip_earlier(*run.slot);
      --queued_;
    }
  }

  // A slot of this step that lost its run to a later one; records stay in the order of slots.
  void skip_earlier(Instant slot) {
    const auto at = std::ranges::find_if(
        step_.records, [&](const model::SlotRecord& r) { return r.first > slot; });
    step_.records.insert(at, {.job = job_.id,
                              .first = slot,
                              .last = slot,
                              .count = 1,
                              .outcome = SlotOutcome::Skipped,
                              .reason = std::string(model::skip_reason::kSuperseded),
                              .recorded_at = now_});
  }

  void supersede(const RunId& run) {
    if (std::ranges::count(step_.supersede, run)) return;
    step_.supersede.push_back(run);
    --queued_;
  }

  void start(Instant slot, std::optional<Instant> following, model::Trigger trigger) {
    step_.runs.push_back({.id = new_id_(),
                          .slot = slot,
                          .trigger = trigger,
                          .not_before = slot + jitter_of(job_, slot, following)});
    ++queued_;
    continues_ = false;
  }

  void skip(Instant slot, std::string_view reason) { record(slot, SlotOutcome::Skipped, reason); }
  void record(Instant slot, SlotOutcome outcome, std::string_view reason) {
    add_record(step_.records, continues_, job_.id, slot, outcome, reason, now_);
    continues_ = true;
  }

  const store::PlanView& view_;
  const model::SyncJob& job_;
  const SlotSequence& slots_;
  const Instant now_;
  const NewRunId& new_id_;
  PlanStep step_;
  Instant cutoff_;  // a slot before it was missed, not late
  Instant oldest_;  // a slot before it is outside the catch-up window
  std::optional<Instant> caught_up_from_;
  std::optional<bool> all_too_old_;
  int running_ = 0, queued_ = 0;
  std::size_t caught_up_ = 0;  // catch-up runs that are active already
  bool continues_ = false;     // the last slot was recorded, so the next one may extend the stretch
};

}  // namespace

bool is_paused(const model::SyncJob& job, Instant now) {
  return job.pause && job.pause->holds(now);
}

bool in_backoff(const model::Run& run) {
  return run.state == RunState::Queued && !run.attempts.empty() &&
         run.attempts.back().outcome == attempt_outcome::kRetry;
}

Result<std::optional<PlanStep>> plan(const store::PlanView& view, Instant now,
                                     const PlanLimits& limits, const NewRunId& new_id) {
  if (!view.job.next_slot || *view.job.next_slot > now) return std::nullopt;
  TG_TRY(const SlotSequence slots, SlotSequence::compile(view.job.spec.schedule, view.job.id));
  return Planner(view, slots, now, new_id).run(limits.max_slots);
}

bool needs_reschedule(const model::SyncJob& old, const model::JobSpec& spec) {
  return old.spec.schedule != spec.schedule || (!old.spec.enabled && spec.enabled);
}

Result<store::Reschedule> reschedule(const model::SyncJob& old, const model::JobSpec& spec,
                                     Instant now) {
  store::Reschedule result;
  result.expected_next_slot = old.next_slot;
  TG_TRY(result.next_slot, first_slot(spec.schedule, old.id, now));
  if (!old.next_slot || *old.next_slot > now) return result;
  const std::string_view reason = !old.spec.enabled     ? model::skip_reason::kDisabled
                                  : is_paused(old, now) ? model::skip_reason::kPaused
                                                        : model::skip_reason::kScheduleChanged;
  auto slots = SlotSequence::compile(old.spec.schedule, old.id);
  std::optional<Instant> slot = old.next_slot;
  for (std::int64_t n = 0; slot && *slot <= now && n < kMaxCounted; ++n) {
    add_record(result.skipped, true, old.id, *slot, SlotOutcome::Skipped, reason, now);
    // An old schedule that cannot be read any more has this one known slot.
    slot = slots ? slots->next(*slot) : std::nullopt;
  }
  return result;
}

Result<store::Reschedule> after_restore(const model::SyncJob& job,
                                        const std::optional<Instant>& known, Instant now) {
  store::Reschedule result{.next_slot = job.next_slot, .skipped = {}};
  TG_TRY(const SlotSequence slots, SlotSequence::compile(job.spec.schedule, job.id));
  if (!job.spec.enabled || !job.next_slot) return result;
  if (known && *known >= *job.next_slot) result.next_slot = slots.next(*known);
  std::optional<Instant>& slot = result.next_slot;
  for (std::int64_t n = 0; slot && *slot <= now && n < kMaxCounted; ++n) {
    add_record(result.skipped, true, job.id, *slot, SlotOutcome::MissedRestored,
               model::skip_reason::kRestored, now);
    slot = slots.next(*slot);
  }
  return result;
}

}  // namespace tidegate::plan
