#include "control/worker/store_trouble.h"

#include <gtest/gtest.h>

namespace tidegate::worker {
namespace {

// Symptom: two workers wrote 252 lines in an outage of 41 seconds, and none when it was over.
TEST(StoreTrouble, IsToldOnceUntilItChangesOrEnds) {
  StoreTrouble trouble("claim runs");
  const Status away = fail(Code::Unavailable, "connection refused", "store_unavailable");
  const Status other_words = fail(Code::Unavailable, "connection lost", "store_unavailable");
  const Status refused = fail(Code::Invalid, "permission denied", "store_denied");
  EXPECT_FALSE(trouble.note({}));
  EXPECT_TRUE(trouble.note(away));
  EXPECT_FALSE(trouble.note(away));
  EXPECT_FALSE(trouble.note(other_words));
  EXPECT_TRUE(trouble.note(refused));
  EXPECT_TRUE(trouble.note({}));
  EXPECT_FALSE(trouble.note({}));
  EXPECT_TRUE(trouble.note(away));
}

}  // namespace
}  // namespace tidegate::worker
