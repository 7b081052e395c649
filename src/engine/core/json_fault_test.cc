#include "engine/core/json_fault.h"

#include <gtest/gtest.h>

namespace tidegate::engine {
namespace {

TEST(JsonFault, WhatOtherReadersOfJsonTakeIsTaken) {
  for (const char* text : {"null", "[]", "{\"a\": [1, -0.5e+3, \"\\u0000\\n\", true, {}]}", " 7 ",
                           "1e400", "123456789012345678901234567890"}) {
    EXPECT_EQ(json_fault(text), "") << text;
  }
}

// Symptom: lists with NaN came out of DuckDB as JSON that nobody could read.
TEST(JsonFault, WhatIsNoJsonIsTold) {
  EXPECT_EQ(json_fault("[1] 2"), "is not valid JSON (more follows at byte 4)");
  for (const char* text : {"", "[NaN]", "[Infinity]", "[-Infinity]", "nan", "[1,]", "{\"a\": 1,}",
                           "{", "/* */ 1", "'a'", "[01]", "\"\t\"", "\"\xff\""}) {
    EXPECT_NE(json_fault(text).find("is not valid JSON (at byte"), std::string::npos)
        << text << json_fault(text);
  }
  const std::string deep(6'000, '[');
  EXPECT_NE(json_fault(deep + std::string(6'000, ']')).find("5,000 levels"), std::string::npos);
}

}  // namespace
}  // namespace tidegate::engine
