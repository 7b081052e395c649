#include <gtest/gtest.h>
#include <time.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "control/cron/cron.h"

namespace tidegate::cron {
namespace {

struct Case {
  std::string cron, zone, dst, after;
  std::string expected;  // local times in RFC 3339, blank separated; - is none
};

DstPolicy policy(const std::string& text) {
  for (const DstPolicy p : {DstPolicy::Auto, DstPolicy::Once, DstPolicy::Wall}) {
    if (name(p) == text) return p;
  }
  ADD_FAILURE() << "no such policy: " << text;
  return DstPolicy::Auto;
}

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE("'" + c.cron + "' in " + c.zone + " (" + c.dst + ") after " + c.after);
    const auto expression = Expression::parse(c.cron, 0);
    const auto zone = TimeZone::load(c.zone);
    std::optional<Instant> t = parse_rfc3339(c.after).value();
    ASSERT_TRUE(expression) << describe(expression.error());
    ASSERT_TRUE(zone) << describe(zone.error());
    std::istringstream words(c.expected);
    for (std::string word; words >> word;) {
      t = expression->next(*t, *zone, policy(c.dst));
      ASSERT_EQ(t ? format_local(*t, *zone) : "-", word);
    }
  }
}

// How often an expression fires in [from, until).
int count(const std::string& cron, const std::string& zone_name, DstPolicy dst,
          const std::string& from, const std::string& until) {
  const auto expression = Expression::parse(cron, 0).value();
  const auto zone = TimeZone::load(zone_name).value();
  const Instant end = parse_rfc3339(until).value();
  int n = 0;
  auto t = expression.next(parse_rfc3339(from).value() - Millis(1), zone, dst);
  for (; t && *t < end; t = expression.next(*t, zone, dst)) ++n;
  return n;
}

constexpr auto kNewYork = "America/New_York";

TEST(NextTime, Daily0230IsSkippedOnTheGapDay) {
  // Symptom: a daily 02:30 job is skipped on the day of a spring gap.
  check({
      {"30 2 * * *", kNewYork, "auto", "2026-03-07T00:00:00-05:00",
       "2026-03-07T02:30:00-05:00 2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00"},
      {"30 2 * * *", kNewYork, "once", "2026-03-08T01:59:59-05:00", "2026-03-08T03:00:00-04:00"},
      {"0,15,30,45 2 * * *", kNewYork, "auto", "2026-03-07T12:00:00-05:00",
       "2026-03-08T03:00:00-04:00 2026-03-09T02:00:00-04:00"},
      {"*/15 2 * * *", kNewYork, "auto", "2026-03-07T12:00:00-05:00",
       "2026-03-08T03:00:00-04:00 2026-03-09T02:00:00-04:00 2026-03-09T02:15:00-04:00"},
      {"30 2,3 * * *", kNewYork, "auto", "2026-03-07T12:00:00-05:00",
       "2026-03-08T03:00:00-04:00 2026-03-08T03:30:00-04:00 2026-03-09T02:30:00-04:00"},
      {"30 1 * * *", "Europe/London", "auto", "2026-03-28T12:00:00Z",
       "2026-03-29T02:00:00+01:00 2026-03-30T01:30:00+01:00"},
      // A gap at midnight takes the first hour of the day.
      {"0 0 * * *", "Africa/Cairo", "auto", "2026-04-23T12:00:00+02:00",
       "2026-04-24T01:00:00+03:00 2026-04-25T00:00:00+03:00"},
      // The policy that says so does skip it.
      {"30 2 * * *", kNewYork, "wall", "2026-03-07T00:00:00-05:00",
       "2026-03-07T02:30:00-05:00 2026-03-09T02:30:00-04:00"},
  });
}

TEST(NextTime, Daily0130RunsTwiceOnTheFoldDay) {
  // Symptom: a daily job in the repeated hour runs twice on the day of an autumn fold.
  check({
      {"30 1 * * *", kNewYork, "auto", "2026-10-31T12:00:00-04:00",
       "2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00"},
      {"30 1 * * *", kNewYork, "once", "2026-11-01T01:10:00-05:00", "2026-11-02T01:30:00-05:00"},
      {"0,30 1,2 * * *", kNewYork, "auto", "2026-10-31T12:00:00-04:00",
       "2026-11-01T01:00:00-04:00 2026-11-01T01:30:00-04:00 2026-11-01T02:00:00-05:00"},
      {"30 1 * * *", kNewYork, "wall", "2026-10-31T12:00:00-04:00",
       "2026-11-01T01:30:00-04:00 2026-11-01T01:30:00-05:00 2026-11-02T01:30:00-05:00"},
      {"30 23 * * *", "Africa/Cairo", "auto", "2026-10-29T12:00:00+03:00",
       "2026-10-29T23:30:00+03:00 2026-10-30T23:30:00+02:00"},
  });
}

TEST(NextTime, HourlyLosesOneOfThe25Hours) {
  // Symptom: an hourly job runs 24 times on a day of 25 hours, or of 23.
  const auto fold = [](const char* cron) {
    return count(cron, kNewYork, DstPolicy::Auto, "2026-11-01T00:00:00-04:00",
                 "2026-11-02T00:00:00-05:00");
  };
  const auto gap = [](const char* cron) {
    return count(cron, kNewYork, DstPolicy::Auto, "2026-03-08T00:00:00-05:00",
                 "2026-03-09T00:00:00-04:00");
  };
  for (const char* cron : {"0 * * * *", "59 * * * *", "0 0-23 * * *", "0 */1 * * *", "@hourly",
                           "0 12-11 * * *", "H * * * *"}) {
    EXPECT_EQ(fold(cron), 25) << cron;
    EXPECT_EQ(gap(cron), 23) << cron;
  }
  EXPECT_EQ(fold("*/15 * * * *"), 100);
  EXPECT_EQ(gap("*/15 * * * *"), 92);
  // Not all 24 hours: nominal times.
  EXPECT_EQ(fold("0 0-22 * * *"), 23);
  EXPECT_EQ(gap("0 */2 * * *"), 12);
}

TEST(NextTime, NextTimeSticksForEverAtASpringGap) {
  // Symptom: next() returns the same time for ever, or hangs, when it comes to a spring gap.
  for (const char* cron :
       {"30 2 * * *", "*/5 2 * * *", "* * * * *", "15 2,3 8 3 *", "0 0 2 * * *"}) {
    const auto expression = Expression::parse(cron, 0).value();
    for (const char* zone_name :
         {kNewYork, "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia"}) {
      const auto zone = TimeZone::load(zone_name).value();
      for (const DstPolicy dst : {DstPolicy::Auto, DstPolicy::Once, DstPolicy::Wall}) {
        Instant t = parse_rfc3339("2011-01-01T00:00:00Z").value();
        for (int i = 0; i < 500; ++i) {
          const auto next = expression.next(t, zone, dst);
          ASSERT_TRUE(next);
          ASSERT_GT(*next, t) << cron << ' ' << zone_name;
          t = *next;
        }
      }
    }
  }
}

TEST(NextTime, February29Of2104IsMissed) {
  // Symptom: no next time is found when it is more than five years away: 2100 is no leap year.
  check({
      {"0 0 29 2 *", "UTC", "auto", "2096-03-01T00:00:00Z",
       "2104-02-29T00:00:00+00:00 2108-02-29T00:00:00+00:00"},
      {"30 2 29 2 *", kNewYork, "auto", "2096-03-01T00:00:00Z", "2104-02-29T02:30:00-05:00"},
      {"0 0 29 2 *", kNewYork, "wall", "2196-03-01T00:00:00Z", "2204-02-29T00:00:00-05:00"},
      // 29 February on a Monday, 40 years apart around 2100.
      {"0 0 */28 2 MON#5", "UTC", "auto", "2071-01-01T00:00:00Z",
       "2072-02-29T00:00:00+00:00 2112-02-29T00:00:00+00:00"},
  });
}

TEST(NextTime, SummerTimeEndsIn2037) {
  // Symptom: summer time is lost after 2037, where the files' tables end and their rule begins.
  check({
      {"30 2 * * *", kNewYork, "auto", "2080-03-09T00:00:00-05:00",
       "2080-03-09T02:30:00-05:00 2080-03-10T03:00:00-04:00 2080-03-11T02:30:00-04:00"},
      {"30 1 * * *", kNewYork, "wall", "2199-11-02T12:00:00-04:00",
       "2199-11-03T01:30:00-04:00 2199-11-03T01:30:00-05:00"},
      {"0 12 1 7 *", "Europe/Berlin", "auto", "2037-12-01T00:00:00Z",
       "2038-07-01T12:00:00+02:00 2039-07-01T12:00:00+02:00"},
      {"0 12 1 7 *", "Europe/Berlin", "auto", "2200-01-01T00:00:00Z", "2200-07-01T12:00:00+02:00"},
      {"0 12 1 1 *", "Australia/Sydney", "auto", "2199-06-01T00:00:00Z",
       "2200-01-01T12:00:00+11:00"},
  });
  EXPECT_EQ(count("30 2 * * *", kNewYork, DstPolicy::Auto, "2026-01-01T00:00:00-05:00",
                  "2200-01-01T00:00:00-05:00"),
            174 * 365 + 42);  // one for each date, 42 leap days
}

TEST(NextTime, HalfHourAndWholeDayShifts) {
  // Symptom: in zones with unusual shifts a valid 02:00 is missed, a 02:45 invented, or next()
  // throws.
  check({
      // Lord Howe moves by half an hour: 02:00 to 02:30, and back from 02:00 to 01:30.
      {"0 2 * * *", "Australia/Lord_Howe", "auto", "2026-10-03T00:00:00+10:30",
       "2026-10-03T02:00:00+10:30 2026-10-04T02:30:00+11:00 2026-10-05T02:00:00+11:00"},
      {"45 2 * * *", "Australia/Lord_Howe", "auto", "2026-10-03T12:00:00+10:30",
       "2026-10-04T02:45:00+11:00"},
      {"15 2 * * *", "Australia/Lord_Howe", "wall", "2026-10-03T12:00:00+10:30",
       "2026-10-05T02:15:00+11:00"},
      {"0 2 * * *", "Australia/Lord_Howe", "auto", "2026-04-04T12:00:00+11:00",
       "2026-04-05T02:00:00+10:30 2026-04-06T02:00:00+10:30"},
      {"45 1 * * *", "Australia/Lord_Howe", "wall", "2026-04-04T12:00:00+11:00",
       "2026-04-05T01:45:00+11:00 2026-04-05T01:45:00+10:30 2026-04-06T01:45:00+10:30"},
      {"15 * * * *", "Australia/Lord_Howe", "auto", "2026-10-04T01:00:00+10:30",
       "2026-10-04T01:15:00+10:30 2026-10-04T03:15:00+11:00"},
      // Troll moves by two hours.
      {"30 1 * * *", "Antarctica/Troll", "auto", "2026-03-28T12:00:00Z",
       "2026-03-29T03:00:00+02:00 2026-03-30T01:30:00+02:00"},
      {"0 1,2 * * *", "Antarctica/Troll", "auto", "2026-03-28T12:00:00Z",
       "2026-03-29T03:00:00+02:00 2026-03-30T01:00:00+02:00"},
      {"30 1 * * *", "Antarctica/Troll", "wall", "2026-10-24T12:00:00+02:00",
       "2026-10-25T01:30:00+02:00 2026-10-25T01:30:00+00:00"},
      // Apia had no 30 December 2011.
      {"0 12 * * *", "Pacific/Apia", "auto", "2011-12-29T00:00:00-10:00",
       "2011-12-29T12:00:00-10:00 2011-12-31T00:00:00+14:00 2011-12-31T12:00:00+14:00"},
      {"0 0 * * *", "Pacific/Apia", "auto", "2011-12-28T12:00:00-10:00",
       "2011-12-29T00:00:00-10:00 2011-12-31T00:00:00+14:00 2012-01-01T00:00:00+14:00"},
      {"30 2 30 12 *", "Pacific/Apia", "auto", "2011-01-01T00:00:00Z",
       "2011-12-31T00:00:00+14:00 2012-12-30T02:30:00+14:00"},
      {"30 2 30 12 *", "Pacific/Apia", "wall", "2011-01-01T00:00:00Z", "2012-12-30T02:30:00+14:00"},
      // Casablanca goes back for Ramadan only.
      {"30 2 * * *", "Africa/Casablanca", "auto", "2026-02-14T12:00:00+01:00",
       "2026-02-15T02:30:00+01:00 2026-02-16T02:30:00+00:00"},
      {"30 2 * * *", "Africa/Casablanca", "auto", "2026-03-21T12:00:00Z",
       "2026-03-22T03:00:00+01:00 2026-03-23T02:30:00+01:00"},
  });
}

TEST(NextTime, TheHostsTimeZoneChangesWhenAJobFires) {
  // Symptom: the same job fires at other times on a host with another TZ.
  const char* before = std::getenv("TZ");
  const std::string saved = before == nullptr ? "" : before;
  for (const char* host : {"UTC", "Asia/Kathmandu", "America/St_Johns"}) {
    setenv("TZ", host, 1);
    tzset();
    check(
        {{"30 2 * * *", kNewYork, "auto", "2026-03-07T12:00:00-05:00", "2026-03-08T03:00:00-04:00"},
         {"0 9 * * *", "UTC", "auto", "2026-03-07T12:00:00Z", "2026-03-08T09:00:00+00:00"},
         {"0 9 L * *", "Asia/Tokyo", "auto", "2026-01-31T12:00:00+09:00",
          "2026-02-28T09:00:00+09:00"}});
  }
  if (before == nullptr) {
    unsetenv("TZ");
  } else {
    setenv("TZ", saved.c_str(), 1);
  }
  tzset();
}

TEST(NextTime, IsStrictlyAfterAndWholeSeconds) {
  check({
      {"0 12 * * *", "UTC", "auto", "2026-01-01T12:00:00Z", "2026-01-02T12:00:00+00:00"},
      {"0 12 * * *", "UTC", "auto", "2026-01-01T11:59:59.999Z", "2026-01-01T12:00:00+00:00"},
      {"0 12 * * *", "UTC", "auto", "2026-01-01T12:00:00.001Z", "2026-01-02T12:00:00+00:00"},
      {"* * * * * *", "UTC", "auto", "1969-12-31T23:59:58.5Z",
       "1969-12-31T23:59:59+00:00 1970-01-01T00:00:00+00:00"},
      {"*/20 30 4 * * *", "UTC", "auto", "2026-01-01T04:30:20Z",
       "2026-01-01T04:30:40+00:00 2026-01-02T04:30:00+00:00"},
  });
}

TEST(NextTime, IsBoundedAtBothEnds) {
  check({
      {"0 0 1 1 *", "UTC", "auto", "2299-01-01T00:00:00Z", "-"},
      {"* * * * * *", "UTC", "wall", "2299-12-31T23:59:59Z", "-"},
      {"0 0 29 2 *", kNewYork, "wall", "2297-01-01T00:00:00Z", "-"},
      {"0 0 29 2 *", kNewYork, "once", "2297-01-01T00:00:00Z", "-"},
      {"0 0 * * *", "UTC", "auto", "9999-01-01T00:00:00Z", "-"},
      {"0 12 * * *", kNewYork, "auto", "1883-11-17T00:00:00Z", "1883-11-17T12:00:02-04:56"},
  });
  const auto daily = Expression::parse("0 0 * * *", 0).value();
  EXPECT_EQ(daily.next(Instant::min(), TimeZone::utc(), DstPolicy::Auto),
            Instant(Seconds(kFirstSecond)));
  EXPECT_EQ(daily.next(Instant::max(), TimeZone::utc(), DstPolicy::Auto), std::nullopt);
}

TEST(NextTime, FieldsByTable) {
  const std::string start = "2026-01-01T00:00:00Z";  // a Thursday
  check({
      {"15 10 * * *", "UTC", "auto", start, "2026-01-01T10:15:00+00:00"},
      {"50/5 * * * *", "UTC", "auto", start, "2026-01-01T00:50:00+00:00 2026-01-01T00:55:00+00:00"},
      {"0 22-2/2 * * *", "UTC", "auto", start,
       "2026-01-01T02:00:00+00:00 2026-01-01T22:00:00+00:00 2026-01-02T00:00:00+00:00"},
      {"0 0 * * FRI-MON", "UTC", "auto", start,
       "2026-01-02T00:00:00+00:00 2026-01-03T00:00:00+00:00 2026-01-04T00:00:00+00:00 "
       "2026-01-05T00:00:00+00:00 2026-01-09T00:00:00+00:00"},
      {"0 0 * * 5-7", "UTC", "auto", "2026-01-03T12:00:00Z",
       "2026-01-04T00:00:00+00:00 2026-01-09T00:00:00+00:00"},
      {"0 0 * * 7-1", "UTC", "auto", start, "2026-01-04T00:00:00+00:00 2026-01-05T00:00:00+00:00"},
      {"0 0 * * 7", "UTC", "auto", start, "2026-01-04T00:00:00+00:00"},
      {"0 0 * * 0", "UTC", "auto", start, "2026-01-04T00:00:00+00:00"},
      {"0 0 28-3 * *", "UTC", "auto", "2026-02-02T12:00:00Z",
       "2026-02-03T00:00:00+00:00 2026-02-28T00:00:00+00:00 2026-03-01T00:00:00+00:00"},
      {"0 0 1 nov-feb *", "UTC", "auto", start,
       "2026-02-01T00:00:00+00:00 2026-11-01T00:00:00+00:00"},
      {"0 0 L * *", "UTC", "auto", "2026-02-01T00:00:00Z",
       "2026-02-28T00:00:00+00:00 2026-03-31T00:00:00+00:00"},
      {"0 0 L-2 * *", "UTC", "auto", "2028-02-01T00:00:00Z", "2028-02-27T00:00:00+00:00"},
      {"0 0 L-30 * *", "UTC", "auto", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00+00:00"},
      {"0 0 LW * *", "UTC", "auto", start, "2026-01-30T00:00:00+00:00 2026-02-27T00:00:00+00:00"},
      // The 1st is a Saturday in August 2026: the nearest weekday of the month is Monday the 3rd.
      {"0 0 1W 8 *", "UTC", "auto", start, "2026-08-03T00:00:00+00:00"},
      {"0 0 15W * *", "UTC", "auto", "2026-02-01T00:00:00Z",
       "2026-02-16T00:00:00+00:00 2026-03-16T00:00:00+00:00 2026-04-15T00:00:00+00:00"},
      {"0 0 31W * *", "UTC", "auto", start,
       "2026-01-30T00:00:00+00:00 2026-03-31T00:00:00+00:00 2026-05-29T00:00:00+00:00"},
      {"0 0 * * MON#2", "UTC", "auto", start,
       "2026-01-12T00:00:00+00:00 2026-02-09T00:00:00+00:00"},
      {"0 0 * * 4#5", "UTC", "auto", start, "2026-01-29T00:00:00+00:00 2026-04-30T00:00:00+00:00"},
      {"0 0 ? * FRIL", "UTC", "auto", start, "2026-01-30T00:00:00+00:00 2026-02-27T00:00:00+00:00"},
      {"0 0 * * 7L", "UTC", "auto", start, "2026-01-25T00:00:00+00:00"},
      {"0 0 1,L * *", "UTC", "auto", start, "2026-01-31T00:00:00+00:00 2026-02-01T00:00:00+00:00"},
      {"@yearly", "UTC", "auto", start, "2027-01-01T00:00:00+00:00"},
      {"@Monthly", "UTC", "auto", start, "2026-02-01T00:00:00+00:00"},
      {"@weekly", "UTC", "auto", start, "2026-01-04T00:00:00+00:00"},
      {"@midnight", "UTC", "auto", start, "2026-01-02T00:00:00+00:00"},
  });
}

TEST(NextTime, TwoRestrictedDayFieldsAreAlternatives) {
  const std::string start = "2026-02-10T00:00:00Z";  // a Tuesday
  check({
      {"0 0 13 * FRI", "UTC", "auto", start,
       "2026-02-13T00:00:00+00:00 2026-02-20T00:00:00+00:00 2026-02-27T00:00:00+00:00 "
       "2026-03-06T00:00:00+00:00 2026-03-13T00:00:00+00:00"},
      {"0 0 L * MON#1", "UTC", "auto", start,
       "2026-02-28T00:00:00+00:00 2026-03-02T00:00:00+00:00 2026-03-31T00:00:00+00:00"},
      // A field that begins with * or ? restricts nothing by itself: both must match.
      {"0 0 * * FRI", "UTC", "auto", start, "2026-02-13T00:00:00+00:00 2026-02-20T00:00:00+00:00"},
      {"0 0 13 * ?", "UTC", "auto", start, "2026-02-13T00:00:00+00:00 2026-03-13T00:00:00+00:00"},
      {"0 0 */2 * FRI", "UTC", "auto", start,
       "2026-02-13T00:00:00+00:00 2026-02-27T00:00:00+00:00 2026-03-13T00:00:00+00:00"},
      {"0 0 13 * */5", "UTC", "auto", start, "2026-02-13T00:00:00+00:00 2026-03-13T00:00:00+00:00"},
  });
}

TEST(Hash, SpreadsStablyAndWithinItsRange) {
  // These numbers are a promise: a release that changed them would move every job that uses H.
  EXPECT_EQ(hash_seed("job-1"), 0xfed2e199023f9450ULL);
  EXPECT_EQ(Expression::parse("H H * * *", hash_seed("job-1"))
                .value()
                .next(from_ms(0), TimeZone::utc(), DstPolicy::Auto),
            parse_rfc3339("1970-01-01T03:39:00Z").value());
  std::vector<int> minutes(60), tens(10);
  for (int i = 0; i < 6000; ++i) {
    const std::uint64_t seed = hash_seed("0190a5b2-7c3e-7000-8000-" + std::to_string(i));
    const auto hourly = Expression::parse("H * * * *", seed).value();
    ++minutes[static_cast<std::size_t>(
        to_ms(*hourly.next(from_ms(-1), TimeZone::utc(), DstPolicy::Auto)) / 60'000)];
    const auto ranged = Expression::parse("H(20-29) H(3-3) H * *", seed).value();
    const auto t = to_ms(*ranged.next(from_ms(-1), TimeZone::utc(), DstPolicy::Auto)) / 60'000;
    ASSERT_LT(t / 1440, 28);
    ASSERT_EQ(t % 1440 / 60, 3);
    ASSERT_GE(t % 60, 20);
    ++tens[static_cast<std::size_t>(t % 60 - 20)];
    // H/15: four times an hour, a quarter of an hour apart, from the job's own minute.
    const auto quarters = Expression::parse("H/15 * * * *", seed).value();
    const auto first = *quarters.next(from_ms(-1), TimeZone::utc(), DstPolicy::Auto);
    ASSERT_LT(first, from_ms(15 * 60'000));
    ASSERT_EQ(*quarters.next(first, TimeZone::utc(), DstPolicy::Auto) - first,
              std::chrono::minutes(15));
    const auto half = Expression::parse("H(30-59)/10 * * * *", seed).value();
    ASSERT_GE(*half.next(from_ms(-1), TimeZone::utc(), DstPolicy::Auto), from_ms(30 * 60'000));
    ASSERT_LT(*half.next(from_ms(-1), TimeZone::utc(), DstPolicy::Auto), from_ms(40 * 60'000));
  }
  for (const int n : minutes) EXPECT_NEAR(n, 100, 60);
  for (const int n : tens) EXPECT_NEAR(n, 600, 150);
}

}  // namespace
}  // namespace tidegate::cron
