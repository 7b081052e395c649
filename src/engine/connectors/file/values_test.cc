#include "engine/connectors/file/values.h"

#include <gtest/gtest.h>

namespace tidegate::engine::file {
namespace {

constexpr std::uint16_t kNumber = kInt | kDouble | kDecimal | kText;

// regressions.md: CSV columns become text, or lose digits.
TEST(Classify, KeepsWhatTheTextSays) {
  struct Case {
    const char* text;
    std::uint16_t types;
  };
  const Case cases[] = {
      {"0", kNumber},
      {"-7", kNumber},
      {"007", kText},
      {"+7", kText},
      {"-0", kDouble | kText},
      {"9223372036854775807", kInt | kDecimal | kText},
      {"-9223372036854775808", kInt | kDecimal | kText},
      {"9223372036854775808", kText},
      {"9007199254740992", kNumber},
      {"9007199254740993", kInt | kDecimal | kText},  // 2^53 + 1 has no double
      {"12.50", kDouble | kDecimal | kText},
      {"0.1", kDouble | kDecimal | kText},
      {"10.357019999999999", kDouble | kDecimal | kText},
      {"0.12345678901234567890", kDecimal | kText},
      {".5", kDouble | kDecimal | kText},
      {"5.", kText},
      {"-0.0", kDouble | kText},
      {"007.5", kText},
      {"1e5", kText},
      {"2E05", kText},
      {"1e+05", kDouble | kText},
      {"1.5e-7", kDouble | kText},
      {"1.5e400", kText},
      {"1.5e-400", kText},
      {"NaN", kText},
      {"inf", kText},
      {" 1", kText},
      {"1,5", kText},
      {"", kText},
      {"true", kBool | kText},
      {"FALSE", kBool | kText},
      {"True", kBool | kText},
      {"tRUE", kText},
      {"t", kText},
      {"2026-02-29", kText},
      {"2024-02-29", kDate | kTimestamp | kText},
      {"0000-01-01", kText},
      {"2026-11-23 18:00", kTimestamp | kText},
      {"2026-11-23T18:00:00", kTimestamp | kText},
      {"2026-11-23T18:00:00.123456789", kTimestamp | kText},
      {"2026-11-23T18:00:00.1234567891", kText},
      {"2026-11-23T18:00:00Z", kTimestampTz | kText},
      {"2026-11-23 18:00:00+01:30", kTimestampTz | kText},
      {"2026-11-23 18:00:00 -0800", kTimestampTz | kText},
      {"2026-11-23 18:00:00+01", kTimestampTz | kText},
      {"2026-11-23T24:00:00Z", kText},
      {"2026-11-23T18:00:00+01:3", kText},
      {"2026-11-23T", kText},
      {"2026-11-23 ", kText},
      {"-", kText},
      {".", kText},
      {"-.", kText},
      {"1.5e", kText},
      {"1e+", kText},
  };
  for (const Case& c : cases) EXPECT_EQ(classify(c.text).types, c.types) << c.text;
}

TEST(Parse, TimesAreExact) {
  EXPECT_EQ(time_units(*parse_time("1970-01-02"), false), 86'400'000'000);
  EXPECT_EQ(time_units(*parse_time("1970-01-01T01:00:00.5+01:00"), false), 500'000);
  EXPECT_EQ(time_units(*parse_time("1969-12-31T23:59:59.999999Z"), false), -1);
  EXPECT_EQ(time_units(*parse_time("1970-01-01T00:00:00.000000001"), true), 1);
  EXPECT_EQ(time_units(*parse_time("1970-01-01T00:00:00.000000001"), false), std::nullopt);
  EXPECT_EQ(time_units(*parse_time("9999-12-31T23:59:59Z"), true), std::nullopt);
  EXPECT_EQ(time_units(*parse_time("9999-12-31T23:59:59Z"), false), 253402300799'000'000);
  EXPECT_EQ(parse_date("0001-01-01"), -719162);
}

TEST(Parse, Numbers) {
  EXPECT_EQ(parse_int("+007"), 7);
  EXPECT_EQ(parse_int("+-7"), std::nullopt);
  EXPECT_EQ(parse_int("9223372036854775808"), std::nullopt);
  EXPECT_EQ(parse_double("39.02"), 39.02);
  EXPECT_EQ(parse_double("-0.0000001"), -1e-7);
  EXPECT_EQ(parse_double("10.357019999999999"), 10.357019999999999);
  EXPECT_EQ(parse_double("-"), std::nullopt);
  EXPECT_EQ(parse_double("1x"), std::nullopt);
  EXPECT_EQ(parse_decimal("12.50", 4, 2), Int128{1250});
  EXPECT_EQ(parse_decimal("12.500", 4, 2), Int128{1250});
  EXPECT_EQ(parse_decimal("12.501", 4, 2), std::nullopt);
  EXPECT_EQ(parse_decimal("123.5", 4, 2), std::nullopt);
  EXPECT_EQ(parse_decimal("-.5", 4, 2), Int128{-50});
  EXPECT_EQ(parse_decimal("", 4, 2), std::nullopt);
  EXPECT_EQ(parse_bool("YES"), true);
  EXPECT_EQ(parse_bool("maybe"), std::nullopt);
}

}  // namespace
}  // namespace tidegate::engine::file
