// Extended JSON both ways, and decimals: nothing is bent.

#include "engine/connectors/mongodb/bson_json.h"

#include <gtest/gtest.h>

#include "engine/connectors/mongodb/bson.h"

namespace tidegate::engine::mongodb {
namespace {

// There and back; else why not.
std::string again(std::string_view json) {
  Doc d;
  std::string why = append_json(d.get(), "v", json);
  if (!why.empty()) return why;
  return *json_of(find_value(*d.get(), "v")->raw);
}

bson_type_t type_of(std::string_view json) {
  Doc d;
  EXPECT_EQ(append_json(d.get(), "v", json), "") << json;
  return bson_iter_type(&find_value(*d.get(), "v")->raw);
}

TEST(BsonJson, ValuesComeBackAsTheyWere) {
  for (const char* json :
       {"null", "true", "0", "-2147483649", "9223372036854775807", "0.1", "1.0", "-1.5e+300",
        R"("x\u0000y")", R"("naïve 😀")", "[]", "{}", R"({"a":[1,{"b":null}],"":2})",
        R"({"$oid":"0123456789abcdef01234567"})", R"({"a":{"$notOurs":1}})"}) {
    EXPECT_EQ(again(json), json);
  }
}

TEST(BsonJson, NumbersHaveTheTypeThatIsExactlyThem) {
  EXPECT_EQ(type_of("2147483647"), BSON_TYPE_INT32);
  EXPECT_EQ(type_of("2147483648"), BSON_TYPE_INT64);
  EXPECT_EQ(type_of("1.50"), BSON_TYPE_DOUBLE);
  EXPECT_EQ(type_of("9223372036854775808"), BSON_TYPE_DECIMAL128);
  EXPECT_EQ(type_of("9223372036854775807.5"), BSON_TYPE_DECIMAL128);
  EXPECT_EQ(type_of("0.10000000000000000555"), BSON_TYPE_DECIMAL128);
  EXPECT_EQ(type_of("1e400"), BSON_TYPE_DECIMAL128);
  EXPECT_NE(again("1234567890123456789012345678901234567.5").find("34 digits"), std::string::npos);
}

TEST(BsonJson, WhatCannotBeHeldIsSaid) {
  EXPECT_EQ(again("{"), "is no JSON");
  EXPECT_EQ(again(R"(1,"b":2)"), "is no JSON");
  EXPECT_EQ(again(R"({"a":1,"a":2})"), "holds the name \"a\" twice");
  EXPECT_EQ(again(R"({"a\u0000b":1})"), "holds a name with a NUL character");
  EXPECT_NE(again(std::string(200, '[') + std::string(200, ']')).find("deep"), std::string::npos);
}

TEST(BsonJson, DecimalsKeepEveryDigitOrAreRefused) {
  bson_decimal128_t d;
  for (const char* text : {"0.00", "-0.01", "123.4500", "1234567890123456789012345678901234"}) {
    ASSERT_TRUE(exact_decimal(text, d)) << text;
    EXPECT_EQ(decimal_text(d), text);
  }
  EXPECT_TRUE(exact_decimal("1234567890123456789012345678.0000000000", d));
  EXPECT_FALSE(exact_decimal("12345678901234567890123456789012345", d));
  EXPECT_FALSE(exact_decimal("0.12345678901234567890123456789012345", d));
  EXPECT_FALSE(exact_decimal("1e-7000", d));
}

}  // namespace
}  // namespace tidegate::engine::mongodb
