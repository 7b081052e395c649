// Rows as documents: types, keys, and what is refused instead of bent.

#include "engine/connectors/mongodb/encoder.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <gtest/gtest.h>

#include "engine/connectors/mongodb/bson_json.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mongodb {
namespace {

struct Encoded {
  std::vector<std::string> ids, rows, refused;
};

Encoded encode(const std::shared_ptr<arrow::Field>& field, std::shared_ptr<arrow::Array> values,
               Timestamps how = Timestamps::Text, const std::vector<std::string>& key = {}) {
  const auto schema = arrow::schema({field});
  const auto batch = arrow::RecordBatch::Make(schema, values->length(), {values});
  const auto encoder = DocumentEncoder::make(*schema, {0}, key, how);
  EXPECT_TRUE(encoder) << describe(encoder.error());
  Encoded out;
  for (const auto& r : encoder->encode(*batch, [&](std::int64_t, DocumentEncoder::Row row) {
         out.ids.push_back(*json_of(*row.id.get()));
         out.rows.push_back(*json_of(*row.fields.get()));
       })) {
    out.refused.push_back(r.why);
  }
  return out;
}

template <class Builder, class Value>
std::shared_ptr<arrow::Array> one(const std::shared_ptr<arrow::DataType>& type, const Value& v) {
  Builder builder(type, arrow::default_memory_pool());
  EXPECT_TRUE(builder.Append(v).ok());
  return *builder.Finish();
}

TEST(MongoEncoder, DigitsBelowAMillisecondAreKeptRefusedOrCutAsTheUserSays) {
  const auto type = arrow::timestamp(arrow::TimeUnit::MICRO, "UTC");
  const auto field = arrow::field("at", type);
  const auto fine = one<arrow::TimestampBuilder>(type, std::int64_t{-1});
  const auto whole = one<arrow::TimestampBuilder>(type, std::int64_t{1'700'000'000'123'000});
  EXPECT_EQ(encode(field, fine).rows.at(0), R"({"at":"1969-12-31T23:59:59.999999Z"})");
  EXPECT_EQ(encode(field, whole).rows.at(0), R"({"at":"2023-11-14T22:13:20.123000Z"})");
  EXPECT_EQ(encode(field, whole, Timestamps::Date).rows.at(0),
            R"({"at":{"$date":{"$numberLong":"1700000000123"}}})");
  const auto refused = encode(field, fine, Timestamps::Date).refused.at(0);
  EXPECT_NE(refused.find("column \"at\": 1969-12-31T23:59:59.999999Z has digits"),
            std::string::npos)
      << refused;
  EXPECT_NE(refused.find("`truncate`"), std::string::npos);
  EXPECT_EQ(encode(field, fine, Timestamps::Truncate).rows.at(0),
            R"({"at":{"$date":{"$numberLong":"-1"}}})");
}

TEST(MongoEncoder, YearsThatIsoTextHasNotAreRefusedAndDatesHoldThem) {
  const auto type = arrow::timestamp(arrow::TimeUnit::MICRO, "UTC");
  const auto field = arrow::field("at", type);
  const std::int64_t first = -62'167'219'200'000'000, end = 253'402'300'800'000'000;
  const auto at = [&](std::int64_t us) { return one<arrow::TimestampBuilder>(type, us); };
  EXPECT_EQ(encode(field, at(first)).rows.at(0), R"({"at":"0000-01-01T00:00:00.000000Z"})");
  EXPECT_EQ(encode(field, at(end - 1)).rows.at(0), R"({"at":"9999-12-31T23:59:59.999999Z"})");
  for (const std::int64_t outside : {first - 1, end}) {
    const auto refused = encode(field, at(outside)).refused;
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_NE(refused[0].find("0000 to 9999"), std::string::npos) << refused[0];
    EXPECT_TRUE(encode(field, at(outside), Timestamps::Truncate).refused.empty());
  }
}

TEST(MongoEncoder, ValuesThatBsonCannotHoldAreRefusedByColumn) {
  const auto text = one<arrow::StringBuilder>(arrow::utf8(), std::string("\xff"));
  EXPECT_NE(
      encode(arrow::field("t", arrow::utf8()), text).refused.at(0).find("column \"t\": is not"),
      std::string::npos);
  const auto wide = arrow::decimal128(38, 0);
  const auto digits =
      one<arrow::Decimal128Builder>(wide, arrow::Decimal128("12345678901234567890123456789012345"));
  EXPECT_NE(encode(arrow::field("d", wide), digits).refused.at(0).find("34 digits"),
            std::string::npos);
  const std::pair<const char*, const char*> keys[] = {
      {"[1]", "array"},
      {R"({"$regularExpression": {"pattern": "a", "options": ""}})", "a regular expression"},
      {R"({"$undefined": true})", "undefined"}};
  const auto field = mark_json(arrow::field("k", arrow::utf8()));
  for (const auto& [key, words] : keys) {
    const auto json = one<arrow::StringBuilder>(arrow::utf8(), std::string(key));
    const auto refused = encode(field, json, Timestamps::Text, {"k"}).refused;
    ASSERT_EQ(refused.size(), 1U) << key;
    EXPECT_NE(refused[0].find(words), std::string::npos) << refused[0];
  }
}

TEST(MongoEncoder, TheKeyIsTheIdAndStaysAField) {
  const auto one_id = one<arrow::StringBuilder>(arrow::utf8(), std::string("a"));
  const auto keyed = encode(arrow::field("k", arrow::utf8()), one_id, Timestamps::Text, {"k"});
  EXPECT_EQ(keyed.ids.at(0), R"({"_id":"a"})");
  EXPECT_EQ(keyed.rows.at(0), R"({"k":"a"})");
  const auto itself = encode(arrow::field("_id", arrow::utf8()), one_id, Timestamps::Text, {"_id"});
  EXPECT_EQ(itself.ids.at(0), R"({"_id":"a"})");
  EXPECT_EQ(itself.rows.at(0), "{}");
}

}  // namespace
}  // namespace tidegate::engine::mongodb
