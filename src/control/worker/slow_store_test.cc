// A leader whose store answers late, or is just back: nobody is called dead, and nothing is late,
// because of that.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/worker/sim_fixture.h"

namespace tidegate::worker::testing {
namespace {

class SlowStore : public Simulation {
 protected:
  // Of a job of its own, on a worker that is there.
  JobId start_long_run() {
    script_ = [](const auto&) { return Script{.runs_for = Seconds(300)}; };
    const JobId id = add_job(Seconds(10), [](auto& j) { j.spec.stall_timeout = Millis(0); });
    run_for(Seconds(12));
    EXPECT_EQ(outcomes(id), "running");
    return id;
  }
};

// Symptom: the first answer after an outage was the list of orphans, and they were released at
// once, although their workers live.
TEST_F(SlowStore, TheLookThatFindsTheStoreBackReleasesNobody) {
  SimWorker& worker = add_worker();
  const JobId id = start_long_run();
  const Millis from = stage_.passed();
  store_.set_gate([&](std::string_view method) {
    const Millis t = stage_.passed() - from;
    const Millis back = method == "expired_runs" ? Millis(11'900) : Millis(13'000);
    const bool away = method == "renew_runs" || (t >= Seconds(8) && t < back);
    return away && method != "release_orphans" ? Fault::Before : Fault::None;
  });
  run_for(Millis(13'500));
  EXPECT_EQ(worker.leader.stats().orphans_released, 0U);
  store_.set_gate({});
  run_for(Seconds(30));
  EXPECT_EQ(runs(id)[0].attempt, 1);
}

// Symptom: a worker that had waited for the store led before the others came back from their own
// waits, and took their live runs.
TEST_F(SlowStore, AWorkerThatStartedInAnOutageReleasesNobody) {
  add_worker();
  const JobId id = start_long_run();
  const Millis from = stage_.passed();
  store_.set_gate([&](std::string_view method) {
    const Millis t = stage_.passed() - from;
    const bool of_the_first = method == "renew_runs" || method == "renew_leader";
    return t < (of_the_first ? Seconds(24) : Seconds(20)) ? Fault::Before : Fault::None;
  });
  run_for(Seconds(20));
  options_.store_was_away = true;
  SimWorker& late = add_worker();
  run_for(Seconds(3));
  EXPECT_TRUE(late.leader.leading());
  run_for(Seconds(30));
  EXPECT_EQ(late.leader.stats().orphans_released, 0U);
  EXPECT_EQ(runs(id)[0].attempt, 1);
}

// Symptom: a slow first answer looked like a step of the clock, and planning stood still for half a
// minute.
TEST_F(SlowStore, ASlowAnswerIsNoStepOfTheClock) {
  options_.max_drift = Seconds(2);  // less than half of the delay
  SimWorker& worker = add_worker();
  bool slow = true;
  store_.set_answer([&](std::string_view method) {
    if (method == "now" && std::exchange(slow, false)) clock_.advance(Millis(6'500));
    return true;
  });
  const JobId id = add_job(Seconds(10));
  run_for(Seconds(21));
  EXPECT_FALSE(slow);
  EXPECT_TRUE(worker.leader.health().ready);
  EXPECT_EQ(outcomes(id), "succeeded running");
}

}  // namespace
}  // namespace tidegate::worker::testing
