// What DuckDB would bend without a word is refused by name instead.

#include "engine/connectors/duckdb/values.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/connectors/duckdb/duckdb_fixture.h"
#include "engine/core/schema.h"

namespace tidegate::engine {
namespace {

using contract::batch_of;
using protocol::EntityOutcome;

class DuckdbValues : public Duckdb {
 protected:
  // One column `v` with such values; the reasons why rows are refused, by row.
  static Texts refused(const std::shared_ptr<arrow::Array>& column) {
    const auto schema = arrow::schema({arrow::field("v", column->type())});
    const auto values = duckdb::Values::make(*schema, {0});
    EXPECT_TRUE(values);
    const auto handed = values->hand(*arrow::RecordBatch::Make(schema, column->length(), {column}));
    EXPECT_TRUE(handed);
    EXPECT_TRUE(handed->rows->schema()->Equals(*values->schema()));
    EXPECT_TRUE(handed->rows->Validate().ok());
    Texts out;
    for (const auto& r : handed->refused) out.push_back(fmt::format("{} {}", r.row, r.why));
    return out;
  }
  template <class Builder>
  static std::shared_ptr<arrow::Array> column(const std::shared_ptr<arrow::DataType>& type,
                                              const std::vector<std::int64_t>& numbers) {
    Builder builder(type, arrow::default_memory_pool());
    EXPECT_TRUE(builder.AppendNull().ok());
    for (const std::int64_t n : numbers) EXPECT_TRUE(builder.Append(n).ok());
    return *builder.Finish();
  }
};

TEST_F(DuckdbValues, TimesBeyondDuckdbAreRefusedAndOthersKept) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const auto us = arrow::timestamp(arrow::TimeUnit::MICRO);
  EXPECT_EQ(refused(column<arrow::TimestampBuilder>(us, {0, kMax - 1, -9'223'372'022'400'000'000,
                                                         kMax, -9'223'372'022'400'000'001}))
                .size(),
            2U);
  const auto s = arrow::timestamp(arrow::TimeUnit::SECOND);
  EXPECT_EQ(refused(column<arrow::TimestampBuilder>(s, {1, kMax / 1'000'000 + 1})),
            Texts{"2 column \"v\": the time is beyond what DuckDB holds"});
  const auto ns = arrow::timestamp(arrow::TimeUnit::NANO);
  EXPECT_EQ(refused(column<arrow::TimestampBuilder>(ns, {1, kMax})).size(), 1U);
  const auto zoned = arrow::timestamp(arrow::TimeUnit::NANO, "UTC");
  const Texts why = refused(column<arrow::TimestampBuilder>(zoned, {1000, 1001}));
  ASSERT_EQ(why.size(), 1U);
  EXPECT_NE(why[0].find("2 column \"v\": the time has nanoseconds"), std::string::npos) << why[0];
  const auto day = arrow::time64(arrow::TimeUnit::NANO);
  EXPECT_EQ(
      refused(column<arrow::Time64Builder>(day, {0, 1000, 1001, -1000, 86'400'000'000'000})).size(),
      3U);
  const auto date = arrow::date32();
  EXPECT_EQ(refused(column<arrow::Date32Builder>(
                        date, {0, -2'147'483'646, 2'147'483'647, -2'147'483'647}))
                .size(),
            2U);
}

TEST_F(DuckdbValues, TextsThatAreNoUtf8AndDecimalsOfTooManyDigitsAreRefused) {
  arrow::StringBuilder texts;
  for (const char* text : {"é", "\xff", ""}) EXPECT_TRUE(texts.Append(text).ok());
  EXPECT_EQ(refused(*texts.Finish()),
            Texts{"1 column \"v\": the text is not valid UTF-8; correct it in the source"});
  arrow::Decimal128Builder decimals(arrow::decimal128(4, 2));
  for (const std::int64_t digits : {9999, 10'000, -10'000})
    EXPECT_TRUE(decimals.Append(arrow::Decimal128(digits)).ok());
  EXPECT_EQ(refused(*decimals.Finish()).size(), 2U);
}

TEST_F(DuckdbValues, EveryTypeOfOtherSourcesArrivesAndComesBack) {
  auto& e = bench_.entity();
  e.schema = arrow::schema(
      {arrow::field("id", arrow::int64()), arrow::field("large", arrow::large_utf8()),
       arrow::field("bytes", arrow::large_binary()),
       arrow::field("fixed", arrow::fixed_size_binary(2)),
       arrow::field("ms", arrow::timestamp(arrow::TimeUnit::MILLI)),
       arrow::field("zoned", arrow::timestamp(arrow::TimeUnit::SECOND, "Europe/Berlin")),
       arrow::field("short", arrow::time32(arrow::TimeUnit::MILLI)),
       arrow::field("wide", arrow::decimal256(60, 5)), arrow::field("nothing", arrow::null())});
  e.batches = {batch_of(e.schema, R"([[1, "a", "b", "cd", 1500, 60, 250,
      "1234567890123456789012345678901234567890.00001", null],
      [2, null, null, null, null, null, null, null, null]])")};
  const auto r = bench_.run();
  ASSERT_EQ(r.outcome, EntityOutcome::Succeeded) << r.error.value_or("");
  EXPECT_EQ(look("SELECT * FROM t ORDER BY id"),
            (Texts{"1|a|b|cd|1970-01-01 00:00:01.5|1970-01-01 00:01:00+00|00:00:00.25|"
                   "1234567890123456789012345678901234567890.00001|∅",
                   "2|∅|∅|∅|∅|∅|∅|∅|∅"}));
}

TEST_F(DuckdbValues, TextThatIsNoJsonIsRejected) {
  auto& e = bench_.entity();
  e.schema = arrow::schema(
      {arrow::field("id", arrow::int64()), mark_json(arrow::field("doc", arrow::utf8()))});
  e.batches = {batch_of(e.schema, R"([[1, "{\"a\": [1, 1e400]}"], [2, "{"], [3, null]])")};
  bench_.spec.max_rejected = 1;
  const auto dry = bench_.look().entities.at(0);
  const auto r = bench_.run();
  ASSERT_EQ(r.outcome, EntityOutcome::Succeeded) << r.error.value_or("");
  EXPECT_EQ(r.rows_rejected, 1);
  EXPECT_EQ(dry.rows_rejected, 1);
  EXPECT_EQ(look("SELECT id, doc FROM t ORDER BY id"), (Texts{"1|{\"a\": [1, 1e400]}", "3|∅"}));
}

// regressions.md: "values cut to the column's width".
TEST_F(DuckdbValues, WhatAnIgnoredTypeWouldBendIsRejected) {
  sql(out(), {"CREATE TABLE t (id BIGINT, n TINYINT, d DECIMAL(4,1), u UUID, e ENUM('a'))"});
  auto& e = bench_.entity();
  e.schema = arrow::schema({arrow::field("id", arrow::int64()), arrow::field("n", arrow::int64()),
                            arrow::field("d", arrow::decimal128(8, 3)),
                            arrow::field("u", arrow::utf8()), arrow::field("e", arrow::utf8())});
  e.batches = {batch_of(e.schema, R"([
      [1, 127, "999.900", "7b1b8f40-0000-4000-8000-000000000001", "a"],
      [2, 128, "1.000", null, "a"], [3, 1, "1.250", null, "a"], [4, 1, "1.000", "no", "a"],
      [5, 1, "1.000", null, "b"]])")};
  bench_.spec.schema_change = protocol::SchemaChange::Ignore;
  bench_.spec.max_rejected = 4;
  const auto dry = bench_.look().entities.at(0);
  EXPECT_EQ(dry.rows_rejected, 4) << dry.error.value_or("");
  const auto r = bench_.run();
  ASSERT_EQ(r.outcome, EntityOutcome::Succeeded) << r.error.value_or("");
  EXPECT_EQ(r.rows_rejected, 4);
  EXPECT_EQ(look("SELECT id, n, d FROM t"), Texts{"1|127|999.9"});
  EXPECT_EQ(look("SELECT split_part(reason, ':', 1) FROM _tidegate_rejected ORDER BY id"),
            (Texts{"column \"n\"", "column \"d\"", "column \"u\"", "column \"e\""}));
}

}  // namespace
}  // namespace tidegate::engine
