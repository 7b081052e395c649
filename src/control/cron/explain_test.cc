#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/cron/cron.h"

namespace tidegate::cron {
namespace {

TEST(Explain, SaysItInEnglish) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"* * * * *", "Every minute."},
      {"* * * * * *", "Every second."},
      {"*/5 * * * *", "Every 5 minutes."},
      {"*/10 * * * * *", "Every 10 seconds."},
      {"*/7 * * * *", "At minutes every 7th from 0 through 59 of every hour."},
      {"0 * * * *", "At minute 0 of every hour."},
      {"@hourly", "At minute 0 of every hour."},
      {"15,45 * * * *", "At minutes 15 and 45 of every hour."},
      {"30 2 * * *", "At 02:30, every day."},
      {"15 30 2 * * *", "At 02:30:15, every day."},
      {"0,30 9,17 * * *", "At 09:00, 09:30, 17:00 and 17:30, every day."},
      {"0 */2 * * *", "At minute 0 of every 2 hours, every day."},
      {"*/5 9-17 * * MON-FRI",
       "Every 5 minutes during hours 9 through 17, on Monday through Friday."},
      {"0 22-2 * * *", "At minute 0 during hours 22 through 2, every day."},
      {"*/10 30 2 * * *", "Every 10 seconds during minute 30 of hour 2, every day."},
      {"0 0 1 * *", "At 00:00, on day 1 of the month."},
      {"0 0 1,15 * *", "At 00:00, on days 1 and 15 of the month."},
      {"0 0 1-7 * *", "At 00:00, on days 1 through 7 of the month."},
      {"0 0 */2 * *", "At 00:00, on every 2nd day of the month from day 1."},
      {"0 0 */2 * MON", "At 00:00, on every 2nd day of the month from day 1 when it is Monday."},
      {"0 0 13 * FRI", "At 00:00, on day 13 of the month or on Friday."},
      {"0 0 L * ?", "At 00:00, on the last day of the month."},
      {"0 0 L-1 * *", "At 00:00, on the day 1 day before the last day of the month."},
      {"0 0 L-3 * *", "At 00:00, on the day 3 days before the last day of the month."},
      {"0 0 15W * *", "At 00:00, on the weekday nearest to day 15 of the month."},
      {"0 0 1,LW * *",
       "At 00:00, on day 1 of the month and the last weekday (Monday to Friday) of the month."},
      {"0 0 * * MON#2,FRIL",
       "At 00:00, on the 2nd Monday of the month and the last Friday of the month."},
      {"0 0 * * SUN,7", "At 00:00, on Sunday."},
      {"0 0 * * FRI-MON", "At 00:00, on Friday through Monday."},
      {"0 0 1 JAN,JUL *", "At 00:00, on day 1 of the month in January and July."},
      {"0 0 * NOV-FEB *", "At 00:00, every day in November through February."},
      {"* * * 3 *", "Every minute, every day in March."},
      {"@yearly", "At 00:00, on day 1 of the month in January."},
      {"@weekly", "At 00:00, on Sunday."},
  };
  for (const auto& [cron, expected] : cases) {
    EXPECT_EQ(Expression::parse(cron, 0).value().explain(), expected) << cron;
  }
}

TEST(Explain, ShowsWhereAHashFell) {
  const std::uint64_t seed = hash_seed("job-1");
  const Expression e = Expression::parse("H 4 * * *", seed).value();
  const Instant first = *e.next(from_ms(0), TimeZone::utc(), DstPolicy::Auto);
  EXPECT_EQ(e.explain(), "At " + format_utc(first).substr(11, 5) + ", every day.");
}

TEST(Explain, SaysWhatTheZonesClockChangesDo) {
  const auto paris = TimeZone::load("Europe/Paris").value();
  const Expression daily = Expression::parse("30 2 * * *", 0).value();
  const Expression hourly = Expression::parse("30 * * * *", 0).value();
  const std::string once =
      " A time that a clock change skips runs right after the change; a repeated one runs once.";
  const std::string wall =
      " A time that a clock change skips does not run; a repeated one runs twice.";
  EXPECT_EQ(daily.explain(paris, DstPolicy::Auto),
            "At 02:30, every day (Europe/Paris time)." + once);
  EXPECT_EQ(daily.explain(paris, DstPolicy::Wall),
            "At 02:30, every day (Europe/Paris time)." + wall);
  EXPECT_EQ(hourly.explain(paris, DstPolicy::Auto),
            "At minute 30 of every hour (Europe/Paris time)." + wall);
  EXPECT_EQ(hourly.explain(paris, DstPolicy::Once),
            "At minute 30 of every hour (Europe/Paris time)." + once);
  EXPECT_EQ(daily.explain(TimeZone::utc(), DstPolicy::Auto), "At 02:30, every day (UTC time).");
}

}  // namespace
}  // namespace tidegate::cron
