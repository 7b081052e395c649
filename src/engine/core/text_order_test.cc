#include "engine/core/text_order.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/core/context.h"

namespace tidegate::engine {
namespace {

using namespace std::string_literals;

// Symptom: `9`, then `10`; `9/30/2026`, then `10/1/2026`: no incremental run read the later rows.
TEST(TextOrder, WhatHoldsNumbersOrDatesAndSortsOtherwiseIsFound) {
  struct Row {
    std::string low, high;
    bool out_of_order;
  };
  const Row rows[] = {
      {"10", "9", true},
      {"100", "99", true},
      {"10.5", "9.25", true},
      {"-3", "-5", true},
      {"-3", "5", false},
      {"1.10", "1.5", false},
      {"12345678901234567890123456789012345678901", "9", true},
      {"010", "9", true},
      {"1.0", "1.00", false},
      {"10/1/2026", "9/30/2026", true},
      {"01.01.2026", "31.12.2025", true},
      {"01-01-2026", "31-12-2025", true},
      {"1/1/2027 08:00", "12/31/2026 23:59", true},
      {"1/2/2026, 9:00", "12/31/2025, 9:00", true},
      // After in one reading only: 1 October and 2 September, or 10 January and 9 February.
      {"10/1/2026", "9/2/2026", true},
      {"01.02.2026", "02.01.2026", true},
      {"1/10/2026", "1/9/2026", true},
      {"01/02/2025", "02/03/2026", false},
      // One day.
      {"9/30/2026 10:00", "9/30/2026 9:00", true},
      {"09/30/2026 01:00 PM", "09/30/2026 11:00 AM", true},
      {"2026-09-30 10:00", "2026-09-30 9:05", true},
      {"2026-09-30 01:05pm", "2026-09-30 12:05am", true},
      {"2026-09-30 12:05am", "2026-09-30 12:05pm", false},
      {"30.09.2026, 09:05", "30.09.2026, 10:00", false},
      {"9/30/2026", "9/30/2026 9:00", false},
      {"2026-09-30 9h", "2026-09-30 9i", false},
      {"9/30/2026 10:05m", "9/30/2026 9:05m", true},
      {"9/30/2026 10:05a", "9/30/2026 9:05a", true},
      {"2026-10-1", "2026-9-30", true},
      {"10", "9/30/2026", true},
      {"31.12.2025", "9", true},
      {"10", "9a", false},
      // What sorts as it grows.
      {"2026-09-30", "2026-10-01", false},
      {"2025-12-31T23:00:00Z", "2026-01-01T00:00:00Z", false},
      {"00000009", "00000010", false},
      {"09", "9", false},
      {"01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW", false},
      {"0012345678", "9abcdef012", false},
      {"1e5", "9e4", false},
      {"1.10.0", "1.9.0", false},
      {"10.0.0.1", "9.0.0.1", true},
      // Text with a number in it.
      {"10 apples", "9 apples", true},
      {"10kg", "9kg", true},
      {"ORD-10", "ORD-9", true},
      {"INV-2026-100", "INV-2026-99", true},
      {"2025-W10", "2025-W9", true},
      {"10:30", "9:30", true},
      {"$10", "$9", true},
      {"10,5", "9,5", true},
      {"+10", "+9", true},
      {"user10@example.org", "user9@example.org", true},
      {"ORD-009", "ORD-010", false},
      {"ORD-010", "ORD-9", false},
      {"ORD-1", "ORD-2", false},
      {"A-10", "B-9", false},
      {"2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.5Z", false},
      {"20260930T095959Z", "20260930T100000Z", false},
      // Codes.
      {"10AB", "9ABC", false},
      {"10fad5b4-d9cb-469f-a165-70867728950e", "9fa3b1c2-d9cb-469f-a165-70867728950", false},
      {"507f1f77bcf86cd799439011", "507f1f77bcf86cd9", false},
      // No dates.
      {"99/99/2026", "99/99/2099", false},
      {"10/1/26", "9/30/26", true},
      {"1/1/26", "12/31/25", false},
      {"00/10/2026", "9/30/2025", false},
      // Whatever bytes.
      {"", "9", false},
      {"-", "9", false},
      {"-.5", "9", false},
      {"10\0"s, "9\0"s, true},
      {"10", "\xff\xfe", false},
      {"\xff-10", "\xff-9", true},
  };
  for (const Row& r : rows) {
    EXPECT_EQ(follows_out_of_order(r.low, r.high), r.out_of_order) << r.low << " | " << r.high;
    if (r.out_of_order) EXPECT_TRUE(may_be_followed_out_of_order(r.high)) << r.high;
  }
}

TEST(TextOrder, AgreesWithTheNumbersAndDaysThemselves) {
  for (int a = -120; a <= 120; ++a) {
    for (int b = -120; b <= 120; ++b) {
      const std::string low = std::to_string(a), high = std::to_string(b);
      if (low < high) EXPECT_EQ(follows_out_of_order(low, high), a > b) << low << " | " << high;
      const std::string padded_low = fmt::format("{:04}", a + 120),
                        padded_high = fmt::format("{:04}", b + 120);
      EXPECT_FALSE(follows_out_of_order(padded_low, padded_high)) << padded_low;
    }
  }
  // The days of two years from the 13th on: no month can be meant by them. Of others one of two
  // readings is enough.
  std::vector<std::string> days;
  for (int year = 2025; year <= 2026; ++year) {
    for (int month = 1; month <= 12; ++month) {
      for (int day = 13; day <= 28; ++day)
        days.push_back(fmt::format("{}/{}/{}", month, day, year));
    }
  }
  for (std::size_t a = 0; a < days.size(); ++a) {
    for (std::size_t b = 0; b < days.size(); ++b) {
      if (days[a] < days[b]) EXPECT_EQ(follows_out_of_order(days[a], days[b]), a > b) << days[a];
    }
  }
}

TEST(TextOrder, BoundsThatNothingCanFollowOutOfOrderAreKnown) {
  for (const char* bound : {"9", "99", "-5", "1.5", "9/30/2026", "31.12.2025", "01.01.2026",
                            "2026-9-30", "2026-09-30 9:05", "2026-09-30 09:05 AM", "1767225600000",
                            "ORD-9", "9 kg", "v9", "9/30", "1.2.3"}) {
    EXPECT_TRUE(may_be_followed_out_of_order(bound)) << bound;
  }
  for (const char* bound :
       {"", "abc", "2026-09-30", "2026-09-30T10:00:00Z", "2026-09-30 10:00:00.123", "0000000042",
        "0", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "507f1f77bcf86cd799439011", "ORD-009", "-"}) {
    EXPECT_FALSE(may_be_followed_out_of_order(bound)) << bound;
  }
}

TEST(TextOrder, TheErrorNamesAllAndIsNotRetried) {
  const Error error = text_order_error("orders", "nr", "10", "9");
  EXPECT_EQ(error_kind(error), "data");
  for (const char* part : {"entity \"orders\"", "cursor \"nr\"", "\"10\"", "\"9\"", "numbers",
                           "`types`", "--cursor", "mode full"}) {
    EXPECT_NE(error.message.find(part), std::string::npos) << error.message;
  }
  EXPECT_NE(text_order_error("o", "d", "10/1/2026", "9/30/2026").message.find("2026-01-31"),
            std::string::npos);
  EXPECT_NE(text_order_error("o", "d", "1\xff", std::string(100, '9')).message.find("\\xff"),
            std::string::npos);
}

}  // namespace
}  // namespace tidegate::engine
