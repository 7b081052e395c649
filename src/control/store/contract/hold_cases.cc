// What a pause, a disabled job and a replaced retry mean for runs that are queued already.
#include <gmock/gmock.h>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::RunState;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

namespace {

JobStore::UpdateJob switched(const model::SyncJob& job, bool enabled, Instant at) {
  JobStore::UpdateJob u{.workspace = job.workspace,
                        .id = job.id,
                        .if_revision = {},
                        .spec = job.spec,
                        .reschedule = {},
                        .at = at};
  u.spec.enabled = enabled;
  return u;
}

}  // namespace

// Seen here: a paused and disabled job went on starting its retries by itself.
TEST_P(StoreContract, AQueuedRunOfAPausedJobWaitsForTheEndOfThePause) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto first = claim("w1").at(0);
  AttemptEnd retry = end_of(first, RunState::Queued);
  must(store().finish_attempts({&retry, 1}));
  must(store().set_pause(
      ws_, id, {}, model::Pause{.note = "", .until = now() + 1h, .since = now(), .by = "b"}, {}));
  const auto held = must(store().claim_runs({.owner = OwnerId("w1"), .max = 1}));
  EXPECT_THAT(held.runs, IsEmpty());
  EXPECT_EQ(held.next, now() + 1h) << "nobody would look again in time";
  EXPECT_EQ(run(first.run.id).state, RunState::Queued);
  clock().advance(1h);
  EXPECT_THAT(claim("w1"), SizeIs(1)) << "the pause is over by itself";
}

TEST_P(StoreContract, AQueuedRunOfADisabledJobWaitsUntilItIsEnabled) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  must(store().update_job(switched(reread(id), false, now())));
  EXPECT_THAT(claim("w1"), IsEmpty());
  must(store().update_job(switched(reread(id), true, now())));
  EXPECT_THAT(claim("w1"), SizeIs(1));
}

// Found by the simulation: a worker span, because the end of a pause that was over was the next
// thing to wait for.
TEST_P(StoreContract, TheEndOfAPauseThatIsOverIsNotWaitedFor) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  must(store().set_pause(
      ws_, id, {}, model::Pause{.note = "", .until = now() + 1h, .since = now(), .by = "b"}, {}));
  must(store().update_job(switched(reread(id), false, now())));
  clock().advance(2h);
  const auto held = must(store().claim_runs({.owner = OwnerId("w1"), .max = 1}));
  EXPECT_THAT(held.runs, IsEmpty());
  EXPECT_TRUE(!held.next || *held.next > now()) << "who waits for it asks again and again";
}

TEST_P(StoreContract, WhatAPersonStartsRunsThoughTheJobIsPausedOrDisabled) {
  const JobId paused = add(job("paused")), disabled = add(job("disabled"));
  must(store().set_pause(ws_, paused, {},
                         model::Pause{.note = "", .until = {}, .since = now(), .by = "b"}, {}));
  must(store().update_job(switched(reread(disabled), false, now())));
  trigger(paused, "r1");
  trigger(disabled, "r2");
  EXPECT_THAT(claim("w1"), SizeIs(2));
}

TEST_P(StoreContract, AHeldRunGivesWayToOneStartedByHand) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  must(store().update_job(switched(reread(id), false, now())));
  const RunId held = must(store().list_runs({.workspace = ws_, .job = id})).items.at(0).id;
  const RunId by_hand = trigger(id, "r1");
  EXPECT_EQ(run(held).state, RunState::Cancelled);
  EXPECT_EQ(run(held).error_kind, "superseded");
  EXPECT_EQ(claim("w1").at(0).run.id, by_hand);
  EXPECT_EQ(reason_of(store().trigger_run({.workspace = ws_, .job = id, .run = RunId("r2")})),
            "run_active")
      << "a run that is not held keeps its place";
}

TEST_P(StoreContract, AHeldRunStaysBesideOneOfOnlySomeEntities) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  must(store().update_job(switched(reread(id), false, now())));
  const RunId held = must(store().list_runs({.workspace = ws_, .job = id})).items.at(0).id;
  must(store().trigger_run(
      {.workspace = ws_, .job = id, .run = RunId("part"), .only_entities = {"orders"}}));
  EXPECT_EQ(run(held).state, RunState::Queued);
  const auto part = claim("w1");
  ASSERT_THAT(part, SizeIs(1));
  EXPECT_EQ(part[0].run.id, RunId("part"));
  EXPECT_TRUE(finish(part[0], RunState::Succeeded));
  must(store().update_job(switched(reread(id), true, now())));
  EXPECT_EQ(claim("w1").at(0).run.id, held);
}

// Seen here: a job whose every attempt failed was "healthy", because each new slot replaced the run
// that waited for its retry.
TEST_P(StoreContract, ARunReplacedInBackoffCountsAsAFailure) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto first = claim("w1").at(0);
  AttemptEnd retry = end_of(first, RunState::Queued);
  retry.outcome = "retry";
  retry.wait = 1h;
  retry.error_kind = "transient";
  retry.error = "no route";
  must(store().finish_attempts({&retry, 1}));
  PlanStep s = step(id);
  s.supersede = {first.run.id};
  s.runs.push_back({RunId("newer"), base_ + 1min, model::Trigger::Schedule, base_});
  must(store().apply_plan(leader(), {&s, 1}));
  EXPECT_EQ(reread(id).last_error, "no route");
  EXPECT_EQ(reread(id).consecutive_failures, 1);

  // One that never started tells nothing.
  PlanStep again = step(id);
  again.supersede = {RunId("newer")};
  again.runs.push_back({RunId("newest"), base_ + 2min, model::Trigger::Schedule, base_});
  must(store().apply_plan(leader(), {&again, 1}));
  EXPECT_EQ(reread(id).consecutive_failures, 1);
}

// Seen here: lost, failed, lost, returned, lost ended as "three workers in a row".
TEST_P(StoreContract, LostWorkersInARowAreInARow) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto attempt = [&](const std::string& outcome) {
    AttemptEnd end = end_of(claim("w1").at(0), RunState::Queued);
    end.outcome = outcome;
    end.error_kind = outcome == "worker_lost" ? "worker_lost" : "";
    must(store().finish_attempts({&end, 1}));
    return run(end.held.run).lost_in_row;
  };
  EXPECT_EQ(attempt("worker_lost"), 1);
  EXPECT_EQ(attempt("worker_lost"), 2);
  EXPECT_EQ(attempt("returned"), 0);
  EXPECT_EQ(attempt("worker_lost"), 1);
}

}  // namespace tidegate::store::contract
