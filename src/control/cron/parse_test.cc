#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/cron/cron.h"

namespace tidegate::cron {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Parse, AcceptsTheWholeSyntax) {
  for (const char* text : {"* * * * *",
                           "*/5 * * * *",
                           "0 0 1 1 0",
                           "0 0 1 1 7",
                           "59 23 31 12 SAT",
                           "* * ? * *",
                           "* * * * ?",
                           "0 0 ? * MON",
                           "0-59 0-23 1-31 1-12 0-7",
                           "5,10,15 1,2 * * *",
                           "5/15 * * * *",
                           "10-50/7 * * * *",
                           "*/60 */24 */31 */12 */7",
                           "0 22-2 * * *",
                           "0 0 * * FRI-MON",
                           "0 0 * NOV-FEB *",
                           "0 0 28-3 * *",
                           "0 0 * jan,Feb mon-FRI",
                           "0 0 L * *",
                           "0 0 L-3 * *",
                           "0 0 l-30 * *",
                           "0 0 15W * *",
                           "0 0 1w,15w * *",
                           "0 0 LW * *",
                           "0 0 lw * *",
                           "0 0 * * MON#2",
                           "0 0 * * 7#5",
                           "0 0 * * 5L",
                           "0 0 * * FRIL",
                           "0 0 * * fril,MON#1",
                           "H * * * *",
                           "H H H H H",
                           "h(0-29) * * * *",
                           "H/15 * * * *",
                           "H(30-59)/10 * * * *",
                           "H H(0-6) * * H(1-5)",
                           "H H(1-1) * * H(MON-FRI)",
                           "H,30 * * * *",
                           "* * * * * *",
                           "*/10 * * * * *",
                           "H H H * * *",
                           "0,30 15 10 L * ?",
                           "@yearly",
                           "@annually",
                           "@monthly",
                           "@weekly",
                           "@daily",
                           "@midnight",
                           "@hourly",
                           "@HOURLY",
                           "  0 0 * * *\t",
                           "0\t0  *   * *",
                           " @daily ",
                           "00 007 * * *",
                           "0 0 29 2 *",
                           "0 0 30 2 MON",
                           "0 0 */28 2 MON",
                           "*,5 * * * *"}) {
    const auto e = Expression::parse(text, 1);
    EXPECT_TRUE(e) << text << ": " << (e ? "" : describe(e.error()));
  }
}

TEST(Parse, KeepsTheTextWithoutBlanks) {
  EXPECT_EQ(Expression::parse(" \t0 0  * * * ", 0).value().text(), "0 0  * * *");
  EXPECT_EQ(Expression::parse(" @daily ", 0).value().text(), "@daily");
}

struct Bad {
  std::string text;
  std::size_t position;
  std::string message;  // a part of it
};

TEST(Parse, SaysWhereAndWhatWasExpected) {
  const std::vector<Bad> cases = {
      {"", 0, "empty; expected 5 fields"},
      {"  \t", 0, "empty; expected 5 fields"},
      {"* * * *", 7, "4 fields; expected 5 fields (minute hour day-of-month month day-of-week)"},
      {"*", 1, "1 field; expected 5 fields"},
      {"0 0 * * * 1 2026", 12, "7 fields; expected 5"},
      {"60 * * * *", 0, "minute: 60 is out of range; expected *, a number 0-59"},
      {"* 24 * * *", 2, "hour: 24 is out of range; expected *, a number 0-23"},
      {"* * 0 * *", 4, "day-of-month: 0 is out of range; expected *, ?, a day 1-31"},
      {"* * 32 * *", 4, "day-of-month: 32 is out of range"},
      {"* * * 0 *", 6, "month: 0 is out of range; expected *, a month 1-12 or JAN-DEC"},
      {"* * * 13 *", 6, "month: 13 is out of range"},
      {"* * * * 8", 8, "day-of-week: 8 is out of range; expected *, ?, a day 0-7 or SUN-SAT"},
      {"60 * * * * *", 0, "second: 60 is out of range"},
      {"0 0 0 32 * *", 6, "day-of-month: 32 is out of range"},
      {"  5 99 * * *", 4, "hour: 99 is out of range"},
      {"1-99 * * * *", 2, "minute: 99 is out of range"},
      {"1,2,61 * * * *", 4, "minute: 61 is out of range"},
      {"99999 * * * *", 0, "the number is too large"},
      {"-1 * * * *", 0, "unexpected '-'; expected"},
      {"+1 * * * *", 0, "unexpected '+'; expected"},
      {"1.5 * * * *", 1, "unexpected '.'; expected a comma or the end of the field"},
      {"1- * * * *", 2, "something is missing; expected"},
      {"1, * * * *", 2, "something is missing; expected"},
      {",1 * * * *", 0, "unexpected ','; expected"},
      {"1,,2 * * * *", 2, "unexpected ','; expected"},
      {"1-2-3 * * * *", 3, "unexpected '-'; expected a comma"},
      {"*/ * * * *", 2, "expected a step after /"},
      {"*/0 * * * *", 2, "step 0 is out of range; expected 1-60"},
      {"*/90 * * * *", 2, "step 90 is out of range; expected 1-60"},
      {"* */25 * * *", 4, "hour: step 25 is out of range; expected 1-24"},
      {"*/x * * * *", 2, "expected a step after /"},
      {"*/2/3 * * * *", 3, "unexpected '/'; expected a comma"},
      {"** * * * *", 1, "unexpected '*'; expected a comma"},
      {"*5 * * * *", 1, "unexpected '5'; expected a comma"},
      {"*-5 * * * *", 1, "unexpected '-'; expected a comma"},
      {"? * * * *", 0, "minute: ? is only for the day fields; write * here"},
      {"* * * ? *", 6, "month: ? is only for the day fields"},
      {"* * * * MONDAY", 8, "names have three letters; write MON for MONDAY"},
      {"* * * SEPT *", 6, "names have three letters; write SEP for SEPT"},
      {"* * * * XYZ", 8, "day-of-week: unexpected 'XYZ'; expected"},
      {"* * * MO *", 6, "month: unexpected 'MO'"},
      {"* MON * * *", 2, "hour: unexpected 'MON'; expected *, a number 0-23"},
      {"* * MON * *", 4, "day-of-month: unexpected 'MON'"},
      {"* * * MON *", 6, "month: unexpected 'MON'"},
      {"* * * * JAN", 8, "day-of-week: unexpected 'JAN'"},
      {"L * * * *", 0, "minute: L is only for the day fields"},
      {"* * * L *", 6, "month: L is only for the day fields"},
      {"* * * * L", 8, "day-of-week: L needs a day here, as in FRIL"},
      {"* * L- * *", 6, "expected a number of days 1-30 after L-"},
      {"* * L-0 * *", 6, "expected n in 1-30"},
      {"* * L-31 * *", 6, "expected n in 1-30"},
      {"* * L-3W * *", 7, "unexpected 'W'"},
      {"* * L/2 * *", 5, "unexpected '/'"},
      {"* * LX * *", 4, "day-of-month: unexpected 'LX'"},
      {"* * W * *", 4, "day-of-month: unexpected 'W'"},
      {"* * 32W * *", 4, "32 is out of range"},
      {"* * 1-5W * *", 7, "unexpected 'W'"},
      {"* * 15W/2 * *", 7, "unexpected '/'"},
      {"* 5W * * *", 3, "unexpected 'W'"},
      {"* * * * MON#", 12, "expected 1-5 after #"},
      {"* * * * MON#0", 12, "a month has at most 5 of a weekday; expected 1-5"},
      {"* * * * 1#6", 10, "expected 1-5"},
      {"* * * * #2", 8, "unexpected '#'"},
      {"* * 5#2 * *", 5, "unexpected '#'"},
      {"* * * * 1-5L", 11, "unexpected 'L'"},
      {"* * 5L * *", 5, "unexpected 'L'"},
      {"H( * * * *", 2, "something is missing"},
      {"H(5 * * * *", 3, "expected - and the end of the range, as in H(0-29)"},
      {"H(5-9 * * * *", 5, "expected ) after the range of H"},
      {"H(9-5) * * * *", 0, "the range of H may not wrap"},
      {"H(0-60) * * * *", 4, "60 is out of range"},
      {"H(0-9)/20 * * * *", 7, "step 20 is larger than the range of H; expected 1-10"},
      {"H/0 * * * *", 2, "step 0 is out of range"},
      {"H-5 * * * *", 1, "unexpected '-'"},
      {"HH * * * *", 0, "minute: unexpected 'HH'"},
      {"@", 0, "'@' is unknown; expected @yearly, @annually, @monthly"},
      {"@fortnightly", 0, "'@fortnightly' is unknown; expected @yearly"},
      {" @reboot", 1, "@reboot is no time"},
      {"@every 5m", 0, "@every is not cron; write the schedule as {every: 5m}"},
      {"@daily 5", 6, "nothing may follow @daily"},
      {"0 0 30 2 *", 4, "can never fire"},
      {"0 0 31 2,4,6,9,11 *", 4, "can never fire"},
      {"0 0 30 2 ?", 4, "can never fire"},
      {"0 0 30 2 */2", 4, "can never fire"},
      {"0 0 31W 4 *", 4, "can never fire"},
      {"0 0 L-30 2 *", 4, "can never fire"},
      {"5 0 0 L-29,31 2 *", 6, "can never fire"},
      {std::string("0 0 * * \0", 9), 8, "unexpected byte 0x00"},
      {std::string("0 0\0* * * *", 11), 3, "unexpected byte 0x00"},
      {"0 0 * *\n* *", 7, "unexpected byte 0x0a"},
      {"0 0 \xc3\xa9 * *", 4, "unexpected byte 0xc3"},
      {std::string(1001, '*'), 1000, "longer than 1000 bytes"},
  };
  for (const Bad& c : cases) {
    const auto e = Expression::parse(c.text, 0);
    ASSERT_FALSE(e) << c.text;
    EXPECT_EQ(e.error().code, Code::Invalid) << c.text;
    EXPECT_THAT(e.error().message, StartsWith("the cron expression is not valid: "));
    ASSERT_EQ(e.error().details.size(), 1U) << c.text;
    EXPECT_EQ(e.error().details[0].field, "cron");
    EXPECT_EQ(e.error().details[0].position, c.position) << c.text;
    EXPECT_THAT(e.error().details[0].message, HasSubstr(c.message)) << c.text;
  }
}

TEST(Parse, EveryDayThatSomeYearHasIsAccepted) {
  // 29 February on each weekday comes within 400 years, though it may be 40 away.
  for (int weekday = 0; weekday < 7; ++weekday) {
    EXPECT_TRUE(Expression::parse("0 0 */28 2 " + std::to_string(weekday), 0));
    EXPECT_TRUE(Expression::parse("0 0 ? 2 " + std::to_string(weekday) + "#5", 0));
  }
}

}  // namespace
}  // namespace tidegate::cron
