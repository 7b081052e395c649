// What is encoded is what the decoder reads; what has no form is refused.

#include "engine/connectors/postgres/copy_encoder.h"

#include <arrow/array.h>
#include <arrow/json/from_string.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/connectors/postgres/copy_decoder.h"
#include "engine/connectors/postgres/target_types.h"
#include "engine/core/schema.h"

namespace tidegate::engine::postgres {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<arrow::RecordBatch> one(const std::shared_ptr<arrow::Field>& field,
                                        const std::string& json) {
  auto array = arrow::json::ArrayFromJSONString(field->type(), json);
  if (!array.ok()) throw std::runtime_error(array.status().ToString());
  return arrow::RecordBatch::Make(arrow::schema({field}), (*array)->length(), {*array});
}

struct Case {
  std::shared_ptr<arrow::Field> field;
  std::string values;
  ColumnType read_as;
};

TEST(CopyEncoder, WhatIsEncodedIsWhatIsDecoded) {
  const auto field = [](std::shared_ptr<arrow::DataType> type) {
    return arrow::field("c", std::move(type));
  };
  const Case cases[] = {
      {field(arrow::boolean()), "[true, false, null]", {Kind::Bool}},
      {field(arrow::int16()), "[-32768, 32767, null]", {Kind::Int2}},
      {field(arrow::int32()), "[-2147483648, 0]", {Kind::Int4}},
      {field(arrow::int64()), "[-9223372036854775808, 9223372036854775807]", {Kind::Int8}},
      {field(arrow::float32()), "[0.1, -1e30]", {Kind::Float4}},
      {field(arrow::float64()), "[0.1, -1e300]", {Kind::Float8}},
      {field(arrow::decimal128(12, 2)),
       R"(["12.50", "-0.01", "0.00", "9999999999.99", "100.00", null])",
       {Kind::Numeric, 12, 2}},
      {field(arrow::decimal128(38, 1)),
       R"(["9999999999999999999999999999999999999.9", "-0.1"])",
       {Kind::Numeric, 38, 1}},
      {field(arrow::decimal128(38, 38)),
       R"(["0.99999999999999999999999999999999999999", "-0.00000000000000000000000000000000000001"])",
       {Kind::Numeric, 38, 38}},
      {field(arrow::decimal128(9, 4)),
       R"(["1.0000", "10000.0000", "0.0012"])",
       {Kind::Numeric, 9, 4}},
      {field(arrow::decimal128(5, 0)), R"(["10000", "-7"])", {Kind::Numeric, 5, 0}},
      {field(arrow::utf8()), R"(["", "é", null])", {Kind::Text}},
      {field(arrow::binary()), R"(["ab", ""])", {Kind::Bytes}},
      {field(arrow::date32()), "[0, -719162, 2932896]", {Kind::Date}},
      {field(arrow::time64(arrow::TimeUnit::MICRO)), "[0, 86399999999]", {Kind::Time}},
      {field(arrow::timestamp(arrow::TimeUnit::MICRO)),
       "[0, -1, 253402300799999999]",
       {Kind::Timestamp}},
      {field(arrow::timestamp(arrow::TimeUnit::MICRO, "UTC")),
       "[1, 1769850000123456]",
       {Kind::TimestampTz}},
      {mark_json(field(arrow::utf8())), R"(["{\"a\": 1}", "[]"])", {Kind::Jsonb}},
  };
  for (const Case& c : cases) {
    const auto batch = one(c.field, c.values);
    auto encoder = CopyEncoder::make(*batch->schema());
    ASSERT_TRUE(encoder);
    std::string bytes = CopyEncoder::header();
    const auto refused = encoder->put(*batch, bytes);
    ASSERT_TRUE(refused);
    EXPECT_TRUE(refused->empty()) << c.field->ToString() << ": " << refused->front().why;
    bytes += CopyEncoder::trailer();
    std::vector<std::unique_ptr<Column>> columns;
    columns.push_back(*Column::make(c.read_as));
    CopyDecoder decoder(batch->schema(), std::move(columns));
    ASSERT_TRUE(decoder.take(bytes)) << c.field->ToString();
    const auto taken = decoder.finish();
    ASSERT_TRUE(taken);
    EXPECT_TRUE(taken->batch->column(0)->Equals(batch->column(0)))
        << c.field->ToString() << " " << taken->batch->column(0)->ToString();
  }
}

TEST(CopyEncoder, OtherUnitsAndWidthsArriveAsTheColumnsOfTheirTarget) {
  const auto encoded = [](const std::shared_ptr<arrow::DataType>& type, const std::string& values,
                          const ColumnType& read_as) {
    const auto batch = one(arrow::field("c", type), values);
    std::string bytes = CopyEncoder::header();
    auto encoder = CopyEncoder::make(*batch->schema());
    if (!encoder || !encoder->put(*batch, bytes)->empty()) return std::string("refused");
    std::vector<std::unique_ptr<Column>> columns;
    columns.push_back(*Column::make(read_as));
    CopyDecoder decoder(arrow::schema({to_field("c", read_as)}), std::move(columns));
    if (const Status taken = decoder.take(bytes); !taken) return describe(taken.error());
    return (*decoder.finish()->batch->column(0)->GetScalar(0))->ToString();
  };
  EXPECT_EQ(encoded(arrow::uint8(), "[255]", {Kind::Int2}), "255");
  EXPECT_EQ(encoded(arrow::uint16(), "[65535]", {Kind::Int4}), "65535");
  EXPECT_EQ(encoded(arrow::uint32(), "[4294967295]", {Kind::Int8}), "4294967295");
  EXPECT_EQ(encoded(arrow::uint64(), "[18446744073709551615]", {Kind::Numeric, 20, 0}),
            "18446744073709551615");
  EXPECT_EQ(encoded(arrow::timestamp(arrow::TimeUnit::SECOND), "[1]", {Kind::Timestamp}),
            "1970-01-01 00:00:01.000000");
  EXPECT_EQ(encoded(arrow::timestamp(arrow::TimeUnit::NANO), "[1000]", {Kind::Timestamp}),
            "1970-01-01 00:00:00.000001");
  EXPECT_EQ(encoded(arrow::time32(arrow::TimeUnit::MILLI), "[1]", {Kind::Time}), "00:00:00.001000");
}

TEST(CopyEncoder, WhatHasNoFormIsRefusedByRowWithItsReason) {
  struct Wrong {
    std::shared_ptr<arrow::Field> field;
    std::string values;
    const char* says;
  };
  const Wrong cases[] = {
      {arrow::field("c", arrow::utf8()), R"(["ok", "a\u0000b"])", "NUL"},
      {mark_json(arrow::field("c", arrow::utf8())), R"(["{}", "{\"a\":\"\\u0000\"}"])", "\\u0000"},
      {arrow::field("c", arrow::timestamp(arrow::TimeUnit::NANO)), "[1000, 1001]", "nanoseconds"},
      {arrow::field("c", arrow::timestamp(arrow::TimeUnit::SECOND)), "[0, 9223372036854775807]",
       "cannot hold"},
      {arrow::field("c", arrow::date32()), "[0, -2147483648]", "4713 BC"},
      {arrow::field("c", arrow::time64(arrow::TimeUnit::MICRO)), "[0, 86400000000]",
       "cannot hold"}};
  for (const Wrong& c : cases) {
    const auto batch = one(c.field, c.values);
    auto encoder = CopyEncoder::make(*batch->schema());
    ASSERT_TRUE(encoder);
    std::string bytes;
    const auto refused = encoder->put(*batch, bytes);
    ASSERT_TRUE(refused);
    ASSERT_EQ(refused->size(), 1U) << c.field->ToString();
    EXPECT_EQ(refused->front().row, 1);
    EXPECT_THAT(refused->front().why, HasSubstr(c.says));
    EXPECT_THAT(refused->front().why, HasSubstr("column \"c\""));
    EXPECT_LT(bytes.size(), 30U) << "the other row alone";
  }
}

TEST(TargetTypes, WhatAColumnHoldsAndHowItIsWidened) {
  struct Widened {
    const char *existing, *incoming, *wide;  // "" : none
  };
  for (const Widened& c : {Widened{"integer", "smallint", "integer"},
                           {"integer", "bigint", "bigint"},
                           {"bigint", "numeric(12,2)", "numeric(21,2)"},
                           {"numeric(12,2)", "numeric(10,4)", "numeric(14,4)"},
                           {"numeric", "numeric(10,4)", "numeric"},
                           {"numeric(30,2)", "bigint", "numeric(30,2)"},
                           {"double precision", "integer", "double precision"},
                           {"double precision", "bigint", "text"},
                           {"double precision", "numeric(5,2)", "text"},
                           {"date", "timestamp without time zone", "timestamp without time zone"},
                           {"timestamp with time zone", "timestamp without time zone", "text"},
                           {"character varying(5)", "text", "text"},
                           {"text", "jsonb", "text"},
                           {"boolean", "integer", "text"},
                           {"bytea", "text", ""},
                           {"inet", "text", ""},
                           {"timestamp(3) without time zone", "timestamp without time zone", ""}}) {
    const auto wide = widen(from_declared(c.existing), from_declared(c.incoming));
    EXPECT_EQ(wide ? wide->declared : "", c.wide) << c.existing << " and " << c.incoming;
  }
}

}  // namespace
}  // namespace tidegate::engine::postgres
