#include "engine/connectors/postgres/copy_decoder.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate::engine::postgres {
namespace {

using ::testing::HasSubstr;

std::string big_endian(std::int64_t v, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) {
    out += static_cast<char>(static_cast<std::uint64_t>(v) >> (8 * i) & 0xFFU);
  }
  return out;
}

std::string numeric(int weight, unsigned sign, int scale, const std::vector<int>& digits) {
  std::string out = big_endian(static_cast<std::int64_t>(digits.size()), 2) +
                    big_endian(weight, 2) + big_endian(sign, 2) + big_endian(scale, 2);
  for (const int d : digits) out += big_endian(d, 2);
  return out;
}

std::string header() {
  return std::string("PGCOPY\n\377\r\n\0", 11) + big_endian(0, 4) + big_endian(0, 4);
}

std::string row(const std::vector<std::optional<std::string>>& values) {
  std::string out = big_endian(static_cast<std::int64_t>(values.size()), 2);
  for (const auto& v : values) {
    out += big_endian(v ? static_cast<std::int64_t>(v->size()) : -1, 4);
    if (v) out += *v;
  }
  return out;
}

CopyDecoder decoder(const std::vector<ColumnType>& types) {
  arrow::FieldVector fields;
  std::vector<std::unique_ptr<Column>> columns;
  for (const ColumnType& type : types) {
    fields.push_back(to_field("c" + std::to_string(fields.size()), type));
    columns.push_back(*Column::make(type));
  }
  return {arrow::schema(fields), std::move(columns)};
}

// One value of a type, as text; or why it was refused.
std::string decoded(const ColumnType& type, const std::string& bytes) {
  CopyDecoder d = decoder({type});
  if (const Status taken = d.take(header() + row({bytes})); !taken) return describe(taken.error());
  const auto taken = d.finish();
  if (!taken) return describe(taken.error());
  if (!taken->refused.empty()) return "refused: " + taken->refused[0].why;
  return (*taken->batch->column(0)->GetScalar(0))->ToString();
}

TEST(NumericText, KeepsEveryDigitOfTheScale) {
  EXPECT_EQ(numeric_text(numeric(0, 0, 2, {12, 5000})), "12.50");
  EXPECT_EQ(numeric_text(numeric(0, 0x4000, 0, {7})), "-7");
  EXPECT_EQ(numeric_text(numeric(1, 0, 0, {1, 2})), "10002");
  EXPECT_EQ(numeric_text(numeric(2, 0, 0, {1})), "100000000");
  EXPECT_EQ(numeric_text(numeric(-1, 0, 4, {12})), "0.0012");
  EXPECT_EQ(numeric_text(numeric(-2, 0, 8, {12})), "0.00000012");
  EXPECT_EQ(numeric_text(numeric(0, 0, 0, {})), "0");
  EXPECT_EQ(numeric_text(numeric(0, 0, 3, {})), "0.000");
  EXPECT_EQ(numeric_text(numeric(0, 0xC000, 0, {})), "NaN");
  EXPECT_EQ(numeric_text(numeric(0, 0xD000, 0, {})), "Infinity");
  EXPECT_EQ(numeric_text(numeric(0, 0xF000, 0, {})), "-Infinity");
  EXPECT_EQ(numeric_text("short"), "");
  EXPECT_EQ(numeric_text(numeric(0, 0, 0, {1}) + "x"), "");
}

TEST(CopyDecoder, DecimalsAreExact) {
  const ColumnType d122{Kind::Numeric, 12, 2};
  EXPECT_EQ(decoded(d122, numeric(0, 0, 2, {12, 5000})), "12.50");
  EXPECT_EQ(decoded(d122, numeric(0, 0x4000, 2, {0, 100})), "-0.01");
  EXPECT_EQ(decoded(d122, numeric(2, 0, 2, {99, 9999, 9999, 9900})), "9999999999.99");
  EXPECT_EQ(decoded(d122, numeric(0, 0, 0, {})), "0.00");
  EXPECT_EQ(decoded({Kind::Numeric, 4, 4}, numeric(-1, 0, 4, {12})), "0.0012");
  EXPECT_EQ(decoded({Kind::Numeric, 8, 8}, numeric(-2, 0, 8, {12})), "1.2E-7");
  EXPECT_EQ(decoded({Kind::Numeric, 5, 0}, numeric(1, 0, 0, {1, 2})), "10002");
  // As many digits as there can be, with a last group that is cut.
  EXPECT_EQ(
      decoded({Kind::Numeric, 38, 1},
              numeric(9, 0, 1, {9, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9000})),
      "9999999999999999999999999999999999999.9");
  EXPECT_EQ(
      decoded({Kind::Numeric, 38, 38},
              numeric(-1, 0, 38, {9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9900})),
      "0.99999999999999999999999999999999999999");
  EXPECT_THAT(decoded(d122, numeric(0, 0xC000, 0, {})), HasSubstr("NaN is no number"));
  EXPECT_THAT(decoded(d122, numeric(3, 0, 0, {1})), HasSubstr("too large for decimal(12,2)"));
  EXPECT_THAT(decoded({Kind::Numeric, 3, 0}, numeric(0, 0, 0, {1000})), HasSubstr("too large"));
  // Found by the fuzzer: it overflowed.
  EXPECT_THAT(
      decoded({Kind::Numeric, 38, 9},
              numeric(7, 0, 9, {9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9000})),
      HasSubstr("too large"));
  // None of these is what a server sends; no digit is dropped without a word.
  for (const auto& [weight, sign, digits] :
       std::vector<std::tuple<int, unsigned, std::vector<int>>>{
           {0, 0, {10'000}}, {0, 0, {-1}}, {0, 1, {1}}, {-1, 0, {12}}, {0, 0, {1, 0, 1}}}) {
    EXPECT_THAT(decoded(d122, numeric(weight, sign, 2, digits)), HasSubstr("is a defect"));
  }
}

TEST(CopyDecoder, TimesKeepTheirMicrosecondsAndInfinityIsRefused) {
  EXPECT_EQ(decoded({Kind::Timestamp}, big_endian(1, 8)), "2000-01-01 00:00:00.000001");
  EXPECT_EQ(decoded({Kind::TimestampTz}, big_endian(-1, 8)), "1999-12-31 23:59:59.999999Z");
  EXPECT_THAT(decoded({Kind::Timestamp}, big_endian(std::numeric_limits<std::int64_t>::max(), 8)),
              HasSubstr("refused: column \"c0\": infinity"));
  EXPECT_THAT(decoded({Kind::TimestampTz}, big_endian(std::numeric_limits<std::int64_t>::min(), 8)),
              HasSubstr("-infinity"));
  EXPECT_EQ(decoded({Kind::Date}, big_endian(-1, 4)), "1999-12-31");
  EXPECT_THAT(decoded({Kind::Date}, big_endian(std::numeric_limits<std::int32_t>::max(), 4)),
              HasSubstr("infinity"));
  EXPECT_THAT(decoded({Kind::Time}, big_endian(86'400'000'000, 8)), HasSubstr("24:00:00"));
  for (const std::int64_t outside : {std::int64_t{-1}, std::int64_t{86'400'000'001}}) {
    EXPECT_THAT(decoded({Kind::Time}, big_endian(outside, 8)), HasSubstr("outside its range"));
  }
  EXPECT_THAT(decoded({Kind::Date}, big_endian(2'147'483'000, 4)), HasSubstr("outside its range"));
}

TEST(CopyDecoder, OtherKinds) {
  EXPECT_EQ(decoded({Kind::Int8}, big_endian(-5, 8)), "-5");
  EXPECT_EQ(decoded({Kind::Int2}, big_endian(-32768, 2)), "-32768");
  EXPECT_EQ(decoded({Kind::Oid}, big_endian(0xFFFFFFFF, 4)), "4294967295");
  EXPECT_EQ(decoded({Kind::Jsonb}, "\x01{\"a\": 1}"), "{\"a\": 1}");
  EXPECT_THAT(decoded({Kind::Jsonb}, "\x02{}"), HasSubstr("version"));
  EXPECT_EQ(
      decoded({Kind::Uuid}, "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"),
      "01234567-89ab-cdef-0123-456789abcdef");
  EXPECT_THAT(decoded({Kind::Int8}, "x"), HasSubstr("another length"));
}

// A database of the encoding SQL_ASCII holds any bytes.
TEST(CopyDecoder, TextThatIsNoUtf8IsRefused) {
  for (const Kind kind : {Kind::Text, Kind::Json, Kind::CastText}) {
    EXPECT_EQ(decoded({kind}, "\xc3\xa9"), "\xc3\xa9");
    EXPECT_THAT(decoded({kind}, "ab\xff"), HasSubstr("not valid UTF-8"));
  }
  EXPECT_THAT(decoded({Kind::Jsonb}, "\x01\"\xff\""), HasSubstr("not valid UTF-8"));
}

TEST(CopyDecoder, ARefusedRowIsToldWithItsValues) {
  CopyDecoder d = decoder({{Kind::Int4}, {Kind::Date}});
  ASSERT_TRUE(d.take(header() + row({big_endian(1, 4), big_endian(0, 4)})));
  ASSERT_TRUE(
      d.take(row({big_endian(2, 4), big_endian(std::numeric_limits<std::int32_t>::min(), 4)})));
  ASSERT_TRUE(d.take(row({std::nullopt, std::nullopt}) + big_endian(-1, 2)));
  const auto taken = d.finish();
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->batch->num_rows(), 3);
  ASSERT_EQ(taken->refused.size(), 1U);
  EXPECT_EQ(taken->refused[0].row, 1);
  EXPECT_EQ(taken->refused[0].raw, R"({"c0":"\\x00000002","c1":"\\x80000000"})");
  EXPECT_FALSE(d.take(row({big_endian(1, 4), std::nullopt}))) << "after the end";
}

TEST(CopyDecoder, WhatIsNoCopyIsSaid) {
  for (const std::string& bytes :
       {std::string("x"), std::string(19, 'x'), header() + std::string(1, '\0'),
        header() + big_endian(2, 2), header() + big_endian(1, 2) + big_endian(5, 4) + "abc",
        header() + big_endian(1, 2) + big_endian(-2, 4)}) {
    CopyDecoder d = decoder({{Kind::Text}});
    EXPECT_FALSE(d.take(bytes));
  }
}

}  // namespace
}  // namespace tidegate::engine::postgres
