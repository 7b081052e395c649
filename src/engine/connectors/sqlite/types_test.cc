#include "engine/connectors/sqlite/types.h"

#include <arrow/type.h>
#include <gtest/gtest.h>

#include <array>

#include "engine/connectors/sqlite/timetext.h"

namespace tidegate::engine::sqlite {
namespace {

TEST(Types, DeclaredTypesAreUnderstood) {
  struct Row {
    const char* declared;
    Kind kind;
  };
  const Row rows[] = {{"INTEGER", Kind::Int},
                      {"bigint unsigned", Kind::Int},
                      {"VARCHAR(255)", Kind::Text},
                      {"nvarchar", Kind::Text},
                      {"DOUBLE PRECISION", Kind::Real},
                      {"float", Kind::Real},
                      {"DECIMAL(12,2)", Kind::Decimal},
                      {"numeric", Kind::Any},
                      {"", Kind::Any},
                      {"BLOB", Kind::Bytes},
                      {"bool", Kind::Bool},
                      {"DATE", Kind::Date},
                      {"time", Kind::Time},
                      {"datetime", Kind::Timestamp},
                      {"timestamp with time zone", Kind::TimestampTz},
                      {"json", Kind::Json},
                      {"uuid", Kind::Text},
                      {"geometry", Kind::Any}};
  for (const Row& row : rows) EXPECT_EQ(from_declared(row.declared).kind, row.kind) << row.declared;
}

TEST(Types, WhatWeDeclareIsReadBackEqual) {
  const ColumnType types[] = {{Kind::Bool},
                              {Kind::Int},
                              {Kind::Real},
                              {Kind::Decimal, 38, 10},
                              {Kind::Decimal, 76, 0},
                              {Kind::Text},
                              {Kind::Json},
                              {Kind::Bytes},
                              {Kind::Date},
                              {Kind::Time},
                              {Kind::Timestamp},
                              {Kind::TimestampTz},
                              {Kind::Timestamp, 0, 0, true},
                              {Kind::TimestampTz, 0, 0, true}};
  for (const ColumnType& t : types) EXPECT_EQ(from_declared(to_declared(t)), t) << to_declared(t);
}

TEST(Types, WideningLosesNothing) {
  struct Row {
    ColumnType a, b;
    std::optional<ColumnType> wide;
  };
  const Row rows[] = {
      {{Kind::Int}, {Kind::Int}, ColumnType{Kind::Int}},
      {{Kind::Bool}, {Kind::Int}, ColumnType{Kind::Int}},
      {{Kind::Int}, {Kind::Real}, ColumnType{Kind::Real}},
      {{Kind::Int}, {Kind::Decimal, 5, 2}, ColumnType{Kind::Decimal, 21, 2}},
      {{Kind::Decimal, 5, 2}, {Kind::Decimal, 6, 4}, ColumnType{Kind::Decimal, 7, 4}},
      {{Kind::Decimal, 76, 0}, {Kind::Decimal, 5, 4}, ColumnType{Kind::Text}},
      {{Kind::Decimal, 5, 2}, {Kind::Real}, ColumnType{Kind::Text}},
      {{Kind::Date}, {Kind::Timestamp}, ColumnType{Kind::Timestamp}},
      {{Kind::Timestamp}, {Kind::TimestampTz}, ColumnType{Kind::Text}},
      {{Kind::Int}, {Kind::Text}, ColumnType{Kind::Text}},
      {{Kind::Bytes}, {Kind::Text}, std::nullopt},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(widen(row.a, row.b), row.wide) << words(row.a) << " and " << words(row.b);
    EXPECT_EQ(widen(row.b, row.a), row.wide) << words(row.b) << " and " << words(row.a);
  }
}

TEST(Types, WhatSqliteCannotHoldIsNamed) {
  const auto r = column_type(*arrow::field("tags", arrow::list(arrow::utf8())));
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("\"tags\""), std::string::npos);
}

std::string timestamp(std::int64_t ticks, std::int64_t per_second, bool zone = false) {
  std::array<char, kTimeTextMax> out;
  return {out.data(), write_timestamp(ticks, per_second, zone, out.data())};
}

TEST(TimeText, IsWrittenExactly) {
  EXPECT_EQ(timestamp(0, 1), "1970-01-01 00:00:00");
  EXPECT_EQ(timestamp(-1, 1'000'000, true), "1969-12-31 23:59:59.999999+00:00");
  EXPECT_EQ(timestamp(1'700'000'000'120, 1000), "2023-11-14 22:13:20.12");
  EXPECT_EQ(timestamp(253'402'300'799, 1), "9999-12-31 23:59:59");
  EXPECT_EQ(timestamp(253'402'300'800, 1), "");
  EXPECT_EQ(timestamp(-62'167'219'200, 1), "0000-01-01 00:00:00");
  EXPECT_EQ(timestamp(-62'167'219'201, 1), "");
}

TEST(TimeText, SortsAsItsInstants) {
  EXPECT_LT(timestamp(0, 1000, true), timestamp(1, 1000, true));
  EXPECT_LT(timestamp(500, 1000, true), timestamp(510, 1000, true));
  EXPECT_LT(timestamp(999, 1000), timestamp(1000, 1000));
}

TEST(TimeText, IsReadInAllItsForms) {
  const auto seconds = [](const char* text) {
    const auto t = read_timestamp(text);
    return t ? t->seconds : -1;
  };
  EXPECT_EQ(seconds("1970-01-01"), 0);
  EXPECT_EQ(seconds("1970-01-01T00:01"), 60);
  EXPECT_EQ(seconds("1970-01-01 00:00:05Z"), 5);
  EXPECT_EQ(seconds("1970-01-01 02:00:00+02:00"), 0);
  EXPECT_EQ(seconds("1970-01-01 02:00:00+02"), 0);
  EXPECT_EQ(seconds("1969-12-31 19:00:00-0500"), 0);
  EXPECT_EQ(read_timestamp("1970-01-01 00:00:00.000000001")->nanos, 1);
  for (const char* bad : {"", "1970", "1970-1-1", "1970-13-01", "1970-02-29", "1970-01-01 24:00:00",
                          "1970-01-01 00:60", "1970-01-01 00:00:00.", "1970-01-01 00:00:00 ",
                          "1970-01-01 00:00:00+", "1970-01-01x00:00"}) {
    EXPECT_FALSE(read_timestamp(bad)) << bad;
  }
  EXPECT_EQ(read_time("23:59:59.000001"), 86'399'000'001);
  EXPECT_FALSE(read_time("23:59:59.0000001"));
  EXPECT_FALSE(read_time("23"));
}

}  // namespace
}  // namespace tidegate::engine::sqlite
