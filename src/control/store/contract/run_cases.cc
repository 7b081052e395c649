#include <gmock/gmock.h>

#include <set>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::RunState;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

TEST_P(StoreContract, AClaimGivesAllThatTheRunNeeds) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto claimed = claim("w1");
  ASSERT_THAT(claimed, SizeIs(1));
  const auto& c = claimed[0];
  EXPECT_EQ(c.run.state, RunState::Running);
  EXPECT_EQ(c.run.attempt, 1);
  EXPECT_EQ(c.run.owner, OwnerId("w1"));
  EXPECT_GE(value(c.run.fence), to_ms(now()));
  EXPECT_EQ(c.run.started_at, now());
  ASSERT_THAT(c.run.attempts, SizeIs(1));
  EXPECT_EQ(c.run.attempts[0].fence, c.run.fence);
  EXPECT_EQ(*c.spec, job("j1").spec);
  EXPECT_EQ(c.source->id, ConnectionId("src"));
  EXPECT_EQ(c.source->config, connection("src", model::ConnectionKind::Source).config);
  EXPECT_EQ(c.destination->kind, model::ConnectionKind::Destination);
  EXPECT_EQ(reread(id).last_run_at, now());
  EXPECT_THAT(must(other().claim_runs({.owner = OwnerId("w2"), .max = 10})).runs, IsEmpty());
}

TEST_P(StoreContract, ClaimsTakeTheOldestSlotAndRespectTheLimit) {
  const JobId a = add(job("a")), b = add(job("b")), c = add(job("c"));
  plan(a, {base_ - 1min});
  plan(b, {base_ - 3min});
  plan(c, {base_ - 2min});
  const auto two = claim("w1", 2);
  ASSERT_THAT(two, SizeIs(2));
  EXPECT_EQ(two[0].run.job, b);
  EXPECT_EQ(two[1].run.job, c);
  EXPECT_THAT(claim("w1", 0), IsEmpty());
  EXPECT_EQ(claim("w1").at(0).run.job, a);
}

TEST_P(StoreContract, ARunWaitsForItsTimeAndTheClaimSaysWhen) {
  const JobId id = add(job("j1"));
  PlanStep s = step(id);
  s.runs.push_back({RunId("r1"), base_, model::Trigger::Schedule, base_ + 5s});
  must(store().apply_plan(leader(), {&s, 1}));
  const auto early = must(store().claim_runs({.owner = OwnerId("w1"), .max = 1}));
  EXPECT_THAT(early.runs, IsEmpty());
  EXPECT_EQ(early.next, base_ + 5s);
  clock().advance(5s);
  const auto due = must(store().claim_runs({.owner = OwnerId("w1"), .max = 1}));
  EXPECT_THAT(due.runs, SizeIs(1));
  EXPECT_EQ(due.next, std::nullopt);
}

TEST_P(StoreContract, OneRunOfAJobAtATime) {
  const JobId id = add(job("j1"));
  plan(id, {base_ - 2min, base_ - 1min, base_});
  const auto first = claim("w1");
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].run.scheduled_for, base_ - 2min);
  EXPECT_THAT(claim("w2"), IsEmpty());
  EXPECT_TRUE(finish(first[0], RunState::Succeeded));
  const auto second = claim("w2");
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].run.scheduled_for, base_ - 1min);
  EXPECT_GT(second[0].run.fence, first[0].run.fence);
}

TEST_P(StoreContract, OverlapAllowRunsSideBySideUnderDistinctFences) {
  model::SyncJob j = job("j1");
  j.spec.overlap = model::Overlap::Allow;
  const JobId id = add(j);
  plan(id, {base_ - 2min, base_ - 1min, base_});
  const auto all = claim("w1");
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_LT(all[0].run.fence, all[1].run.fence);
  EXPECT_LT(all[1].run.fence, all[2].run.fence);
  for (const auto& c : all) EXPECT_TRUE(finish(c, RunState::Succeeded));
}

TEST_P(StoreContract, ARunPinnedToASpecThatForbidsOverlapRunsAlone) {
  const JobId id = add(job("j1"));
  plan(id, {base_ - 1min});
  JobStore::UpdateJob u{.workspace = ws_,
                        .id = id,
                        .if_revision = {},
                        .spec = job("j1").spec,
                        .reschedule = {},
                        .at = now()};
  u.spec.overlap = model::Overlap::Allow;
  must(store().update_job(u));
  plan(id, {base_, base_ + 1min});
  clock().advance(1min);
  const auto alone = claim("w1");
  ASSERT_THAT(alone, SizeIs(1));
  EXPECT_EQ(alone[0].spec->overlap, model::Overlap::Skip);
  EXPECT_EQ(alone[0].run.job_revision, 1);
  EXPECT_TRUE(finish(alone[0], RunState::Succeeded));
  EXPECT_THAT(claim("w1"), SizeIs(2));
}

// Counting first was a race: two claimers passed a limit of 1.
TEST_P(StoreContract, OneWriterOfAnExclusiveDestination) {
  auto one = connection("one", model::ConnectionKind::Destination);
  auto two = connection("two", model::ConnectionKind::Destination);
  one.exclusive_key = two.exclusive_key = "sqlite:/data/out.db";
  must(store().create_connection(one, {}));
  must(store().create_connection(two, {}));
  model::SyncJob a = job("a"), b = job("b"), c = job("c");
  a.spec.destination_id = one.id;
  b.spec.destination_id = two.id;
  for (const auto& j : {a, b, c}) plan(add(j), {base_});
  const auto first = claim("w1");
  std::set<std::string> jobs;
  for (const auto& r : first) jobs.insert(r.run.job.str());
  EXPECT_THAT(jobs, ElementsAre("a", "c")) << "c writes elsewhere, b waits for a";
  EXPECT_EQ(first[0].run.exclusive_key, "sqlite:/data/out.db");
  EXPECT_THAT(must(other().claim_runs({.owner = OwnerId("w2"), .max = 10})).runs, IsEmpty());
  EXPECT_TRUE(finish(first[0], RunState::Failed));
  EXPECT_EQ(run(first[0].run.id).exclusive_key, "");
  EXPECT_EQ(claim("w2").at(0).run.job, b.id);
}

TEST_P(StoreContract, ASuccessIsWrittenToTheRunAndItsJob) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto c = claim("w1").at(0);
  clock().advance(90s);
  AttemptEnd end = end_of(c, RunState::Succeeded);
  end.entities.push_back({.entity = "orders",
                          .rows_read = 10,
                          .rows_written = 9,
                          .rows_rejected = 1,
                          .duration = Millis(1234),
                          .destination_table = "orders",
                          .schema_changes = {"added column x"},
                          .warnings = {"w"},
                          .error_kind = {},
                          .error = {}});
  end.committed = {{"orders", known(0, 5)}};
  end.warnings = {"late rows"};
  EXPECT_TRUE(must(store().finish_attempts({&end, 1})).at(0));
  const auto r = must(other().get_run(ws_, c.run.id));
  EXPECT_EQ(r.state, RunState::Succeeded);
  EXPECT_EQ(r.finished_at, now());
  EXPECT_EQ(r.error, "");
  EXPECT_TRUE(r.owner.empty());
  EXPECT_EQ(r.fence, c.run.fence);
  EXPECT_THAT(r.warnings, ElementsAre("late rows"));
  ASSERT_THAT(r.entities, SizeIs(1));
  EXPECT_EQ(r.entities[0].rows_written, 9);
  EXPECT_EQ(r.entities[0].duration, Millis(1234));
  EXPECT_THAT(r.entities[0].schema_changes, ElementsAre("added column x"));
  ASSERT_THAT(r.attempts, SizeIs(1));
  EXPECT_EQ(r.attempts[0].outcome, "succeeded");
  EXPECT_EQ(r.attempts[0].finished_at, now());
  const auto j = must(other().get_job(ws_, id));
  EXPECT_EQ(j.run_count, 1);
  EXPECT_EQ(j.last_run_at, base_);
  EXPECT_EQ(j.last_success_at, now());
  EXPECT_EQ(j.avg_duration(), Millis(90'000));
  EXPECT_EQ(j.known_state.at("orders").sequence, 5);
  EXPECT_EQ(j.revision, 1);
}

TEST_P(StoreContract, ARetryGoesBackToTheQueueAndMergesEntities) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto first = claim("w1").at(0);
  AttemptEnd end = end_of(first, RunState::Queued);
  end.wait = 30s;
  end.uses_retry = true;
  end.only_entities = {"b"};
  end.entities = {{.entity = "a", .rows_read = 5},
                  {.entity = "b", .outcome = protocol::EntityOutcome::Failed}};
  must(store().finish_attempts({&end, 1}));
  auto r = run(first.run.id);
  EXPECT_EQ(r.state, RunState::Queued);
  EXPECT_EQ(r.retries_used, 1);
  EXPECT_EQ(r.finished_at, std::nullopt);
  EXPECT_EQ(reread(id).run_count, 0);
  EXPECT_THAT(claim("w1"), IsEmpty());
  clock().advance(30s);
  const auto second = claim("w2").at(0);
  EXPECT_EQ(second.run.attempt, 2);
  EXPECT_THAT(second.run.only_entities, ElementsAre("b"));
  EXPECT_EQ(second.run.started_at, base_);
  AttemptEnd done = end_of(second, RunState::Succeeded);
  done.entities = {{.entity = "b", .rows_read = 7}};
  must(store().finish_attempts({&done, 1}));
  r = run(first.run.id);
  ASSERT_THAT(r.entities, SizeIs(2));
  EXPECT_EQ(r.entities[0].rows_read, 5);
  EXPECT_EQ(r.entities[1].outcome, protocol::EntityOutcome::Succeeded);
  ASSERT_THAT(r.attempts, SizeIs(2));
  EXPECT_EQ(r.attempts[0].outcome, "retry");
  EXPECT_EQ(r.attempts[1].owner, OwnerId("w2"));
}

TEST_P(StoreContract, OnlyTheNewestAttemptsAreKept) {
  const JobId id = add(job("j1"));
  trigger(id, "r1");
  for (int i = 0; i < 25; ++i) {
    AttemptEnd end = end_of(claim("w1").at(0), RunState::Queued);
    must(store().finish_attempts({&end, 1}));
  }
  const auto r = run(RunId("r1"));
  EXPECT_EQ(r.attempt, 25);
  ASSERT_THAT(r.attempts, SizeIs(20));
  EXPECT_EQ(r.attempts.front().number, 6);
}

TEST_P(StoreContract, RenewalKeepsTheLeaseAndCarriesProgress) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto c = claim("w1").at(0);
  Renewal renewal{.held = held(c), .progress = {{"orders", {10, 9, 800, 100}}}, .committed = {}};
  for (int i = 0; i < 5; ++i) {
    clock().advance(10s);  // 50 s altogether, four times the TTL
    const auto out = must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1}));
    ASSERT_THAT(out, SizeIs(1));
    EXPECT_TRUE(out[0].held);
    EXPECT_FALSE(out[0].cancel_requested);
    EXPECT_THAT(must(other().expired_runs(10)), IsEmpty());
    renewal.progress.clear();
  }
  EXPECT_EQ(must(other().get_run(ws_, c.run.id)).progress.at("orders"),
            (model::EntityProgress{10, 9, 800, 100}));
  must(store().request_cancel(ws_, c.run.id, {}));
  EXPECT_TRUE(must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1}))
                  .at(0)
                  .cancel_requested);
}

TEST_P(StoreContract, AStaleFenceWritesNothing) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto old = claim("w1").at(0);
  clock().advance(12s);
  ASSERT_THAT(must(store().expired_runs(10)), SizeIs(1));
  OrphanDecision decision{held(old), end_of(old, RunState::Queued)};
  decision.end.outcome = "worker_lost";
  EXPECT_EQ(must(store().release_orphans(leader(), {&decision, 1})), 1u);
  EXPECT_EQ(run(old.run.id).lost_in_row, 1);
  const auto fresh = claim("w2").at(0);
  ASSERT_GT(fresh.run.fence, old.run.fence);

  // The first worker wakes up.
  Renewal renewal{.held = held(old),
                  .progress = {{"orders", {1, 1, 1, {}}}},
                  .committed = {{"orders", known(0, 9)}}};
  EXPECT_FALSE(must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1})).at(0).held);
  EXPECT_EQ(code_of(finish(old, RunState::Succeeded)), Code::Fenced);
  const model::RunLogLine line{.at = now(), .message = "I am back"};
  EXPECT_EQ(code_of(store().append_log(held(old), {&line, 1}, 1000)), Code::Fenced);
  EXPECT_EQ(run(old.run.id).state, RunState::Running);
  EXPECT_THAT(run(old.run.id).progress, IsEmpty());
  EXPECT_THAT(reread(id).known_state, IsEmpty());
  EXPECT_THAT(must(store().read_log(old.run.id, 0, 10)), IsEmpty());
  EXPECT_EQ(reread(id).run_count, 0);

  EXPECT_TRUE(finish(fresh, RunState::Succeeded));
  EXPECT_EQ(run(old.run.id).attempts.at(0).outcome, "worker_lost");
}

TEST_P(StoreContract, ARenewalNeedsOwnerAndFence) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto c = claim("w1").at(0);
  const Renewal renewal{.held = held(c), .progress = {}, .committed = {}};
  Renewal older = renewal;
  older.held.fence = Fence{value(c.run.fence) - 1};
  clock().advance(6s);
  EXPECT_FALSE(must(store().renew_runs(OwnerId("w2"), Millis(12'000), {&renewal, 1})).at(0).held);
  EXPECT_FALSE(must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&older, 1})).at(0).held);
  clock().advance(6s);
  EXPECT_THAT(must(store().expired_runs(10)), SizeIs(1))
      << "neither a stranger's renewal nor that of an older attempt prolongs it";
  // Nobody took over: the holder may go on (false zombie kills of live runs).
  EXPECT_TRUE(must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1})).at(0).held);
  EXPECT_THAT(must(store().expired_runs(10)), IsEmpty());
}

// Seen here: what was queued waited as long as the clock had been set back.
TEST_P(StoreContract, ARunQueuedBeforeTheWallClockSteppedBackStartsAtOnce) {
  trigger(add(job("j1")), "r1");
  clock().step_wall(-1h);
  EXPECT_THAT(claim("w"), SizeIs(1));
}

TEST_P(StoreContract, ARunRenewedMeanwhileIsNoOrphan) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto c = claim("w1").at(0);
  clock().advance(12s);
  ASSERT_THAT(must(store().expired_runs(10)), SizeIs(1));
  const Renewal renewal{.held = held(c), .progress = {}, .committed = {}};
  must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1}));
  OrphanDecision decision{held(c), end_of(c, RunState::Queued)};
  EXPECT_EQ(must(store().release_orphans(leader(), {&decision, 1})), 0u);
  EXPECT_EQ(run(c.run.id).state, RunState::Running);
}

// A run longer than an hour was declared dead while alive and started twice.
TEST_P(StoreContract, ARunOfThreeHoursRunsOnce) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto c = claim("w1").at(0);
  const Renewal renewal{.held = held(c), .progress = {}, .committed = {}};
  for (int i = 0; i < 3 * 120; ++i) {
    clock().advance(30s);  // renewals may be late, as long as nobody took over
    must(store().renew_runs(OwnerId("w1"), Millis(45'000), {&renewal, 1}));
    if (i % 30 == 0) {
      EXPECT_THAT(must(other().expired_runs(10)), IsEmpty());
      EXPECT_THAT(must(other().claim_runs({.owner = OwnerId("w2"), .max = 1})).runs, IsEmpty());
    }
  }
  EXPECT_TRUE(finish(c, RunState::Succeeded));
  EXPECT_EQ(run(c.run.id).attempt, 1);
}

TEST_P(StoreContract, CommittedStateResetsTheCountOfLostWorkers) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  for (int lost = 1; lost <= 2; ++lost) {
    const auto c = claim("w" + std::to_string(lost)).at(0);
    clock().advance(12s);
    OrphanDecision d{held(c), end_of(c, RunState::Queued)};
    d.end.outcome = "worker_lost";
    must(store().release_orphans(leader(), {&d, 1}));
    EXPECT_EQ(run(c.run.id).lost_in_row, lost);
    EXPECT_EQ(run(c.run.id).retries_used, 0);
  }
  const auto c = claim("w3").at(0);
  const Renewal renewal{.held = held(c), .progress = {}, .committed = {{"orders", known(0, 1)}}};
  must(store().renew_runs(OwnerId("w3"), Millis(12'000), {&renewal, 1}));
  EXPECT_EQ(run(c.run.id).lost_in_row, 0);
}

TEST_P(StoreContract, FinishAnswersEachAndToleratesARepeat) {
  const JobId a = add(job("a")), b = add(job("b"));
  plan(a, {base_});
  plan(b, {base_});
  const auto runs = claim("w1");
  std::vector<AttemptEnd> ends{end_of(runs.at(0), RunState::Succeeded),
                               end_of(runs.at(1), RunState::Failed)};
  ends[0].held.fence = Fence{value(ends[0].held.fence) + 1};
  auto results = must(store().finish_attempts(ends));
  ASSERT_THAT(results, SizeIs(2));
  EXPECT_EQ(code_of(results[0]), Code::Fenced);
  EXPECT_TRUE(results[1]);
  EXPECT_EQ(run(runs[0].run.id).state, RunState::Running);
  // The reply was lost, the worker repeats: success again, counted once. Another outcome: fenced.
  EXPECT_TRUE(must(store().finish_attempts({&ends[1], 1})).at(0));
  EXPECT_EQ(reread(runs[1].run.job).run_count, 1);
  EXPECT_EQ(code_of(finish(runs[1], RunState::Succeeded)), Code::Fenced);
  ends[1].held.run = RunId("gone");
  EXPECT_EQ(code_of(must(store().finish_attempts({&ends[1], 1})).at(0)), Code::Fenced);
}

TEST_P(StoreContract, IllegalTransitionsAreRefused) {
  const JobId id = add(job("j1"));
  plan(id, {base_});
  const auto c = claim("w1").at(0);
  EXPECT_EQ(code_of(finish(c, RunState::Running)), Code::Internal);
  EXPECT_EQ(run(c.run.id).state, RunState::Running);
}

TEST_P(StoreContract, TriggerRefusesASecondActiveRun) {
  const JobId id = add(job("j1"));
  TriggerRun t{.workspace = ws_,
               .job = id,
               .run = RunId("r1"),
               .triggered_by = "ann",
               .only_entities = {"a"},
               .take_over = true,
               .once = Idempotency{"t", "k", "h"}};
  EXPECT_FALSE(must(store().trigger_run(t)).replayed);
  const auto r = run(RunId("r1"));
  EXPECT_EQ(r.scheduled_for, std::nullopt);
  EXPECT_EQ(r.trigger, model::Trigger::Manual);
  EXPECT_EQ(r.triggered_by, "ann");
  EXPECT_THAT(r.only_entities, ElementsAre("a"));
  EXPECT_TRUE(r.take_over);
  EXPECT_EQ(r.not_before, now());
  TriggerRun second = t;
  second.run = RunId("r2");
  EXPECT_EQ(must(other().trigger_run(second)).id, RunId("r1")) << "the same key: the first answer";
  second.once.reset();
  const auto refused = other().trigger_run(second);
  EXPECT_EQ(reason_of(refused), "run_active");
  EXPECT_EQ(refused.error().details.at(0).message, "r1");
  EXPECT_TRUE(
      must(store().trigger_run({.workspace = ws_, .job = id, .run = RunId("r1")})).replayed);
  second.job = JobId("nope");
  EXPECT_EQ(reason_of(store().trigger_run(second)), "job_not_found");
  EXPECT_TRUE(finish(claim("w1").at(0), RunState::Succeeded));
  second.job = id;
  EXPECT_EQ(must(store().trigger_run(second)).id, RunId("r2"));
}

TEST_P(StoreContract, CancelEndsAQueuedRunAndAsksARunningOne) {
  const JobId id = add(job("j1"));
  trigger(id, "r1");
  EXPECT_EQ(code_of(store().request_cancel(WorkspaceId("x"), RunId("r1"), {})), Code::NotFound);
  EXPECT_EQ(must(store().request_cancel(ws_, RunId("r1"), {})).state, RunState::Cancelled);
  EXPECT_EQ(reason_of(store().request_cancel(ws_, RunId("r1"), {})), "run_ended");
  EXPECT_THAT(claim("w1"), IsEmpty());
  trigger(id, "r2");
  const auto c = claim("w1").at(0);
  const auto asked = must(other().request_cancel(ws_, RunId("r2"), {}));
  EXPECT_EQ(asked.state, RunState::Running);
  EXPECT_TRUE(asked.cancel_requested);
  // A commit already made wins.
  EXPECT_TRUE(finish(c, RunState::Succeeded));
  EXPECT_EQ(run(RunId("r2")).state, RunState::Succeeded);
  EXPECT_TRUE(run(RunId("r2")).cancel_requested);
  EXPECT_EQ(reread(id).last_error, std::nullopt);
}

TEST_P(StoreContract, ACancelledRunIsNotQueuedAgain) {
  const JobId id = add(job("j1"));
  trigger(id, "r1");
  const auto c = claim("w1").at(0);
  must(store().request_cancel(ws_, RunId("r1"), {}));
  AttemptEnd end = end_of(c, RunState::Queued);
  EXPECT_TRUE(must(store().finish_attempts({&end, 1})).at(0));
  EXPECT_EQ(run(RunId("r1")).state, RunState::Cancelled);
  EXPECT_EQ(run(RunId("r1")).finished_at, now());
  EXPECT_EQ(run(RunId("r1")).attempts.at(0).outcome, "retry");
  EXPECT_EQ(reread(id).run_count, 1);
}

}  // namespace tidegate::store::contract
