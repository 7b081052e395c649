#include "control/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "control/plan/plan_fixture.h"
#include "control/plan/slots.h"

namespace tidegate::plan {
namespace {

using model::Catchup;
using model::Overlap;
using model::RunState;
using testing::at;
using testing::backoff_run;
using testing::counting_ids;
using testing::every;
using testing::outline;
using testing::run_of;
using testing::step_of;

const Instant kNoon = at("2026-11-23T12:00:00Z");

TEST(Plan, NothingIsPlannedBeforeTheSlot) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  auto early = plan(view, kNoon - Millis(1), {}, counting_ids());
  ASSERT_TRUE(early);
  EXPECT_FALSE(*early);
  view.job.next_slot.reset();
  auto manual = plan(view, kNoon, {}, counting_ids());
  ASSERT_TRUE(manual);
  EXPECT_FALSE(*manual);
}

TEST(Plan, ADueSlotBecomesOneRunAndTheJobMovesOn) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.revision = 7;
  const store::PlanStep step = step_of(view, kNoon + Millis(3));
  EXPECT_EQ(outline(step), "R");
  EXPECT_EQ(step.runs[0].slot, kNoon);
  EXPECT_EQ(step.runs[0].not_before, kNoon);
  EXPECT_EQ(step.runs[0].trigger, model::Trigger::Schedule);
  EXPECT_EQ(step.expected_revision, 7);
  EXPECT_EQ(step.expected_next_slot, kNoon);
  EXPECT_EQ(step.next_slot, kNoon + Seconds(60));
  EXPECT_TRUE(step.supersede.empty());
  EXPECT_TRUE(step.cancel.empty());
}

TEST(Plan, AnUnreadableScheduleIsAnError) {
  store::PlanView view{testing::cron("61 * * * *", kNoon), {}};
  auto planned = plan(view, kNoon, {}, counting_ids());
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.error().code, Code::Invalid);
}

// Every minute, down until `now`: which of the slots 12:00 … 12:05 run?
struct MisfireCase {
  const char* name;
  Catchup catchup;
  int late_seconds;  // now − 12:00
  int grace;
  int window;
  int max_catchup;
  const char* want;
};
class Misfire : public ::testing::TestWithParam<MisfireCase> {};
TEST_P(Misfire, EverySlotMissedWhileDownLeavesATrace) {
  const MisfireCase& c = GetParam();
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.spec.catchup = c.catchup;
  view.job.spec.overlap = Overlap::QueueAll;
  view.job.spec.misfire_grace = Seconds(c.grace);
  view.job.spec.catchup_window = Seconds(c.window);
  view.job.spec.max_catchup = c.max_catchup;
  const store::PlanStep step = step_of(view, kNoon + Seconds(c.late_seconds));
  EXPECT_EQ(outline(step), c.want);
  EXPECT_EQ(step.next_slot, kNoon + Seconds(c.late_seconds / 60 * 60 + 60));
}
INSTANTIATE_TEST_SUITE_P(
    Matrix, Misfire,
    ::testing::Values(
        MisfireCase{"on_time", Catchup::None, 0, 60, 86400, 100, "R"},
        MisfireCase{"within_grace", Catchup::None, 59, 60, 86400, 100, "R"},
        MisfireCase{"at_grace", Catchup::None, 60, 60, 86400, 100, "R R"},
        MisfireCase{"none", Catchup::None, 330, 60, 86400, 100, "!downx5 R"},
        MisfireCase{"last", Catchup::Last, 330, 60, 86400, 100, "!downx4 C R"},
        MisfireCase{"last_one", Catchup::Last, 61, 60, 86400, 100, "C R"},
        MisfireCase{"last_window_cuts_others", Catchup::Last, 330, 60, 100, 100, "!downx4 C R"},
        MisfireCase{"last_all_too_old", Catchup::Last, 330, 300, 200, 100,
                    "catchup_windowx1 R R R R R"},
        MisfireCase{"all", Catchup::All, 330, 60, 86400, 100, "C C C C C R"},
        MisfireCase{"all_window", Catchup::All, 330, 60, 200, 100, "catchup_windowx3 C C R"},
        MisfireCase{"all_newest_two", Catchup::All, 330, 60, 86400, 2, "catchup_windowx3 C C R"},
        MisfireCase{"all_none_allowed", Catchup::All, 330, 60, 86400, 0, "catchup_windowx5 R"},
        MisfireCase{"no_grace_still_runs_on_time", Catchup::None, 1, 0, 86400, 100, "R"},
        MisfireCase{"no_grace", Catchup::None, 62, 0, 86400, 100, "!downx2"},
        MisfireCase{"long_grace", Catchup::None, 330, 600, 86400, 100, "R R R R R R"}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(Plan, CatchUpCountsTheCatchUpRunsThatAreStillActive) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.spec.catchup = Catchup::All;
  view.job.spec.max_catchup = 3;
  view.active = {run_of("a", RunState::Running, model::Trigger::Catchup),
                 run_of("b", RunState::Queued, model::Trigger::Catchup)};
  EXPECT_EQ(outline(step_of(view, kNoon + Seconds(330))), "catchup_windowx4 C overlapx1");
}

// An on-time slot meets what is active.
struct OverlapCase {
  const char* name;
  Overlap overlap;
  protocol::SyncMode mode;
  const char* active;  // r running, q queued, b in backoff
  const char* want;
  const char* supersede;
  const char* cancel;
};
constexpr auto kFull = protocol::SyncMode::Full;
constexpr auto kIncremental = protocol::SyncMode::Incremental;
class Overlapping : public ::testing::TestWithParam<OverlapCase> {};
TEST_P(Overlapping, PolicyDecides) {
  const OverlapCase& c = GetParam();
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.spec.overlap = c.overlap;
  view.job.spec.mode = c.mode;
  for (const char* kind = c.active; *kind != 0; ++kind) {
    view.active.push_back(
        *kind == 'b'
            ? backoff_run("b", kNoon + Seconds(5))
            : run_of(std::string(1, *kind), *kind == 'r' ? RunState::Running : RunState::Queued));
  }
  const store::PlanStep step = step_of(view, kNoon);
  std::string supersede, cancel;
  for (const RunId& id : step.supersede) supersede += id.str();
  for (const RunId& id : step.cancel) cancel += id.str();
  EXPECT_EQ(outline(step), c.want);
  EXPECT_EQ(supersede, c.supersede);
  EXPECT_EQ(cancel, c.cancel);
}
INSTANTIATE_TEST_SUITE_P(
    Matrix, Overlapping,
    ::testing::Values(
        OverlapCase{"skip_idle", Overlap::Skip, kFull, "", "R", "", ""},
        OverlapCase{"skip_running", Overlap::Skip, kFull, "r", "overlapx1", "", ""},
        OverlapCase{"skip_queued", Overlap::Skip, kFull, "q", "overlapx1", "", ""},
        OverlapCase{"skip_backoff", Overlap::Skip, kFull, "b", "overlapx1", "", ""},
        OverlapCase{"skip_backoff_incremental", Overlap::Skip, kIncremental, "b", "R", "b", ""},
        OverlapCase{"skip_running_incremental", Overlap::Skip, kIncremental, "r", "overlapx1", "",
                    ""},
        OverlapCase{"one_running", Overlap::QueueOne, kFull, "r", "R", "", ""},
        OverlapCase{"one_queued", Overlap::QueueOne, kFull, "rq", "overlapx1", "", ""},
        OverlapCase{"one_backoff", Overlap::QueueOne, kFull, "b", "overlapx1", "", ""},
        OverlapCase{"one_backoff_incremental", Overlap::QueueOne, kIncremental, "b", "R", "b", ""},
        OverlapCase{"all_queued", Overlap::QueueAll, kFull, "rqq", "R", "", ""},
        OverlapCase{"all_backoff_incremental", Overlap::QueueAll, kIncremental, "rb", "R", "b", ""},
        OverlapCase{"cancel_idle", Overlap::CancelRunning, kFull, "", "R", "", ""},
        OverlapCase{"cancel_running", Overlap::CancelRunning, kFull, "rq", "R", "q", "r"},
        OverlapCase{"cancel_backoff", Overlap::CancelRunning, kFull, "b", "R", "b", ""},
        OverlapCase{"allow", Overlap::Allow, kFull, "rrq", "R", "", ""}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(Plan, ARunThatWasReturnedByADrainIsNotInBackoff) {
  store::PlanView view{every(Seconds(60), kNoon), {backoff_run("b", kNoon)}};
  view.job.spec.mode = kIncremental;
  view.active[0].attempts.back().outcome = attempt_outcome::kReturned;
  EXPECT_EQ(outline(step_of(view, kNoon)), "overlapx1");
}

// A day of an every-second job behind a stuck run was read whole by each step of the planner.
TEST(Plan, AQueueIsBounded) {
  store::PlanView view{every(Seconds(60), kNoon), {run_of("r", RunState::Running)}};
  view.job.spec.overlap = Overlap::QueueAll;
  for (int i = 0; i < 998; ++i)
    view.active.push_back(run_of("q" + std::to_string(i), RunState::Queued));
  EXPECT_EQ(outline(step_of(view, kNoon)), "R");
  view.active.push_back(run_of("last", RunState::Queued));
  EXPECT_EQ(outline(step_of(view, kNoon)), "overlapx1");
}

// The slots of an outage read "overlap" although no run was there to overlap with.
TEST(Plan, OfLateSlotsInOneStepOneRunsAndTheOthersWereMissed) {
  store::PlanView view{every(Seconds(20), kNoon), {}};
  const Instant now = kNoon + Seconds(45);  // 12:00:00, :20 and :40 are due
  view.job.spec.overlap = Overlap::Skip;
  EXPECT_EQ(outline(step_of(view, now)), "R !downx2");
  view.job.spec.overlap = Overlap::QueueOne;
  EXPECT_EQ(outline(step_of(view, now)), "R !downx2");
  view.job.spec.overlap = Overlap::QueueAll;
  EXPECT_EQ(outline(step_of(view, now)), "R R R");
  view.job.spec.overlap = Overlap::CancelRunning;
  EXPECT_EQ(outline(step_of(view, now)), "supersededx1 supersededx1 R");
}

TEST(Plan, ALateSlotOverlapsWithARunThatWasThereAtItsTimeOnly) {
  store::PlanView view{every(Seconds(20), kNoon), {run_of("r", RunState::Running)}};
  const Instant now = kNoon + Seconds(45);
  view.job.spec.overlap = Overlap::Skip;
  view.active[0].created_at = kNoon + Seconds(10);
  EXPECT_EQ(outline(step_of(view, now)), "!downx1 overlapx2");
  view.active[0].created_at = now;  // begun by hand after the outage
  EXPECT_EQ(outline(step_of(view, now)), "!downx3");
  EXPECT_EQ(outline(step_of(view, kNoon + Seconds(1))), "overlapx1") << "planned in time";
}

TEST(Plan, AStepSaysWhichActiveRunsItWasJudgedBy) {
  store::PlanView view{every(Seconds(60), kNoon),
                       {run_of("r", RunState::Running), run_of("q", RunState::Queued)}};
  const std::map<RunId, RunState> both{{RunId("r"), RunState::Running},
                                       {RunId("q"), RunState::Queued}};
  for (const Overlap overlap : {Overlap::Skip, Overlap::QueueOne, Overlap::CancelRunning}) {
    view.job.spec.overlap = overlap;
    EXPECT_EQ(step_of(view, kNoon).expected_active, both);
  }
  for (const Overlap overlap : {Overlap::QueueAll, Overlap::Allow}) {
    view.job.spec.overlap = overlap;
    EXPECT_FALSE(step_of(view, kNoon).expected_active);
  }
}

TEST(Plan, CatchUpRunsQueueOneAfterTheOtherAndSkipDoesNotDropThem) {
  store::PlanView view{every(Seconds(60), kNoon), {run_of("r", RunState::Running)}};
  view.job.spec.catchup = Catchup::All;
  view.job.spec.overlap = Overlap::Skip;
  EXPECT_EQ(outline(step_of(view, kNoon + Seconds(210))), "C C C overlapx1");
}

TEST(Plan, PausedAndDisabledSlotsAreRecordedAsOneStretch) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.pause = model::Pause{"night", std::nullopt, kNoon - Seconds(5), "ann"};
  EXPECT_EQ(outline(step_of(view, kNoon + Seconds(200))), "pausedx4");
  view.job.spec.enabled = false;
  const store::PlanStep step = step_of(view, kNoon + Seconds(200));
  EXPECT_EQ(outline(step), "disabledx4");
  EXPECT_EQ(step.records[0].first, kNoon);
  EXPECT_EQ(step.records[0].last, kNoon + Seconds(180));
}

TEST(Plan, APauseEndsByItselfAndIsCleared) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.spec.overlap = Overlap::QueueAll;
  view.job.pause = model::Pause{"", kNoon + Seconds(90), kNoon - Seconds(5), "ann"};
  const store::PlanStep paused = step_of(view, kNoon + Seconds(89));
  EXPECT_EQ(outline(paused), "pausedx2");
  EXPECT_FALSE(paused.clear_pause);
  const store::PlanStep resumed = step_of(view, kNoon + Seconds(125));
  EXPECT_EQ(outline(resumed), "pausedx2 R");
  EXPECT_TRUE(resumed.clear_pause);
}

TEST(Plan, SlotsBeforeAPauseThatIsOverWereMissedAndNotPaused) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.spec.catchup = Catchup::None;
  view.job.pause = model::Pause{"", kNoon + Seconds(150), kNoon + Seconds(61), "ann"};
  EXPECT_EQ(outline(step_of(view, kNoon + Seconds(185))), "!downx2 pausedx1 R");
}

// The pause went with the first step: the later slots within it were missed, or even ran.
TEST(Plan, APauseThatEndedLongAgoExplainsItsSlotsInEveryStep) {
  store::PlanView view{every(Seconds(1), kNoon), {}};
  view.job.spec.catchup = Catchup::All;
  view.job.pause = model::Pause{"", kNoon + Seconds(250), kNoon - Seconds(5), "ann"};
  const Instant now = kNoon + Seconds(300);
  const PlanLimits limits{.max_slots = 100};
  for (const char* expected : {"pausedx100", "pausedx100"}) {
    const store::PlanStep step = step_of(view, now, limits);
    EXPECT_EQ(outline(step), expected);
    EXPECT_FALSE(step.clear_pause);
    view.job.next_slot = step.next_slot;
  }
  const store::PlanStep last = step_of(view, now, limits);
  EXPECT_EQ(last.records.front().reason, model::skip_reason::kPaused);
  EXPECT_EQ(last.records.front().count, 50);
  EXPECT_TRUE(last.clear_pause);
}

TEST(Plan, JitterDelaysTheStartButNeverPastTheNextSlot) {
  store::PlanView view{every(Seconds(10), kNoon), {}};
  view.job.spec.jitter = Seconds(3600);
  view.job.spec.overlap = Overlap::QueueAll;
  std::set<Millis> seen;
  for (int i = 0; i < 200; ++i) {
    const Instant slot = kNoon + i * Seconds(10);
    view.job.next_slot = slot;
    const store::PlanStep step = step_of(view, slot);
    EXPECT_EQ(step.runs[0].slot, slot);
    EXPECT_GE(step.runs[0].not_before, slot);
    EXPECT_LT(step.runs[0].not_before, slot + Seconds(10));
    EXPECT_EQ(step_of(view, slot + Millis(700)).runs[0].not_before, step.runs[0].not_before);
    seen.insert(step.runs[0].not_before - slot);
  }
  EXPECT_GT(seen.size(), 150U);
}

TEST(Plan, AnEverySecondJobAfterALongOutageTakesBoundedSteps) {
  store::PlanView view{testing::cron("* * * * * *", kNoon), {}};
  view.job.spec.catchup = Catchup::Last;
  const Instant now = kNoon + Seconds(2500);
  const PlanLimits limits{.max_slots = 1000};
  std::string outlines;
  std::int64_t slots = 0;
  for (int steps = 0; steps < 3; ++steps) {
    const store::PlanStep step = step_of(view, now, limits);
    outlines += outline(step) + ";";
    for (const auto& record : step.records) slots += record.count;
    slots += static_cast<std::int64_t>(step.runs.size());
    view.job.next_slot = step.next_slot;
    for (const auto& run : step.runs) view.active.push_back(run_of(run.id.str(), RunState::Queued));
  }
  EXPECT_EQ(outlines, "!downx1000;!downx1000;!downx439 C !downx58 overlapx3;");
  EXPECT_EQ(slots, 2501);
  EXPECT_EQ(view.job.next_slot, now + Seconds(1));
}

TEST(Plan, AnAtScheduleRunsOnceAndIsOver) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.spec.schedule = model::AtSchedule{kNoon};
  const store::PlanStep step = step_of(view, kNoon + Seconds(1));
  EXPECT_EQ(outline(step), "R");
  EXPECT_FALSE(step.next_slot);
  view.job.spec.catchup = Catchup::None;
  EXPECT_EQ(outline(step_of(view, kNoon + Seconds(3600))), "!downx1");
}

TEST(Plan, AClockThatStepsBackPlansNothingTwice) {
  store::PlanView view{every(Seconds(60), kNoon), {}};
  view.job.next_slot = step_of(view, kNoon).next_slot;
  auto back = plan(view, kNoon - Seconds(3600), {}, counting_ids());
  ASSERT_TRUE(back);
  EXPECT_FALSE(*back);
}

TEST(Plan, ADailyJobAtHalfPastTwoRunsOnceOnGapAndFoldDays) {
  // America/New_York: 2026-03-08 has no 02:30 (it runs at 03:00), 2026-11-01 has 01:30 twice.
  store::PlanView gap{testing::cron("30 2 * * *", at("2026-03-07T07:30:00Z"), "America/New_York"),
                      {}};
  gap.job.next_slot = step_of(gap, at("2026-03-07T07:30:01Z")).next_slot;
  EXPECT_EQ(gap.job.next_slot, at("2026-03-08T07:00:00Z"));
  EXPECT_EQ(step_of(gap, at("2026-03-08T07:00:00Z")).next_slot, at("2026-03-09T06:30:00Z"));
  store::PlanView fold{testing::cron("30 1 * * *", at("2026-11-01T05:30:00Z"), "America/New_York"),
                       {}};
  EXPECT_EQ(step_of(fold, at("2026-11-01T05:30:00Z")).next_slot, at("2026-11-02T06:30:00Z"));
}

TEST(Reschedule, OldDueSlotsAreRecordedAndTheNewScheduleBegins) {
  model::SyncJob job = every(Seconds(60), kNoon);
  model::JobSpec spec = job.spec;
  EXPECT_FALSE(needs_reschedule(job, spec));
  spec.schedule = model::EverySchedule{Seconds(600), std::nullopt};
  EXPECT_TRUE(needs_reschedule(job, spec));
  auto change = reschedule(job, spec, kNoon + Seconds(130));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->next_slot, kNoon + Seconds(600));
  ASSERT_EQ(change->skipped.size(), 1U);
  EXPECT_EQ(change->skipped[0].count, 3);
  EXPECT_EQ(change->skipped[0].last, kNoon + Seconds(120));
  EXPECT_EQ(change->skipped[0].reason, model::skip_reason::kScheduleChanged);
}

TEST(Reschedule, EnablingStartsAtTheNextSlot) {
  model::SyncJob job = every(Seconds(60), kNoon);
  job.spec.enabled = false;
  model::JobSpec spec = job.spec;
  EXPECT_FALSE(needs_reschedule(job, spec));
  spec.enabled = true;
  EXPECT_TRUE(needs_reschedule(job, spec));
  auto change = reschedule(job, spec, kNoon + Seconds(3600));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->next_slot, kNoon + Seconds(3660));
  ASSERT_EQ(change->skipped.size(), 1U);
  EXPECT_EQ(change->skipped[0].reason, model::skip_reason::kDisabled);
  EXPECT_EQ(change->skipped[0].count, 61);
}

TEST(Reschedule, NoScheduleAndNothingDue) {
  model::SyncJob job = every(Seconds(60), kNoon);
  model::JobSpec spec = job.spec;
  spec.schedule = std::monostate{};
  auto change = reschedule(job, spec, kNoon - Seconds(1));
  ASSERT_TRUE(change);
  EXPECT_FALSE(change->next_slot);
  EXPECT_TRUE(change->skipped.empty());
  spec.schedule = model::CronSchedule{"bad", "UTC", {}};
  EXPECT_FALSE(reschedule(job, spec, kNoon));
}

}  // namespace
}  // namespace tidegate::plan
