// Every due slot gets exactly one outcome, whatever the order of down times, policies and endings.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/rng.h"
#include "control/plan/plan_fixture.h"
#include "control/plan/slots.h"

namespace tidegate::plan {
namespace {

using model::RunState;
using testing::at;

const Instant kStart = at("2026-10-31T20:00:00Z");  // the night of the fold in New York

// One job's life under a leader that comes and goes; the ledger as a store would keep it.
class World {
 public:
  explicit World(std::uint64_t seed) : rng_(seed) {
    static const char* const kCrons[] = {"* * * * *", "*/7 * * * * *", "30 1 * * *",
                                         "0 * * * *", "H/5 * * * *",   "15,45 1-3 * * *"};
    model::SyncJob& job = view_.job;
    job.id = JobId("job-" + std::to_string(seed));
    if (rng_.below(4) == 0) {
      job.spec.schedule = model::EverySchedule{Seconds(1 + rng_.below(900)), std::nullopt};
    } else {
      job.spec.schedule = model::CronSchedule{kCrons[rng_.below(std::size(kCrons))],
                                              rng_.below(2) ? "America/New_York" : "UTC",
                                              static_cast<cron::DstPolicy>(rng_.below(3))};
    }
    job.spec.overlap = static_cast<model::Overlap>(rng_.below(5));
    job.spec.catchup = static_cast<model::Catchup>(rng_.below(3));
    job.spec.max_catchup = static_cast<int>(rng_.below(30));
    job.spec.catchup_window = Seconds(rng_.below(20'000));
    job.spec.misfire_grace = Seconds(rng_.below(400));
    job.spec.jitter = Seconds(rng_.below(100));
    job.spec.mode = rng_.below(2) ? protocol::SyncMode::Incremental : protocol::SyncMode::Full;
    slots_.emplace(*SlotSequence::compile(job.spec.schedule, job.id));
    job.next_slot = slots_->next(kStart);
  }

  void live() {
    for (int i = 0; i < 120; ++i) {
      now_ += Millis(
          1 + static_cast<std::int64_t>(rng_.below(rng_.below(8) == 0 ? 30'000'000 : 90'000)));
      change_job();
      end_runs();
      plan_all();
    }
  }

  // Every slot of the schedule that was planned, and how often it has an outcome.
  void check() const {
    std::size_t expected = 0;
    // A leader that died between two steps leaves the later slots to the next one.
    const Instant end = view_.job.next_slot.value_or(Instant::max());
    for (auto s = slots_->next(kStart); s && *s < end; s = slots_->next(*s), ++expected) {
      const auto found = outcomes_.find(*s);
      ASSERT_TRUE(found != outcomes_.end()) << "no outcome for " << format_utc(*s);
      ASSERT_EQ(found->second, 1) << format_utc(*s);
    }
    ASSERT_EQ(outcomes_.size(), expected) << "an outcome for a time that is no slot";
  }

 private:
  void plan_all() {
    const PlanLimits limits{.max_slots = 1 + rng_.below(500)};
    const NewRunId ids = [this] { return RunId("run-" + std::to_string(++last_run_)); };
    for (;;) {
      auto planned = plan(view_, now_, limits, ids);
      ASSERT_TRUE(planned);
      if (!*planned) return;
      apply(**planned);
      if (rng_.below(40) == 0) return;  // the leader died between two steps
    }
  }

  void apply(const store::PlanStep& step) {
    for (const store::NewRun& run : step.runs) {
      ASSERT_TRUE(run.slot);
      ++outcomes_[*run.slot];
      ASSERT_GE(run.not_before, *run.slot);
      model::Run added = testing::run_of(run.id.str(), RunState::Queued, run.trigger);
      added.scheduled_for = run.slot;
      view_.active.push_back(std::move(added));
    }
    for (const model::SlotRecord& record : step.records) count(record);
    std::erase_if(view_.active, [&](const model::Run& run) {
      return std::ranges::count(step.supersede, run.id) > 0;
    });
    for (const RunId& id : step.cancel) {
      const auto run = std::ranges::find(view_.active, id, &model::Run::id);
      ASSERT_TRUE(run != view_.active.end() && run->state == RunState::Running);
    }
    if (step.clear_pause) view_.job.pause.reset();
    ASSERT_TRUE(!step.next_slot || *step.next_slot > *view_.job.next_slot);
    view_.job.next_slot = step.next_slot;
  }

  void count(const model::SlotRecord& record) {
    std::int64_t n = 0;
    for (auto s = std::optional(record.first); s && *s <= record.last; s = slots_->next(*s), ++n) {
      ++outcomes_[*s];
    }
    ASSERT_EQ(n, record.count);
  }

  void change_job() {
    model::SyncJob& job = view_.job;
    if (rng_.below(12) == 0) {
      job.pause = model::Pause{"", {}, now_, "x"};
      if (rng_.below(2)) job.pause->until = now_ + Millis(rng_.below(5'000'000));
    } else if (rng_.below(6) == 0) {
      job.pause.reset();
    }
    if (rng_.below(15) == 0) {
      model::JobSpec spec = job.spec;
      spec.enabled = !spec.enabled;
      if (needs_reschedule(job, spec)) {
        auto change = reschedule(job, spec, now_);
        ASSERT_TRUE(change);
        for (const model::SlotRecord& record : change->skipped) count(record);
        job.next_slot = change->next_slot;
      }
      job.spec = spec;
    }
  }

  void end_runs() {
    std::erase_if(view_.active, [this](const model::Run&) { return rng_.below(2) == 0; });
    for (model::Run& run : view_.active) {
      if (run.state == RunState::Queued && rng_.below(2)) {
        run.state = RunState::Running;
      } else if (run.state == RunState::Running && rng_.below(3) == 0) {
        run.state = RunState::Queued;
        run.attempts.push_back({.outcome = std::string(attempt_outcome::kRetry)});
      }
    }
  }

  SeededRng rng_;
  store::PlanView view_;
  std::optional<SlotSequence> slots_;
  Instant now_ = kStart;
  std::map<Instant, int> outcomes_;
  std::uint64_t last_run_ = 0;
};

TEST(PlanProperty, EveryDueSlotGetsExactlyOneOutcome) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.live();
    world.check();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace tidegate::plan
