// The checker itself: it finds what is missing, doubled or invented.

#include "tests/sim/slot_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Instant kStart = *parse_rfc3339("2026-11-23T12:00:00Z");
const model::Schedule kEveryMinute = model::EverySchedule{Seconds(60), kStart};

Instant minute(int n) { return kStart + Seconds(60 * n); }

model::LedgerEntry ran(int n, std::string run) {
  return {minute(n), minute(n), 1, "succeeded", "", RunId(std::move(run))};
}
model::LedgerEntry skipped(int first, int last, int count) {
  return {minute(first), minute(last), count, "skipped", "overlap", {}};
}

std::vector<std::string> check(const std::vector<model::LedgerEntry>& ledger,
                               std::vector<Era> eras = {{kEveryMinute, kStart, minute(4)}}) {
  return *check_slots(JobId("j"), eras, ledger);
}

TEST(SlotChecker, EachSlotWithOneOutcomeIsRight) {
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 3, 2), ran(4, "b")}), IsEmpty());
}

TEST(SlotChecker, AMissingSlotIsFound) {
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 3, 2)}),
              ElementsAre("job j: 2026-11-23T12:04:00Z has no outcome"));
}

TEST(SlotChecker, TwoOutcomesAreFound) {
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 4, 3), ran(4, "b")}),
              ElementsAre(HasSubstr("12:04:00Z has two outcomes")));
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 3, 2), ran(4, "b"), ran(4, "c")}),
              ElementsAre(HasSubstr("12:04:00Z has two outcomes")));
}

TEST(SlotChecker, OneRunForTwoSlotsIsFound) {
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 3, 2), ran(4, "a")}),
              ElementsAre(HasSubstr("outcome of another slot too")));
}

TEST(SlotChecker, AnOutcomeForATimeThatWasNotDueIsFound) {
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 3, 2), ran(4, "b"), ran(5, "c")}),
              ElementsAre(HasSubstr("no such time was due")));
}

TEST(SlotChecker, AStretchThatCountsWrongIsFound) {
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 3, 3), ran(4, "b")}),
              ElementsAre(HasSubstr("2 slots were due in that time")));
}

TEST(SlotChecker, ASlotOfTwoErasIsOneSlot) {
  const std::vector<Era> eras = {{kEveryMinute, kStart, minute(3)},
                                 {model::EverySchedule{Seconds(120), kStart}, minute(1), minute(4)},
                                 {std::monostate{}, minute(4), minute(9)}};
  EXPECT_THAT(check({ran(1, "a"), skipped(2, 3, 2), ran(4, "b")}, eras), IsEmpty());
}

}  // namespace
}  // namespace tidegate::sim
