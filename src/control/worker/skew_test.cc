// Workers whose wall clock is not the store's: an hour ahead or behind, from the start or by a
// step.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/worker/sim_fixture.h"

namespace tidegate::worker::testing {
namespace {

using model::RunState;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr Seconds kHour{3600};

// Hours that the worker's clock is ahead.
class SkewedClock : public Simulation, public ::testing::WithParamInterface<int> {
 protected:
  VirtualClock other_{clock_, GetParam() * kHour, Seconds(77)};
};
INSTANTIATE_TEST_SUITE_P(Hours, SkewedClock, ::testing::Values(-1, 1));

Script fails_once(const protocol::Request& request) {
  Script script;
  if (request.run.attempt > 1) return script;
  script.result.code = protocol::ExitCode::Retryable;
  script.result.error_kind = "transient";
  script.says = {protocol::LogLine{.message = "connecting"}};
  return script;
}

TEST_P(SkewedClock, ADelayedStartIsOnTimeAndIsNotAskedForWithoutEnd) {
  add_worker(other_);
  const JobId id = add_job(Seconds(60), [](auto& j) { j.spec.jitter = Seconds(50); });
  int claims = 0;
  store_.set_gate([&](std::string_view method) {
    claims += method == "claim_runs" ? 1 : 0;
    return Fault::None;
  });
  run_for(Seconds(119));
  ASSERT_EQ(outcomes(id), "succeeded");
  const model::Run run = runs(id)[0];
  EXPECT_GT(run.not_before, start_ + Seconds(61));
  EXPECT_EQ(run.started_at, run.not_before);
  EXPECT_LT(claims, 60);
}

TEST_P(SkewedClock, ARetryWaitsForItsBackoff) {
  script_ = fails_once;
  add_worker(other_);
  const JobId id = add_job(Seconds(60));
  run_for(Seconds(119));
  ASSERT_EQ(outcomes(id), "succeeded");
  const model::Run run = runs(id)[0];
  ASSERT_THAT(run.attempts, SizeIs(2));
  EXPECT_EQ(run.attempts[1].started_at, start_ + Seconds(60 + 1 + 30));
}

TEST_P(SkewedClock, LinesOfTheLogHaveTheStoresTime) {
  script_ = fails_once;
  add_worker(other_);
  const JobId id = add_job(Seconds(60));
  run_for(Seconds(119));
  const auto log = store_.read_log(runs(id)[0].id, 0, 100);
  ASSERT_TRUE(log);
  ASSERT_THAT(*log, SizeIs(3));
  EXPECT_EQ((*log)[0].at, start_ + Seconds(60));
  EXPECT_EQ((*log)[1].at, start_ + Seconds(61));
  EXPECT_THAT((*log)[1].message, HasSubstr("the next one starts at 2026-11-23T12:01:31Z"));
  EXPECT_EQ((*log)[2].at, start_ + Seconds(91));
}

TEST_P(SkewedClock, AStepOfAWorkersClockChangesNothing) {
  VirtualClock machine(clock_, Millis(0), Millis(0));
  SimWorker& worker = add_worker(machine);
  script_ = [](const auto&) {
    return Script{.runs_for = Seconds(5), .progress_every = Seconds(1)};
  };
  const JobId id = add_job(Seconds(10), [](auto& j) {
    j.spec.timeout = Seconds(8);
    j.spec.stall_timeout = Seconds(3);
  });
  run_for(Seconds(12));
  machine.step_wall(GetParam() * kHour);
  run_for(Seconds(100));
  EXPECT_TRUE(worker.leader.health().ready);
  const auto all = runs(id);
  ASSERT_THAT(all, SizeIs(11));
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(all[i].state, RunState::Succeeded);
    EXPECT_EQ(all[i].started_at, start_ + Seconds(10 * (i + 1)));
    EXPECT_EQ(all[i].finished_at, start_ + Seconds(10 * (i + 1) + 5));
  }
}

}  // namespace
}  // namespace tidegate::worker::testing
