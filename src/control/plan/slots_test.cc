#include "control/plan/slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/plan/plan_fixture.h"

namespace tidegate::plan {
namespace {

using testing::at;
using testing::every;
const Instant kNoon = at("2026-11-23T12:00:00Z");
const JobId kJob("job-1");

TEST(Slots, EveryCountsFromItsAnchorInElapsedTime) {
  struct Case {
    const char* anchor;
    int every;
    const char* after;
    const char* want;
  };
  constexpr Case kCases[] = {
      {"1970-01-01T00:00:00Z", 3600, "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"},
      {"1970-01-01T00:00:00Z", 3600, "2026-11-23T11:59:59.999Z", "2026-11-23T12:00:00Z"},
      {"2026-11-23T12:00:05Z", 7, "2026-11-23T12:00:05Z", "2026-11-23T12:00:12Z"},
      {"2026-11-23T12:00:05Z", 7, "2026-11-23T12:00:04Z", "2026-11-23T12:00:05Z"},
      {"2027-01-01T00:00:00Z", 60, "2026-11-23T12:00:00Z", "2027-01-01T00:00:00Z"},
      {"1970-01-01T00:00:00Z", 1, "1969-12-31T23:59:50Z", "1970-01-01T00:00:00Z"},
  };
  for (const Case& c : kCases) {
    const model::EverySchedule schedule{Seconds(c.every), at(c.anchor)};
    auto slot = first_slot(schedule, kJob, at(c.after));
    ASSERT_TRUE(slot && *slot);
    EXPECT_EQ(format_utc(**slot), c.want) << c.after;
  }
}

TEST(Slots, AtComesOnceAndManualNever) {
  EXPECT_EQ(*first_slot(model::AtSchedule{kNoon}, kJob, kNoon - Millis(1)), kNoon);
  EXPECT_EQ(*first_slot(model::AtSchedule{kNoon}, kJob, kNoon), std::nullopt);
  EXPECT_EQ(*first_slot(std::monostate{}, kJob, kNoon), std::nullopt);
}

TEST(Slots, AnHourlyJobHas25SlotsOnTheFoldDayAnd23OnTheGapDay) {
  const auto count = [](const char* from, const char* to) {
    const model::CronSchedule hourly{"0 * * * *", "America/New_York", {}};
    const auto slots = SlotSequence::compile(hourly, kJob);
    int n = 0;
    for (auto s = slots->next(at(from) - Millis(1)); s && *s < at(to); s = slots->next(*s)) ++n;
    return n;
  };
  EXPECT_EQ(count("2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"), 25);
  EXPECT_EQ(count("2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00"), 23);
}

TEST(Slots, UnknownZoneIsAnErrorThatNamesTheField) {
  auto slot = first_slot(model::CronSchedule{"* * * * *", "Mars/Olympus", {}}, kJob, kNoon);
  ASSERT_FALSE(slot);
  ASSERT_EQ(slot.error().details.size(), 1U);
  EXPECT_EQ(slot.error().details[0].field, "timezone");
}

TEST(Slots, NextSlotsBeginWithTheOneThatWaits) {
  model::SyncJob job = every(Seconds(60), kNoon + Seconds(60));
  auto next = next_slots(job, kNoon, 3);
  ASSERT_TRUE(next);
  EXPECT_THAT(*next, ::testing::ElementsAre(kNoon + Seconds(60), kNoon + Seconds(120),
                                            kNoon + Seconds(180)));
  job.next_slot = kNoon - Seconds(600);  // overdue: people ask about the future
  next = next_slots(job, kNoon, 1);
  ASSERT_TRUE(next);
  EXPECT_THAT(*next, ::testing::ElementsAre(kNoon + Seconds(60)));
  job.spec.schedule = std::monostate{};
  job.next_slot.reset();
  EXPECT_TRUE(next_slots(job, kNoon, 3)->empty());
}

// Seen here: times within the pause were shown, and times of a disabled job.
TEST(Slots, NextSlotsAreThoseThatWillRun) {
  model::SyncJob job = every(Seconds(60), kNoon + Seconds(60));
  job.pause = model::Pause{.note = "", .until = kNoon + Seconds(600), .since = kNoon, .by = ""};
  EXPECT_THAT(*next_slots(job, kNoon, 1), ::testing::ElementsAre(kNoon + Seconds(600)));
  EXPECT_THAT(*next_slots(job, kNoon + Seconds(600), 1),
              ::testing::ElementsAre(kNoon + Seconds(660)));
  job.pause->until.reset();
  EXPECT_TRUE(next_slots(job, kNoon, 3)->empty());
  job.pause.reset();
  job.spec.enabled = false;
  EXPECT_TRUE(next_slots(job, kNoon, 3)->empty());
}

TEST(Slots, JitterIsStableAcrossReleases) {
  model::SyncJob job = every(Seconds(3600), kNoon);
  job.spec.jitter = Seconds(600);
  EXPECT_EQ(jitter_of(job, kNoon, std::nullopt), jitter_of(job, kNoon, std::nullopt));
  EXPECT_NE(jitter_of(job, kNoon, std::nullopt), jitter_of(job, kNoon + Seconds(1), std::nullopt));
  job.spec.jitter = Millis(0);
  EXPECT_EQ(jitter_of(job, kNoon, std::nullopt), Millis(0));
}

}  // namespace
}  // namespace tidegate::plan
