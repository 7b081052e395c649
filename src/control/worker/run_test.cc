// What becomes of runs: retries, deadlines, cancel, drain, secrets; under a virtual clock.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/worker/sim_fixture.h"

namespace tidegate::worker::testing {
namespace {

using model::RunState;
using protocol::EntityOutcome;
using protocol::ExitCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A job that is due once, at start + 10 s.
void once(model::SyncJob& job) {
  job.spec.schedule = model::AtSchedule{job.created_at + Seconds(10)};
  job.next_slot = job.created_at + Seconds(10);
}

protocol::RunResult failed(ExitCode code, const std::string& kind, const std::string& error) {
  protocol::RunResult result;
  result.code = code;
  result.error_kind = kind;
  result.error = error;
  return result;
}

TEST_F(Simulation, TheRequestCarriesTheRunTheJobAndTheOpenedConnections) {
  options_.path_roots = {"/data"};
  options_.forbidden_paths = {"/data/tidegate.db"};
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), [](auto& j) {
    once(j);
    j.spec.mode = protocol::SyncMode::Incremental;
    j.spec.entity_filter = {"a*", "b"};
    j.spec.entities["a"].cursor = "updated_at";
    j.spec.max_rejected = 5;
  });
  run_for(Seconds(20));
  ASSERT_EQ(worker.launcher.requests().size(), 1U);
  const protocol::Request& request = worker.launcher.requests()[0];
  EXPECT_EQ(request.kind, protocol::RequestKind::Run);
  EXPECT_EQ(request.run.job, id.str());
  EXPECT_EQ(request.run.run_id, runs(id)[0].id);
  EXPECT_EQ(request.run.fence, runs(id)[0].fence);
  EXPECT_GT(value(request.run.fence), 0);
  EXPECT_EQ(request.run.attempt, 1);
  // "Full jobs run incremental and incremental ones full": the mode arrives as it was set.
  EXPECT_EQ(request.run.mode, protocol::SyncMode::Incremental);
  EXPECT_THAT(request.run.entity_filter, ElementsAre("a*", "b"));
  EXPECT_EQ(request.run.entities.at("a").cursor, "updated_at");
  EXPECT_EQ(request.run.max_rejected, 5);
  EXPECT_EQ(request.source->config.at("password").as_string(), "canary-secret");
  EXPECT_THAT(request.path_roots, ElementsAre("/data"));
  EXPECT_THAT(request.forbidden_paths, ElementsAre("/data/tidegate.db"));
  EXPECT_TRUE(request.run.lease_until);
}

TEST_F(Simulation, EveryModeArrivesAsItWasSetScheduledAndByHand) {
  SimWorker& worker = add_worker();
  for (std::size_t m = 0; m < std::size(protocol::kSyncModeNames); ++m) {
    const auto mode = static_cast<protocol::SyncMode>(m);
    const JobId id = add_job(Seconds(10), [&](auto& j) {
      once(j);
      j.spec.mode = mode;
    });
    run_for(Seconds(15));
    trigger(id);
    run_for(Seconds(5));
    ASSERT_EQ(worker.launcher.requests().size(), 2 * (m + 1));
    EXPECT_EQ(worker.launcher.requests()[2 * m].run.mode, mode);
    EXPECT_EQ(worker.launcher.requests()[2 * m + 1].run.mode, mode);
    EXPECT_EQ(runs(id)[1].trigger, model::Trigger::Manual);
  }
}

TEST_F(Simulation, ATransientFailureIsRetriedWithBackoff) {
  script_ = [](const protocol::Request& request) {
    Script script;
    if (request.run.attempt < 3) {
      script.result = failed(ExitCode::Retryable, "transient", "connection refused");
    }
    return script;
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(12));
  ASSERT_EQ(outcomes(id), "queued");
  EXPECT_EQ(runs(id)[0].not_before, start_ + Seconds(11 + 30));
  EXPECT_EQ(runs(id)[0].error, "connection refused");
  run_for(Seconds(31 + 62));
  const model::Run run = runs(id)[0];
  EXPECT_EQ(run.state, RunState::Succeeded);
  EXPECT_EQ(run.attempt, 3);
  EXPECT_EQ(run.retries_used, 2);
  EXPECT_EQ(run.attempts[2].started_at, start_ + Seconds(42 + 60));
  EXPECT_TRUE(run.error.empty());
}

TEST_F(Simulation, AConfigurationErrorIsNotRetried) {
  script_ = [](const auto&) {
    return Script{.result = failed(ExitCode::Configuration, "configuration", "no such table")};
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(200));
  EXPECT_EQ(outcomes(id), "failed");
  EXPECT_EQ(runs(id)[0].attempt, 1);
  EXPECT_EQ(job(id).last_error, "no such table");
}

TEST_F(Simulation, ARetryRunsOnlyTheFailedEntities) {
  script_ = [](const protocol::Request& request) {
    Script script;
    if (request.run.attempt == 1) {
      script.result = failed(ExitCode::Retryable, "transient", "b: gone");
      script.result.entities = {
          {.entity = "a", .outcome = EntityOutcome::Succeeded, .rows_written = 3},
          {.entity = "b", .outcome = EntityOutcome::Failed, .error = "gone"}};
    } else {
      script.result.entities = {
          {.entity = "b", .outcome = EntityOutcome::Succeeded, .rows_written = 4}};
    }
    return script;
  };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(60));
  ASSERT_EQ(worker.launcher.requests().size(), 2U);
  EXPECT_TRUE(worker.launcher.requests()[0].run.only_entities.empty());
  EXPECT_THAT(worker.launcher.requests()[1].run.only_entities, ElementsAre("b"));
  const model::Run run = runs(id)[0];
  EXPECT_EQ(run.state, RunState::Succeeded);
  ASSERT_EQ(run.entities.size(), 2U);
  for (const auto& entity : run.entities) EXPECT_EQ(entity.outcome, EntityOutcome::Succeeded);
}

TEST_F(Simulation, AChildEndedByASignalUsesARetry) {
  script_ = [](const auto&) { return Script{.signal = 9}; };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(300));
  EXPECT_EQ(outcomes(id), "failed");
  EXPECT_EQ(runs(id)[0].attempt, 3);
  EXPECT_EQ(runs(id)[0].error_kind, "internal");
  EXPECT_THAT(runs(id)[0].error, HasSubstr("signal 9"));
}

// It may be there on another worker.
TEST_F(Simulation, AMissingEngineIsTriedAgainAndFailsTheRunWithItsRemedy) {
  script_ = [](const auto&) {
    return Script{.not_started =
                      Error{Code::NotFound, "install tidegate-sync", "engine_missing", {}}};
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(300));
  EXPECT_EQ(outcomes(id), "failed");
  EXPECT_EQ(runs(id)[0].attempt, 3);
  EXPECT_EQ(runs(id)[0].error_kind, "transient");
  EXPECT_EQ(runs(id)[0].error, "install tidegate-sync");
}

TEST_F(Simulation, ASecretThatCannotBeOpenedFailsTheRunWithoutAChild) {
  resolve_ = [](const model::Connection&) -> Result<protocol::Endpoint> {
    return fail(Code::Invalid, "no key opens config.password");
  };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(20));
  EXPECT_EQ(outcomes(id), "failed");
  EXPECT_EQ(runs(id)[0].error, "no key opens config.password");
  EXPECT_TRUE(worker.launcher.calls().empty());
}

TEST_F(Simulation, CancelAsksFirstThenTerminatesThenKills) {
  script_ = [](const auto&) {
    return Script{.runs_for = Seconds(3600), .obeys_cancel = false, .obeys_term = false};
  };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(15));
  const RunId run = runs(id)[0].id;
  ASSERT_TRUE(store_.request_cancel(ws_, run, {}));
  run_for(Seconds(1));  // live changes within a second
  EXPECT_THAT(worker.launcher.calls(), ElementsAre("start 1", "cancel 1"));
  run_for(Seconds(10));
  EXPECT_THAT(worker.launcher.calls(), ElementsAre("start 1", "cancel 1", "term 1"));
  EXPECT_EQ(outcomes(id), "running");
  run_for(Seconds(11));
  EXPECT_THAT(worker.launcher.calls(), ElementsAre("start 1", "cancel 1", "term 1", "kill 1"));
  EXPECT_EQ(outcomes(id), "cancelled");
}

TEST_F(Simulation, CancelOfARunThatObeysEndsItAtOnce) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(3600)}; };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(15));
  ASSERT_TRUE(store_.request_cancel(ws_, runs(id)[0].id, {}));
  run_for(Seconds(1));
  EXPECT_EQ(outcomes(id), "cancelled");
  EXPECT_THAT(worker.launcher.calls(), ElementsAre("start 1", "cancel 1"));
}

TEST_F(Simulation, ACommitThatWasMadeWinsOverTheCancel) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(8), .obeys_cancel = false}; };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(15));
  ASSERT_TRUE(store_.request_cancel(ws_, runs(id)[0].id, {}));
  run_for(Seconds(10));
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_TRUE(runs(id)[0].cancel_requested);
}

TEST_F(Simulation, TheTimeoutEndsARunWithTheTimeOfAllItsAttempts) {
  script_ = [](const protocol::Request& request) {
    Script script{.runs_for = request.run.attempt == 1 ? Seconds(40) : Seconds(3600),
                  .obeys_cancel = false};
    script.result = failed(ExitCode::Retryable, "transient", "again");
    return script;
  };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), [](auto& j) {
    once(j);
    j.spec.timeout = Seconds(100);
  });
  run_for(Seconds(10 + 40 + 30 + 58));
  EXPECT_EQ(outcomes(id), "running");
  run_for(Seconds(4));
  EXPECT_EQ(outcomes(id), "timed_out");
  EXPECT_EQ(runs(id)[0].error_kind, "timeout");
  EXPECT_THAT(worker.launcher.calls(), ElementsAre("start 1", "start 2", "cancel 2", "term 2"));
}

TEST_F(Simulation, ARunWithoutProgressIsEndedAtItsStallTimeout) {
  script_ = [](const auto&) {
    return Script{.runs_for = Seconds(36000), .obeys_cancel = false, .obeys_term = false};
  };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(10 + 899));
  EXPECT_EQ(outcomes(id), "running");
  run_for(Seconds(14));
  EXPECT_EQ(outcomes(id), "timed_out");
  EXPECT_EQ(runs(id)[0].error_kind, "stalled");
  EXPECT_THAT(worker.launcher.calls(), ElementsAre("start 1", "cancel 1", "term 1", "kill 1"));
}

TEST_F(Simulation, ProgressKeepsARunFromStalling) {
  script_ = [](const auto&) {
    return Script{.runs_for = Seconds(3600), .progress_every = Seconds(600)};
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(3000));
  EXPECT_EQ(outcomes(id), "running");
  EXPECT_EQ(runs(id)[0].progress.at("a").rows_read, 4);
  run_for(Seconds(700));
  EXPECT_EQ(outcomes(id), "succeeded");
}

TEST_F(Simulation, ARunThatOnlyRepeatsItsNumbersStalls) {
  script_ = [](const auto&) {
    return Script{.runs_for = Seconds(3600), .progress_every = Seconds(60), .progresses = false};
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(1200));
  EXPECT_EQ(outcomes(id), "timed_out");
  EXPECT_EQ(runs(id)[0].error_kind, "stalled");
}

TEST_F(Simulation, ADrainedRunGoesBackToTheQueueAndUsesNoRetry) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(60)}; };
  SimWorker& first = add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(15));
  first.leader.release();
  first.options.plans = false;
  first.table.draining = true;
  first.supervisor.drain();
  run_for(Millis(100));
  const model::Run returned = runs(id)[0];
  EXPECT_EQ(returned.state, RunState::Queued);
  EXPECT_EQ(returned.retries_used, 0);
  EXPECT_EQ(returned.attempts[0].outcome, "returned");
  run_for(Seconds(5));
  EXPECT_EQ(outcomes(id), "queued");  // it claims nothing more
  SimWorker& second = add_worker();
  run_for(Seconds(61));
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_TRUE(second.leader.leading());  // at once, not after the lease's time to live
}

// Symptom: a run that was claimed while the server began to stop was dropped, and started again
// only when its lease had expired.
TEST_F(Simulation, AWorkerThatIsClaimingIsNotIdle) {
  SimWorker& worker = add_worker();
  int claims = 0, idle = 0;
  store_.set_gate([&](std::string_view method) {
    if (method == "claim_runs") {
      const std::lock_guard lock(worker.table.mutex);
      ++claims;
      idle += worker.table.idle() ? 1 : 0;
    }
    return Fault::None;
  });
  add_job(Seconds(10), once);
  run_for(Seconds(20));
  EXPECT_GT(claims, 0);
  EXPECT_EQ(idle, 0);
  const std::lock_guard lock(worker.table.mutex);
  EXPECT_TRUE(worker.table.idle()) << "all is done";
}

TEST_F(Simulation, AServiceManagersSignalToTheChildrenDuringADrainUsesNoRetry) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(5), .signal = 15}; };
  SimWorker& worker = add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(12));
  worker.table.draining = true;
  run_for(Seconds(5));
  EXPECT_EQ(outcomes(id), "queued");
  EXPECT_EQ(runs(id)[0].retries_used, 0);
}

TEST_F(Simulation, NoMoreRunsThanPlacesAndOneOfAJob) {
  options_.max_concurrent_runs = 2;
  script_ = [](const auto&) { return Script{.runs_for = Seconds(20)}; };
  SimWorker& worker = add_worker();
  std::vector<JobId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(add_job(Seconds(10), once));
  std::size_t most = 0;
  for (int i = 0; i < 90; ++i) {
    run_for(Seconds(1));
    most = std::max(most, worker.table.runs.size());
  }
  EXPECT_EQ(most, 2U);
  for (const JobId& id : ids) EXPECT_EQ(outcomes(id), "succeeded");
}

TEST_F(Simulation, OnlyTheLeaderExecutesWhenToldSo) {
  options_.executors = Executors::Leader;
  SimWorker& first = add_worker();
  run_for(Millis(100));
  SimWorker& second = add_worker();
  const JobId id = add_job(Seconds(10));
  run_for(Seconds(65));
  EXPECT_EQ(first.launcher.calls().size(), 6U);
  EXPECT_TRUE(second.launcher.calls().empty());
  EXPECT_EQ(runs(id).size(), 6U);
}

TEST_F(Simulation, SecretsAppearInNoLogErrorOrWarning) {
  script_ = [](const auto&) {
    Script script;
    script.says = {protocol::LogLine{.message = "password=canary-secret; canary-secret"},
                   protocol::LogLine{.message = "nothing to hide"}};
    script.result = failed(ExitCode::Failed, "permission", "denied for 'canary-secret'");
    script.result.warnings = {"canary-secret is weak"};
    script.result.entities = {
        {.entity = "a", .outcome = EntityOutcome::Failed, .error = "canary-secret"}};
    return script;
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(20));
  const model::Run run = runs(id)[0];
  EXPECT_EQ(run.error, "denied for '***'");
  ASSERT_EQ(run.warnings.size(), 1U);
  EXPECT_EQ(run.warnings[0], "*** is weak");
  EXPECT_EQ(run.entities[0].error, "***");
  EXPECT_EQ(job(id).last_error, "denied for '***'");
  const auto log = store_.read_log(run.id, 0, 10);
  ASSERT_TRUE(log);
  ASSERT_EQ(log->size(), 2U);
  EXPECT_EQ((*log)[0].message, "password=***; ***");
  EXPECT_EQ((*log)[1].message, "nothing to hide");
}

TEST_F(Simulation, LogsAreBoundedAndTheRunEndsWithThem) {
  script_ = [](const auto&) {
    Script script;
    for (int i = 0; i < 6000; ++i) {
      script.says.push_back(protocol::LogLine{.message = "line " + std::to_string(i)});
    }
    return script;
  };
  options_.max_log_bytes = 10'000;
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(30));
  EXPECT_EQ(outcomes(id), "succeeded");
  const auto log = store_.read_log(runs(id)[0].id, 0, 10'000);
  ASSERT_TRUE(log);
  std::size_t bytes = 0;
  for (const auto& line : *log) bytes += line.message.size();
  EXPECT_LT(bytes, 12'000U);
  EXPECT_GT(log->size(), 100U);
}

TEST_F(Simulation, EveryLogLineIsWrittenBeforeTheEndOfItsRun) {
  script_ = [](const auto&) {
    Script script{.runs_for = Millis(10)};
    for (int i = 0; i < 3500; ++i) script.says.push_back(protocol::LogLine{.message = "x"});
    script.result = failed(ExitCode::Failed, "data", "see the log");
    return script;
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(20));
  EXPECT_EQ(outcomes(id), "failed");
  const auto log = store_.read_log(runs(id)[0].id, 0, 10'000);
  ASSERT_TRUE(log);
  EXPECT_EQ(log->size(), 3500U);
}

TEST_F(Simulation, StateThatWasCommittedReachesTheJobBeforeTheRunEnds) {
  script_ = [](const auto&) {
    Script script{.runs_for = Seconds(60)};
    script.says = {
        protocol::StateCommitted{"a", {.destination_id = "d", .sequence = 1, .state = "{}"}}};
    return script;
  };
  add_worker();
  const JobId id = add_job(Seconds(10), once);
  run_for(Seconds(20));
  ASSERT_EQ(outcomes(id), "running");
  ASSERT_TRUE(job(id).known_state.contains("a"));
  EXPECT_EQ(job(id).known_state.at("a").sequence, 1);
}

}  // namespace
}  // namespace tidegate::worker::testing
