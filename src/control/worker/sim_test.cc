// Leader, leases, orphans and runs under a virtual clock.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/worker/sim_fixture.h"

namespace tidegate::worker::testing {
namespace {

using model::RunState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const model::Attempt& last_attempt(const model::Run& run) { return run.attempts.back(); }

TEST_F(Simulation, ADueSlotRunsOnTimeAndIsRecorded) {
  add_worker();
  const JobId id = add_job(Seconds(60));
  run_for(Seconds(62));
  const auto all = runs(id);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].state, RunState::Succeeded);
  EXPECT_EQ(all[0].scheduled_for, start_ + Seconds(60));
  EXPECT_EQ(all[0].started_at, start_ + Seconds(60));
  EXPECT_EQ(all[0].finished_at, start_ + Seconds(61));
  EXPECT_EQ(job(id).next_slot, start_ + Seconds(120));
  EXPECT_EQ(job(id).run_count, 1);
}

// Seen here: its slots were lost without a record, and it got a slot that its schedule never had.
TEST_F(Simulation, AJobWhoseZoneIsGoneKeepsItsSlotsAndStopsNoOther) {
  options_.plan_batch = 1;
  add_worker();
  const JobId lost = add_job(Seconds(30), [](model::SyncJob& j) {
    j.spec.schedule = model::CronSchedule{.expression = "* * * * *", .timezone = "Nowhere/Zone"};
  });
  const JobId other = add_job(Seconds(60));
  run_for(Seconds(200));
  EXPECT_EQ(outcomes(other), "succeeded succeeded succeeded");
  EXPECT_EQ(job(lost).next_slot, start_ + Seconds(30));
  EXPECT_TRUE(ledger(lost).empty());

  // Mended, it is planned at once: each of its slots gets an outcome.
  model::SyncJob mended = job(lost);
  store::JobStore::UpdateJob update{.workspace = ws_,
                                    .id = lost,
                                    .if_revision = {},
                                    .spec = mended.spec,
                                    .reschedule = {},
                                    .at = clock_.now()};
  update.spec.schedule = model::EverySchedule{.every = Seconds(30), .anchor = start_};
  ASSERT_TRUE(store_.update_job(update));
  run_for(Seconds(11));
  ASSERT_FALSE(ledger(lost).empty());
  EXPECT_EQ(ledger(lost).front().first, start_ + Seconds(30));
  EXPECT_GT(job(lost).next_slot, clock_.now());
}

TEST_F(Simulation, AThreeHourRunIsNotDeclaredDeadAndRunsOnce) {
  script_ = [](const auto&) {
    return Script{.runs_for = Seconds(3 * 3600), .progress_every = Seconds(60)};
  };
  add_worker();
  add_worker();
  const JobId id = add_job(Seconds(3600));
  run_for(Seconds(4 * 3600 + 1800));
  // 13:00 runs for three hours; 14:00, 15:00 and 16:00 find it running.
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_EQ(runs(id)[0].attempt, 1);
  ASSERT_EQ(ledger(id).size(), 2U);
  EXPECT_EQ(ledger(id)[1].reason, "overlap");
}

TEST_F(Simulation, ALiveLeadersLockIsNotStolen) {
  SimWorker& first = add_worker();
  run_for(Millis(10));
  SimWorker& second = add_worker();
  for (int i = 0; i < 24 * 3; ++i) {
    run_for(Seconds(1));
    ASSERT_TRUE(first.leader.leading());
    ASSERT_FALSE(second.leader.leading());
  }
  EXPECT_EQ(first.leader.stats().leases_lost, 0U);
}

TEST_F(Simulation, AKilledLeaderIsReplacedWithinTenSeconds) {
  SimWorker& first = add_worker();
  run_for(Seconds(30));
  SimWorker& second = add_worker();
  const JobId id = add_job(Seconds(1), [](auto& j) { j.spec.overlap = model::Overlap::QueueAll; });
  run_for(Seconds(5));
  first.crash();
  run_for(Seconds(10));
  EXPECT_TRUE(second.leader.leading());
  run_for(Seconds(60));
  // Every slot of the gap was late, none was missed and none ran twice.
  auto all = runs(id);
  std::ranges::sort(all, {}, &model::Run::scheduled_for);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].scheduled_for, start_ + Seconds(31 + static_cast<int>(i)));
  }
  EXPECT_GE(all.size(), 74U);
}

TEST_F(Simulation, LosingTheLockStopsPlanning) {
  SimWorker& first = add_worker();
  run_for(Seconds(1));
  SimWorker& second = add_worker();
  first.frozen = true;
  run_for(Seconds(20));
  ASSERT_TRUE(second.leader.leading());
  second.frozen = true;  // it still holds a lease that is good
  first.frozen = false;
  const JobId id = add_job(Seconds(1));
  clock_.advance(Seconds(2));
  for (int i = 0; i < 5; ++i) first.leader.step();
  EXPECT_FALSE(first.leader.leading());
  EXPECT_EQ(first.leader.stats().leases_lost, 1U);
  EXPECT_TRUE(runs(id).empty());
  EXPECT_EQ(job(id).next_slot, start_ + Seconds(22));
}

TEST_F(Simulation, ALeaseThatRunsOutWhilePlanningPreventsTheWrite) {
  SimWorker& first = add_worker();
  run_for(Seconds(1));
  const JobId id = add_job(Seconds(1));
  // The read of due jobs takes longer than the lease: nobody has taken over yet, but somebody may.
  store_.set_gate([this](std::string_view method) {
    if (method == "due_jobs") clock_.advance(Seconds(8));
    EXPECT_NE(method, "apply_plan");
    return Fault::None;
  });
  clock_.advance(Seconds(1));
  first.leader.step();
  EXPECT_TRUE(runs(id).empty());
}

// One row that could not be read made orphans of all runs that ended with it, and they ran again.
TEST_F(Simulation, AnEndThatTheStoreCannotTakeUndoesNoOther) {
  add_worker();
  const JobId a = add_job(Seconds(60)), b = add_job(Seconds(60)), c = add_job(Seconds(60));
  int broken = 0;
  store_.set_gate([&](std::string_view method) {
    return method == "finish_attempts" && broken++ == 0 ? Fault::Broken : Fault::None;
  });
  run_for(Seconds(110));
  EXPECT_GT(broken, 2);
  for (const JobId& id : {a, b, c}) {
    ASSERT_EQ(outcomes(id), "succeeded");
    EXPECT_EQ(runs(id)[0].attempts.size(), 1U);
  }
}

TEST_F(Simulation, AnOrphanedRunStartsAgainWithinFifteenSecondsAndTheLedgerSaysWhy) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(30)}; };
  SimWorker& first = add_worker();
  run_for(Seconds(1));
  SimWorker& second = add_worker();
  second.frozen = true;
  const JobId id = add_job(Seconds(60));
  run_for(Seconds(70));
  ASSERT_EQ(runs(id)[0].owner, first.id);
  second.frozen = false;
  run_for(Seconds(1));
  first.crash();
  const Instant crashed = clock_.now();
  run_for(Seconds(15));
  const auto again = runs(id);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].owner, second.id);
  ASSERT_EQ(again[0].attempt, 2);
  ASSERT_EQ(again[0].attempts.size(), 2U);
  EXPECT_EQ(again[0].retries_used, 0);
  EXPECT_EQ(again[0].attempts[0].outcome, "worker_lost");
  EXPECT_LE(last_attempt(again[0]).started_at - crashed, Seconds(15));
  run_for(Seconds(31));
  EXPECT_EQ(runs(id)[0].state, RunState::Succeeded);
}

TEST_F(Simulation, ARunThatLosesThreeWorkersWithoutProgressFails) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(3600)}; };
  const JobId id = add_job(Seconds(60), [](auto& j) { j.spec.stall_timeout = Millis(0); });
  for (int i = 0; i < 3; ++i) {
    SimWorker& worker = add_worker();
    run_for(Seconds(i == 0 ? 61 : 20));
    ASSERT_EQ(runs(id)[0].attempt, i + 1);
    worker.crash();
  }
  add_worker();
  run_for(Seconds(25));
  EXPECT_EQ(runs(id)[0].state, RunState::Failed);
  EXPECT_EQ(runs(id)[0].error_kind, "worker_lost");
}

// Seen here: the log of a run that was retried said "started" and, much later, "succeeded".
TEST_F(Simulation, TheLogTellsOfEachAttempt) {
  script_ = [](const protocol::Request& request) {
    Script script;
    if (request.run.attempt == 1) script.signal = 9;
    return script;
  };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(60));
  run_for(Seconds(119));
  ASSERT_EQ(outcomes(id), "succeeded");
  const auto log = store_.read_log(runs(id)[0].id, 0, 100);
  ASSERT_TRUE(log);
  ASSERT_EQ(log->size(), 2U);
  EXPECT_THAT((*log)[0].message, HasSubstr("attempt 1 failed: "));
  EXPECT_THAT((*log)[0].message, HasSubstr("the next one starts at"));
  EXPECT_EQ((*log)[1].message, "attempt 2 started on worker " + worker.id.str());
}

TEST_F(Simulation, ASlowRunThatRenewsIsLeftAlone) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(7200)}; };
  SimWorker& first = add_worker();
  add_worker();
  const JobId id = add_job(Seconds(60), [](auto& j) { j.spec.stall_timeout = Millis(0); });
  run_for(Seconds(7200));
  EXPECT_EQ(outcomes(id), "running");
  EXPECT_EQ(runs(id)[0].attempt, 1);
  EXPECT_EQ(first.leader.stats().orphans_released, 0U);
}

TEST_F(Simulation, AWorkerThatWasDeclaredDeadAndComesBackWritesNothing) {
  script_ = [](const protocol::Request& request) {
    Script script{.runs_for = request.run.attempt == 1 ? Seconds(40) : Seconds(20)};
    script.says = {protocol::LogLine{.message = "attempt " + std::to_string(request.run.attempt)},
                   protocol::StateCommitted{"a", {.sequence = request.run.attempt}}};
    return script;
  };
  SimWorker& first = add_worker();
  run_for(Seconds(1));
  const JobId id = add_job(
      Seconds(60), [this](auto& j) { j.spec.schedule = model::AtSchedule{start_ + Seconds(61)}; });
  run_for(Seconds(60));
  run_for(Millis(10));
  ASSERT_EQ(outcomes(id), "running");
  first.frozen = true;  // the process and, in the worst case, not its child
  SimWorker& second = add_worker();
  run_for(Seconds(24));
  ASSERT_EQ(runs(id)[0].owner, second.id);
  const Fence fence = runs(id)[0].fence;
  first.frozen = false;
  run_for(Seconds(60));
  const auto all = runs(id);
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_EQ(all[0].attempt, 2);
  EXPECT_EQ(all[0].fence, fence);
  EXPECT_EQ(first.supervisor.stats().leases_lost, 1U);
  EXPECT_THAT(first.launcher.calls(), ElementsAre("start 1", "kill 1"));
  const auto log = store_.read_log(all[0].id, 0, 100);
  ASSERT_TRUE(log);
  ASSERT_EQ(log->size(), 3U);
  EXPECT_THAT((*log)[0].message, HasSubstr("attempt 1 on worker " + first.id.str() + " was lost"));
  EXPECT_THAT((*log)[1].message, HasSubstr("attempt 2 started on worker " + second.id.str()));
  EXPECT_EQ((*log)[2].message, "attempt 2");
  EXPECT_EQ(job(id).known_state.at("a").sequence, 2);
}

// Its log and its end would be refused too, but a child that is silent writes neither for hours.
TEST_F(Simulation, AWorkerThatWasDeclaredDeadKillsASilentChildAtItsNextRenewal) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(600)}; };
  SimWorker& first = add_worker();
  run_for(Seconds(1));
  const JobId id = add_job(
      Seconds(60), [this](auto& j) { j.spec.schedule = model::AtSchedule{start_ + Seconds(61)}; });
  run_for(Seconds(61));
  ASSERT_EQ(outcomes(id), "running");
  first.frozen = true;
  SimWorker& second = add_worker();
  run_for(Seconds(24));
  ASSERT_EQ(runs(id)[0].owner, second.id);
  first.frozen = false;
  run_for(first.options.run_renew + Seconds(1));
  EXPECT_THAT(first.launcher.calls(), ElementsAre("start 1", "kill 1"));
}

// Symptom: the old child's end was taken for the end of the new attempt, which ran on unwatched.
TEST_F(Simulation, AWorkerThatClaimsItsOwnLostRunAgainKillsTheOldChildFirst) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(100)}; };
  options_.max_concurrent_runs = 4;
  SimWorker& first = add_worker();
  run_for(Seconds(1));
  const JobId id = add_job(
      Seconds(60), [this](auto& j) { j.spec.schedule = model::AtSchedule{start_ + Seconds(61)}; });
  run_for(Seconds(61));
  ASSERT_EQ(outcomes(id), "running");
  first.frozen = true;
  options_.max_concurrent_runs = 0;  // the second one plans and finds orphans, and executes nothing
  add_worker();
  run_for(Seconds(24));
  ASSERT_EQ(outcomes(id), "queued");
  first.frozen = false;
  run_for(Seconds(110));
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_EQ(runs(id)[0].attempt, 2);
  EXPECT_EQ(runs(id)[0].retries_used, 0);
  EXPECT_THAT(first.launcher.calls(), ElementsAre("start 1", "kill 1", "start 2"));
}

TEST_F(Simulation, RenewalsTellTheChildHowLongItMayCommit) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(60)}; };
  SimWorker& worker = add_worker();
  add_job(Seconds(10));
  run_for(Seconds(11));
  const BootInstant first = worker.launcher.lease_until(1);
  EXPECT_GT(first, clock_.boot_now());
  run_for(Seconds(6));
  EXPECT_GT(worker.launcher.lease_until(1), first);
  // The store goes away: the lease is not prolonged, so the child pauses by itself.
  store_.set_gate([](std::string_view) { return Fault::Before; });
  const BootInstant last = worker.launcher.lease_until(1);
  run_for(Seconds(20));
  EXPECT_EQ(worker.launcher.lease_until(1), last);
  EXPECT_LT(last, clock_.boot_now());
}

TEST_F(Simulation, AfterAStoreOutageTheReaperWaitsOneTimeToLive) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(300)}; };
  SimWorker& first = add_worker();
  const JobId id = add_job(Seconds(10), [](auto& j) { j.spec.stall_timeout = Millis(0); });
  run_for(Seconds(12));
  ASSERT_EQ(outcomes(id), "running");
  store_.set_gate([](std::string_view) { return Fault::Before; });
  run_for(Seconds(40));
  // The leader is back at once, the lease keeper a little later.
  store_.set_gate(
      [](std::string_view method) { return method == "renew_runs" ? Fault::Before : Fault::None; });
  run_for(Seconds(5));
  store_.set_gate({});
  run_for(Seconds(30));
  EXPECT_EQ(runs(id)[0].attempt, 1);
  EXPECT_EQ(first.leader.stats().orphans_released, 0U);
}

TEST_F(Simulation, EveryEndSurvivesLostAnswersOfTheStore) {
  add_worker();
  const JobId id = add_job(Seconds(10));
  int calls = 0, bites = 0;
  store_.set_gate([&](std::string_view method) {
    const bool write = method == "apply_plan" || method == "claim_runs" ||
                       method == "finish_attempts" || method == "renew_runs";
    if (!write || ++calls % 3 != 0) return Fault::None;
    ++bites;
    return calls % 2 ? Fault::After : Fault::Before;
  });
  run_for(Seconds(600));
  EXPECT_GT(bites, 50);
  store_.set_gate({});
  run_for(Seconds(60));
  // A lost answer to a claim leaves a run nobody works on: it is found as an orphan, and three in a
  // row look like three lost workers.
  std::int64_t slots = 0;
  for (const model::LedgerEntry& entry : ledger(id)) slots += entry.count;
  EXPECT_EQ(slots, 65);
  for (const model::Run& run : runs(id)) {
    EXPECT_TRUE(run.state == RunState::Succeeded || run.error_kind == "worker_lost" ||
                run.scheduled_for > start_ + Seconds(640))
        << format_utc(*run.scheduled_for) << " attempt " << run.attempt << " " << run.error;
  }
}

TEST_F(Simulation, AFrozenPlannerTurnsHealthRedAndAStandbyIsReady) {
  SimWorker& first = add_worker();
  run_for(Seconds(1));
  SimWorker& second = add_worker();
  run_for(Seconds(30));
  EXPECT_TRUE(first.leader.health().ready);
  EXPECT_TRUE(first.leader.health().leading);
  EXPECT_TRUE(second.leader.health().ready);
  EXPECT_FALSE(second.leader.health().leading);
  first.frozen = true;
  run_for(Seconds(16));
  EXPECT_FALSE(first.leader.health().ready);
  EXPECT_FALSE(first.leader.health().leading);
  EXPECT_THAT(first.leader.health().reason, HasSubstr("no sign of life"));
  EXPECT_TRUE(second.leader.health().leading);
}

TEST_F(Simulation, AStoreThatStaysAwayTurnsHealthRed) {
  SimWorker& worker = add_worker();
  run_for(Seconds(5));
  store_.set_gate([](std::string_view) { return Fault::Before; });
  run_for(Seconds(5));
  EXPECT_TRUE(worker.leader.health().ready);
  run_for(Seconds(10));
  EXPECT_FALSE(worker.leader.health().ready);
  EXPECT_THAT(worker.leader.health().reason, HasSubstr("the store is away"));
  store_.set_gate({});
  run_for(Seconds(5));
  EXPECT_TRUE(worker.leader.health().ready);
}

TEST_F(Simulation, AClockThatStepsAnHourAndBackChangesNothing) {
  for (const int sign : {1, -1}) {
    SimWorker& worker = add_worker();
    const JobId id = add_job(Seconds(60));
    run_for(Seconds(130));
    ASSERT_EQ(runs(id).size(), 2U);
    clock_.step_wall(sign * Seconds(3600));
    for (int i = 0; i < 20; ++i) {  // not run_for: its end would move with the wall
      clock_.advance(Seconds(1));
      worker.step();
    }
    EXPECT_EQ(runs(id).size(), 2U);
    EXPECT_FALSE(worker.leader.health().ready);
    clock_.step_wall(sign * Seconds(-3600));
    run_for(Seconds(100));
    EXPECT_TRUE(worker.leader.health().ready);
    EXPECT_EQ(runs(id).size(), 4U);
    ASSERT_EQ(ledger(id).size(), 4U);
    worker.crash();
    run_for(Seconds(20));
    EXPECT_TRUE(store_.delete_job(ws_, id, {}));
  }
}

TEST_F(Simulation, AClockStepThatHoldsIsAcceptedAfterThirtySeconds) {
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(60));
  run_for(Seconds(61));
  clock_.step_wall(Seconds(3600));
  for (int i = 0; i < 40; ++i) {
    clock_.advance(Seconds(1));
    worker.step();
  }
  EXPECT_TRUE(worker.leader.health().ready);
  // The hour has its outcomes: 59 or 60 slots missed, one caught up.
  std::int64_t slots = 0;
  for (const model::LedgerEntry& entry : ledger(id)) slots += entry.count;
  EXPECT_EQ(start_ + Seconds(60) * slots + Seconds(60), *job(id).next_slot);
}

TEST_F(Simulation, OwnWritesCauseNoPlanning) {
  add_worker();
  const JobId id = add_job(Seconds(60));
  int plans = 0;
  store_.set_gate([&](std::string_view method) {
    if (method == "apply_plan") ++plans;
    return Fault::None;
  });
  run_for(Seconds(305));
  EXPECT_EQ(runs(id).size(), 5U);
  EXPECT_EQ(plans, 5);
}

TEST_F(Simulation, ARunCostsAtMostFourWritesOfTheStore) {
  script_ = [](const auto&) {
    Script script{.runs_for = Millis(500)};
    script.says = {protocol::LogLine{.message = "hello"}};
    return script;
  };
  add_worker();
  run_for(Seconds(1));
  const JobId id = add_job(Seconds(60));
  run_for(Seconds(59));
  std::map<std::string, int, std::less<>> writes;
  store_.set_gate([&](std::string_view method) {
    if (method == "apply_plan" || method == "finish_attempts" || method == "append_log" ||
        method == "renew_runs") {
      ++writes[std::string(method)];
    }
    return Fault::None;
  });
  run_for(Seconds(4));
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_EQ(writes["apply_plan"], 1);
  EXPECT_EQ(writes["append_log"], 1);
  EXPECT_EQ(writes["finish_attempts"], 1);
  EXPECT_EQ(writes["renew_runs"], 0);  // and one claim
}

}  // namespace
}  // namespace tidegate::worker::testing
