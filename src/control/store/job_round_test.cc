#include "control/store/job_round.h"

#include <gtest/gtest.h>

#include <string>

namespace tidegate::store {
namespace {

std::vector<JobId> jobs(std::size_t count) {
  std::vector<JobId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.emplace_back("j" + std::to_string(1000 + i));
  return ids;
}

TEST(JobRound, GoesOnBehindAFullStretchAndBeginsAnewAfterTheLast) {
  JobRound round;
  EXPECT_TRUE(round.after().empty());
  const auto full = jobs(JobRound::kStretch);
  round.found(full);
  EXPECT_EQ(round.after(), full.back());
  round.found(jobs(JobRound::kStretch - 1));
  EXPECT_TRUE(round.after().empty());
}

// As many jobs as fill the last stretch: the next one is empty.
TEST(JobRound, AnEmptyStretchIsTheEnd) {
  JobRound round;
  round.found(jobs(JobRound::kStretch));
  round.found({});
  EXPECT_TRUE(round.after().empty());
}

}  // namespace
}  // namespace tidegate::store
