// A store that is there and takes nothing from a worker: a privilege was taken away, a row cannot
// be read. What has ended is kept for a while, and /readyz says so.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/worker/sim_fixture.h"

namespace tidegate::worker::testing {
namespace {

using ::testing::StartsWith;

class RefusingStore : public Simulation {
 protected:
  // Of one run, which has ended and whose end is refused.
  JobId end_a_run() {
    const JobId id = add_job(Seconds(10), [](auto& j) {
      j.spec.schedule = model::AtSchedule{j.created_at + Seconds(10)};
    });
    store_.set_gate([this](std::string_view method) {
      tries_ += method == "finish_attempts" ? 1 : 0;
      return method == "finish_attempts" ? Fault::Broken : Fault::None;
    });
    run_for(Seconds(14));
    EXPECT_EQ(outcomes(id), "running");
    EXPECT_GE(tries_, 1);
    return id;
  }
  int tries_ = 0;
};

// Symptom: an end that was refused once was given up, and the run went again after its lease.
TEST_F(RefusingStore, TakesTheEndOfARunOnceItCan) {
  SimWorker& worker = add_worker();
  const JobId id = end_a_run();
  store_.set_gate({});
  run_for(Seconds(2));
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_EQ(runs(id)[0].attempt, 1);
  EXPECT_EQ(worker.finisher.trouble().lasting(Millis(0)), "");
}

// Symptom: /readyz was 200 while no end of a run was taken.
TEST_F(RefusingStore, IsToldOfWhileEndsWait) {
  SimWorker& worker = add_worker();
  end_a_run();
  run_for(Seconds(6));
  EXPECT_THAT(worker.finisher.trouble().lasting(Seconds(5)),
              StartsWith("cannot write the ends of runs: "));
  EXPECT_LE(tries_, 1 + 10'000 / options_.retry_store.count());
}

// It may be this one end that can never be written.
TEST_F(RefusingStore, HoldsNoJobForEver) {
  SimWorker& worker = add_worker();
  const JobId id = end_a_run();
  run_for(options_.run_ttl);
  EXPECT_EQ(worker.running(), 0);
  EXPECT_NE(worker.finisher.trouble().lasting(Millis(0)), "");
  store_.set_gate({});
  run_for(2 * options_.run_ttl);
  EXPECT_EQ(outcomes(id), "succeeded");
  EXPECT_EQ(runs(id)[0].attempt, 2);
  EXPECT_EQ(worker.finisher.trouble().lasting(Millis(0)), "");
}

TEST_F(RefusingStore, IsToldOfByClaimsAndRenewals) {
  script_ = [](const auto&) { return Script{.runs_for = Seconds(300)}; };
  SimWorker& worker = add_worker();
  add_job(Seconds(10));
  run_for(Seconds(15));
  ASSERT_EQ(worker.running(), 1);
  store_.set_gate([](std::string_view method) {
    return method == "claim_runs" || method == "renew_runs" ? Fault::Broken : Fault::None;
  });
  run_for(Seconds(12));
  EXPECT_THAT(worker.claims.trouble().lasting(Seconds(2)), StartsWith("cannot claim runs: "));
  EXPECT_THAT(worker.keeper.trouble().lasting(Seconds(2)), StartsWith("cannot renew run leases: "));
}

}  // namespace
}  // namespace tidegate::worker::testing
