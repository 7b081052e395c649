// What a job learns from its runs.
#include <gmock/gmock.h>

#include <array>
#include <string>
#include <vector>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::RunState;
using testing::SizeIs;
using namespace std::chrono_literals;

// The average duration was the last duration.
TEST_P(StoreContract, TheMeanIsOfTheLastTwentySuccesses) {
  const JobId id = add(job("j1"));
  for (int i = 1; i <= 25; ++i) {
    trigger(id, "r" + std::to_string(i));
    const auto c = claim("w1").at(0);
    clock().advance(Seconds(i));
    EXPECT_TRUE(finish(c, i % 2 == 0 || i > 5 ? RunState::Succeeded : RunState::Failed));
  }
  // Successes: 2, 4, 6 … 25; the last twenty are 6 … 25.
  EXPECT_EQ(reread(id).avg_duration(), Millis(15'500));
  EXPECT_THAT(reread(id).success_durations, SizeIs(20));
  EXPECT_EQ(reread(id).run_count, 25);
}

// The host's clock may be set while an attempt runs: what its worker measured counts.
TEST_P(StoreContract, ARunTookWhatItsWorkersMeasured) {
  const JobId id = add(job("j1"));
  trigger(id, "r1");
  auto first = end_of(claim("w1").at(0), RunState::Queued);
  first.took = Seconds(5);
  clock().advance(Seconds(3600));
  EXPECT_TRUE(must(store().finish_attempts({&first, 1})).at(0));
  EXPECT_EQ(model::run_time(run(RunId("r1"))), Seconds(5));
  clock().advance(first.wait);
  auto last = end_of(claim("w1").at(0), RunState::Succeeded);
  last.took = Seconds(7);
  clock().advance(Seconds(3600));
  EXPECT_TRUE(must(store().finish_attempts({&last, 1})).at(0));
  EXPECT_EQ(run(RunId("r1")).attempts.at(1).took, Seconds(7));
  EXPECT_EQ(reread(id).avg_duration(), Seconds(12));
}

TEST_P(StoreContract, AFailureIsKeptUntilASuccess) {
  const JobId id = add(job("j1"));
  for (int i = 0; i < 2; ++i) {
    trigger(id, "f" + std::to_string(i));
    EXPECT_TRUE(finish(claim("w1").at(0), i == 0 ? RunState::Failed : RunState::TimedOut));
  }
  EXPECT_EQ(reread(id).consecutive_failures, 2);
  EXPECT_EQ(reread(id).last_error, "the source closed the connection");
  EXPECT_EQ(run(RunId("f0")).error_kind, "transient");
  trigger(id, "ok");
  EXPECT_TRUE(finish(claim("w1").at(0), RunState::Succeeded));
  EXPECT_EQ(reread(id).consecutive_failures, 0);
  EXPECT_EQ(reread(id).last_error, std::nullopt);
  EXPECT_EQ(reread(id).run_count, 3);
}

// Runs of one job that end together: the second must not be counted in place of the first.
TEST_P(StoreContract, RunsOfOneJobThatEndTogetherCountOneAfterTheOther) {
  model::SyncJob j = job("j1");
  j.spec.overlap = model::Overlap::Allow;
  const JobId id = add(j);
  for (const char* run : {"a", "b", "c", "d"}) trigger(id, run);
  std::vector<AttemptEnd> ends;
  for (const auto& run : claim("w1")) {
    // Two failures, a success and a failure, whatever the runs are called.
    constexpr std::array kStates{RunState::Failed, RunState::TimedOut, RunState::Succeeded,
                                 RunState::Failed};
    ends.push_back(end_of(run, kStates.at(ends.size())));
    ends.back().took = Seconds(10 * static_cast<int>(ends.size()));
  }
  ASSERT_THAT(ends, SizeIs(4));
  for (const Status& ended : must(store().finish_attempts(ends))) EXPECT_TRUE(ended);
  const auto after = reread(id);
  EXPECT_EQ(after.run_count, 4);
  EXPECT_EQ(after.consecutive_failures, 1);
  EXPECT_EQ(after.last_error, "the source closed the connection");
  EXPECT_EQ(after.avg_duration(), Seconds(30));
}

}  // namespace tidegate::store::contract
