#include "control/worker/store_trouble.h"

#include <gtest/gtest.h>

#include "control/worker/sim_children_fixture.h"

namespace tidegate::worker {
namespace {

class Trouble : public ::testing::Test {
 protected:
  testing::VirtualClock clock_{Instant(Seconds(1'764'000'000))};
  StoreTrouble trouble_{"claim runs", clock_};
  const Status away_ = fail(Code::Unavailable, "connection refused", "store_unavailable");
};

// Symptom: two workers wrote 252 lines in an outage of 41 seconds, and none when it was over.
TEST_F(Trouble, IsToldOnceUntilItChangesOrEnds) {
  const Status other_words = fail(Code::Unavailable, "connection lost", "store_unavailable");
  const Status refused = fail(Code::Invalid, "permission denied", "store_denied");
  EXPECT_FALSE(trouble_.note({}));
  EXPECT_TRUE(trouble_.note(away_));
  EXPECT_FALSE(trouble_.note(away_));
  EXPECT_FALSE(trouble_.note(other_words));
  EXPECT_TRUE(trouble_.note(refused));
  EXPECT_TRUE(trouble_.note({}));
  EXPECT_FALSE(trouble_.note({}));
  EXPECT_TRUE(trouble_.note(away_));
}

TEST_F(Trouble, LastsFromItsFirstFailureToTheNextSuccess) {
  EXPECT_EQ(trouble_.lasting(Millis(0)), "");
  trouble_.note(away_);
  clock_.advance(Seconds(9));
  trouble_.note(fail(Code::Unavailable, "connection lost", "store_unavailable"));
  EXPECT_EQ(trouble_.lasting(Seconds(10)), "");
  clock_.advance(Seconds(1));
  EXPECT_EQ(trouble_.lasting(Seconds(10)), "cannot claim runs: connection lost");
  trouble_.note({});
  EXPECT_EQ(trouble_.lasting(Millis(0)), "");
}

TEST_F(Trouble, IsOverWhenNothingFailedForLong) {
  trouble_.note(away_);
  clock_.advance(StoreTrouble::kStale);
  EXPECT_NE(trouble_.lasting(Millis(0)), "");
  clock_.advance(Millis(1));
  EXPECT_EQ(trouble_.lasting(Millis(0)), "");
}

// Who has nothing to renew any more would else be in trouble for ever.
TEST_F(Trouble, IsForgottenWithWhatItWasAbout) {
  trouble_.note(away_);
  trouble_.forget();
  EXPECT_EQ(trouble_.lasting(Millis(0)), "");
  EXPECT_TRUE(trouble_.note(away_));
}

}  // namespace
}  // namespace tidegate::worker
