#include <gmock/gmock.h>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::RunState;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

TEST_P(StoreContract, OneLeaderAtATime) {
  const auto first = must(store().acquire_leader(OwnerId("a"), Millis(8000)));
  ASSERT_TRUE(first);
  EXPECT_EQ(must(other().acquire_leader(OwnerId("b"), Millis(8000))), std::nullopt);
  // Its own: the same fence, so that a lost reply does no harm.
  EXPECT_EQ(must(store().acquire_leader(OwnerId("a"), Millis(8000)))->fence, first->fence);
  EXPECT_GE(value(first->fence), to_ms(base_));
}

// A live scheduler lock was stolen because staleness was judged from the acquisition time.
TEST_P(StoreContract, ARenewingLeaderIsNeverReplaced) {
  const auto lease = must(store().acquire_leader(OwnerId("a"), Millis(8000)));
  for (int i = 0; i < 12; ++i) {  // 24 s, three times the TTL
    clock().advance(2s);
    must(store().renew_leader(*lease));
    EXPECT_EQ(must(other().acquire_leader(OwnerId("b"), Millis(8000))), std::nullopt);
  }
}

// Losing the lock stopped nothing: timers kept firing.
TEST_P(StoreContract, AReplacedLeaderCanWriteNothing) {
  const JobId id = add(job("j1"));
  const auto old = *must(store().acquire_leader(OwnerId("a"), Millis(8000)));
  clock().advance(8s);
  const auto fresh = *must(other().acquire_leader(OwnerId("b"), Millis(8000)));
  EXPECT_GT(fresh.fence, old.fence);
  EXPECT_EQ(code_of(store().renew_leader(old)), Code::Fenced);
  PlanStep s = step(id);
  s.runs.push_back({RunId("r1"), base_, model::Trigger::Schedule, base_});
  EXPECT_EQ(code_of(store().apply_plan(old, {&s, 1})), Code::Fenced);
  EXPECT_EQ(code_of(store().get_run(ws_, RunId("r1"))), Code::NotFound);
  EXPECT_EQ(reread(id).next_slot, base_);
  EXPECT_EQ(code_of(store().release_orphans(old, {})), Code::Fenced);
  must(store().release_leader(old));
  EXPECT_TRUE(other().renew_leader(fresh)) << "a lost lease cannot be given away";
  EXPECT_THAT(must(other().apply_plan(fresh, {&s, 1})), ElementsAre(PlanResult::Applied));
}

TEST_P(StoreContract, AnExpiredLeaderNobodyReplacedStaysLeader) {
  const auto lease = must(store().acquire_leader(OwnerId("a"), Millis(8000)));
  clock().advance(60s);
  EXPECT_TRUE(store().renew_leader(*lease));
  EXPECT_EQ(must(other().acquire_leader(OwnerId("b"), Millis(8000))), std::nullopt);
}

TEST_P(StoreContract, AReleasedLeaderLeaseIsFreeAtOnce) {
  const auto a = must(store().acquire_leader(OwnerId("a"), Millis(8000)));
  must(store().release_leader(*a));
  const auto b = must(other().acquire_leader(OwnerId("b"), Millis(8000)));
  ASSERT_TRUE(b);
  EXPECT_GT(b->fence, a->fence);
  EXPECT_EQ(code_of(store().renew_leader(*a)), Code::Fenced);
}

TEST_P(StoreContract, FencesGrowThoughTheWallClockStepsBack) {
  const auto a = must(store().acquire_leader(OwnerId("a"), Millis(8000)));
  const JobId id = add(job("j1"));
  trigger(id, "r1");
  const auto first = claim("w1").at(0);
  must(store().release_leader(*a));
  clock().step_wall(-24h);
  const auto b = must(store().acquire_leader(OwnerId("b"), Millis(8000)));
  EXPECT_EQ(value(b->fence), value(a->fence) + 1);
  AttemptEnd end = end_of(first, RunState::Queued);
  must(store().finish_attempts({&end, 1}));
  EXPECT_EQ(value(claim("w1").at(0).run.fence), value(first.run.fence) + 1);
}

TEST_P(StoreContract, DueJobsComeSoonestFirstWithTheirActiveRuns) {
  model::SyncJob late = job("late"), soon = job("soon"), future = job("future"),
                 never = job("never");
  late.next_slot = base_ - 1min;
  soon.next_slot = base_ - 5min;
  future.next_slot = base_ + 10min;
  never.next_slot = std::nullopt;
  for (const auto& j : {late, soon, future, never}) add(j);
  trigger(late.id, "r1");
  clock().advance(1ms);
  const auto due = must(store().due_jobs(now(), 10));
  ASSERT_THAT(due.jobs, SizeIs(2));
  EXPECT_EQ(due.jobs[0].job.id, soon.id);
  EXPECT_EQ(due.jobs[0].job.spec, soon.spec);
  EXPECT_EQ(due.jobs[1].job.id, late.id);
  EXPECT_THAT(due.jobs[0].active, IsEmpty());
  ASSERT_THAT(due.jobs[1].active, SizeIs(1));
  EXPECT_EQ(due.jobs[1].active[0].id, RunId("r1"));
  EXPECT_EQ(due.next, base_ + 10min);
  EXPECT_THAT(must(store().due_jobs(now(), 1)).jobs, SizeIs(1));
  EXPECT_THAT(must(store().due_jobs(base_ + 10min, 10)).jobs, SizeIs(3))
      << "due at the very moment";
}

TEST_P(StoreContract, APlanStepInsertsTheRunAndMovesTheSlotTogether) {
  const JobId id = add(job("j1"));
  PlanStep s = step(id);
  s.runs.push_back({RunId("r1"), base_, model::Trigger::Catchup, base_ + 3s});
  EXPECT_THAT(must(store().apply_plan(leader(), {&s, 1})), ElementsAre(PlanResult::Applied));
  EXPECT_EQ(must(other().get_job(ws_, id)).next_slot, base_ + 1min);
  const auto r = must(other().get_run(ws_, RunId("r1")));
  EXPECT_EQ(r.scheduled_for, base_);
  EXPECT_EQ(r.trigger, model::Trigger::Catchup);
  EXPECT_EQ(r.state, RunState::Queued);
  EXPECT_EQ(r.not_before, base_ + 3s);
  EXPECT_EQ(r.job_revision, 1);
  EXPECT_EQ(r.workspace, ws_);
  EXPECT_EQ(r.created_at, now());
  EXPECT_EQ(reread(id).revision, 1) << "planning is no change by a user";
  // The reply was lost: the repetition changes nothing.
  EXPECT_THAT(must(store().apply_plan(leader(), {&s, 1})), ElementsAre(PlanResult::Stale));
  EXPECT_EQ(must(store().list_runs({.workspace = ws_})).total, 1);
}

TEST_P(StoreContract, AStaleStepIsRefusedWholeAndOthersApply) {
  const JobId a = add(job("a")), b = add(job("b"));
  std::vector<PlanStep> steps{step(a), step(b)};
  steps[0].runs.push_back({RunId("ra"), base_, model::Trigger::Schedule, base_});
  steps[1].runs.push_back({RunId("rb"), base_, model::Trigger::Schedule, base_});
  must(store().set_pause(ws_, a, {},
                         model::Pause{.note = "x", .until = {}, .since = base_, .by = "y"}, {}));
  EXPECT_THAT(must(store().apply_plan(leader(), steps)),
              ElementsAre(PlanResult::Stale, PlanResult::Applied));
  EXPECT_EQ(code_of(store().get_run(ws_, RunId("ra"))), Code::NotFound);
  EXPECT_EQ(reread(a).next_slot, base_);
  steps[0].expected_revision = 2;
  steps[0].expected_next_slot = base_ - 1s;
  steps[1].job = JobId("gone");
  EXPECT_THAT(must(store().apply_plan(leader(), steps)),
              ElementsAre(PlanResult::Stale, PlanResult::Stale));
}

// A run that ended between the look and the write made its successor's slot read "overlap".
TEST_P(StoreContract, AStepJudgedByActiveRunsIsStaleOnceTheyChange) {
  const JobId id = add(job("j1"));
  const auto apply = [&](std::map<RunId, RunState> expected, const std::string& run) {
    PlanStep s = step(id);
    s.expected_active = std::move(expected);
    s.runs.push_back({RunId(run), *s.expected_next_slot, model::Trigger::Schedule, base_});
    return must(store().apply_plan(leader(), {&s, 1})).at(0);
  };
  EXPECT_EQ(apply({{RunId("gone"), RunState::Running}}, "a"), PlanResult::Stale);
  EXPECT_EQ(apply({}, "b"), PlanResult::Applied);
  EXPECT_EQ(apply({}, "c"), PlanResult::Stale);
  const auto claimed = claim("w").at(0);
  EXPECT_EQ(apply({{RunId("b"), RunState::Queued}}, "d"), PlanResult::Stale);
  EXPECT_EQ(apply({{RunId("b"), RunState::Running}}, "e"), PlanResult::Applied);
  must(finish(claimed, RunState::Succeeded));
  EXPECT_EQ(apply({{RunId("b"), RunState::Running}, {RunId("e"), RunState::Queued}}, "f"),
            PlanResult::Stale);
  EXPECT_EQ(apply({{RunId("e"), RunState::Queued}}, "g"), PlanResult::Applied);
}

TEST_P(StoreContract, ASlotIsNeverPlannedTwice) {
  const JobId id = add(job("j1"));
  plan(id, {base_, base_ + 1min});
  PlanStep again = step(id);
  again.runs.push_back({RunId("twice"), base_, model::Trigger::Schedule, base_});
  // Symptom: such a step was refused and made again for ever, and the job stood still.
  EXPECT_THAT(must(store().apply_plan(leader(), {&again, 1})), ElementsAre(PlanResult::Applied));
  EXPECT_EQ(code_of(store().get_run(ws_, RunId("twice"))), Code::NotFound);
  EXPECT_EQ(reread(id).next_slot, again.next_slot) << "the job moves on";
  PlanStep skip = step(id);
  skip.records.push_back({.job = id, .first = base_, .last = base_, .reason = "overlap"});
  EXPECT_THAT(must(store().apply_plan(leader(), {&skip, 1})), ElementsAre(PlanResult::Applied));
  EXPECT_THAT(must(store().list_slots({.workspace = ws_, .job = id})).items, SizeIs(2));
  skip = step(id);
  skip.records.push_back(
      {.job = id, .first = base_ + 2min, .last = base_ + 6min, .count = 5, .reason = "overlap"});
  skip.next_slot = base_ + 7min;
  EXPECT_THAT(must(store().apply_plan(leader(), {&skip, 1})), ElementsAre(PlanResult::Applied));
  PlanStep inside = step(id);
  inside.runs.push_back({RunId("inside"), base_ + 4min, model::Trigger::Schedule, base_});
  EXPECT_THAT(must(store().apply_plan(leader(), {&inside, 1})), ElementsAre(PlanResult::Applied));
  EXPECT_EQ(code_of(store().get_run(ws_, RunId("inside"))), Code::NotFound);
  PlanStep both = step(id);
  both.runs.push_back({RunId("x"), base_ + 7min, model::Trigger::Schedule, base_});
  both.runs.push_back({RunId("y"), base_ + 7min, model::Trigger::Schedule, base_});
  EXPECT_THAT(must(store().apply_plan(leader(), {&both, 1})), ElementsAre(PlanResult::Stale));
  EXPECT_EQ(must(store().list_runs({.workspace = ws_})).total, 2);
  EXPECT_EQ(reread(id).next_slot, base_ + 8min);
}

TEST_P(StoreContract, AStretchOfSlotsWithOneReasonIsOneRecord) {
  const JobId id = add(job("j1"));
  const auto skip = [&](Instant slot, std::string reason) {
    PlanStep s = step(id);
    s.next_slot = slot + 1min;
    s.records.push_back({.job = id,
                         .first = slot,
                         .last = slot,
                         .reason = std::move(reason),
                         .recorded_at = now()});
    ASSERT_THAT(must(store().apply_plan(leader(), {&s, 1})), ElementsAre(PlanResult::Applied));
  };
  skip(base_, "paused");
  skip(base_ + 1min, "paused");
  skip(base_ + 2min, "paused");
  skip(base_ + 3min, "disabled");
  skip(base_ + 4min, "paused");
  plan(id, {base_ + 5min});
  skip(base_ + 6min, "paused");
  const auto slots = must(other().list_slots({.workspace = ws_, .job = id})).items;
  std::vector<std::string> said;
  for (const auto& e : slots)
    said.push_back(e.outcome + " " + e.reason + " " + std::to_string(e.count));
  EXPECT_THAT(said, ElementsAre("skipped paused 1", "planned  1", "skipped paused 1",
                                "skipped disabled 1", "skipped paused 3"));
  EXPECT_EQ(slots[4].first, base_);
  EXPECT_EQ(slots[4].last, base_ + 2min);
}

TEST_P(StoreContract, PlanSupersedesWaitingRunsAndCancelsRunningOnes) {
  const JobId a = add(job("a")), b = add(job("b"));
  plan(a, {base_});
  const auto first = claim("w1").at(0);
  AttemptEnd retry = end_of(first, RunState::Queued);
  retry.wait = 1h;
  must(store().finish_attempts({&retry, 1}));
  plan(b, {base_});
  const auto running = claim("w1").at(0);

  std::vector<PlanStep> steps{step(a), step(b)};
  steps[0].supersede = {first.run.id};
  steps[0].runs.push_back({RunId("newer"), base_ + 1min, model::Trigger::Schedule, base_});
  steps[1].cancel = {running.run.id};
  EXPECT_THAT(must(store().apply_plan(leader(), steps)),
              ElementsAre(PlanResult::Applied, PlanResult::Applied));
  EXPECT_EQ(run(first.run.id).state, RunState::Cancelled);
  EXPECT_EQ(run(first.run.id).error_kind, "superseded");
  EXPECT_TRUE(run(first.run.id).finished_at);
  EXPECT_EQ(run(running.run.id).state, RunState::Running);
  EXPECT_TRUE(run(running.run.id).cancel_requested);

  // Decided on a state that is gone: the planner must look again.
  PlanStep race = step(b);
  race.supersede = {running.run.id};
  EXPECT_THAT(must(store().apply_plan(leader(), {&race, 1})), ElementsAre(PlanResult::Stale));
  race = step(a);
  race.cancel = {RunId("newer")};
  EXPECT_THAT(must(store().apply_plan(leader(), {&race, 1})), ElementsAre(PlanResult::Stale));
}

TEST_P(StoreContract, AnElapsedPauseIsClearedByThePlanner) {
  const JobId id = add(job("j1"));
  must(store().set_pause(ws_, id, {},
                         model::Pause{.note = "n", .until = base_, .since = base_, .by = "b"}, {}));
  PlanStep s = step(id);
  s.clear_pause = true;
  s.next_slot = std::nullopt;
  EXPECT_THAT(must(store().apply_plan(leader(), {&s, 1})), ElementsAre(PlanResult::Applied));
  EXPECT_FALSE(reread(id).pause);
  EXPECT_EQ(reread(id).next_slot, std::nullopt);
  EXPECT_EQ(reread(id).revision, 2);
}

}  // namespace tidegate::store::contract
