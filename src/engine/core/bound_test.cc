#include "engine/core/bound.h"

#include <arrow/array.h>
#include <arrow/array/builder_binary.h>
#include <arrow/json/from_string.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/core/context.h"
#include "engine/core/rows.h"

namespace tidegate::engine {
namespace {

std::shared_ptr<arrow::RecordBatch> rows(
    const std::string& json, const std::shared_ptr<arrow::DataType>& cursor = arrow::int64()) {
  const auto schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("at", cursor)});
  const auto array =
      arrow::json::ArrayFromJSONString(arrow::struct_(schema->fields()), json).ValueOrDie();
  return arrow::RecordBatch::FromStructArray(array).ValueOrDie();
}

BoundFilter filter(const EntityState& known, bool key = false) {
  return BoundFilter({.entity = "t",
                      .cursor = "at",
                      .has_key = key,
                      .from = known.cursor,
                      .to = {},
                      .known = known});
}

// One read over everything the source has; gives the new rows' number.
std::int64_t read(EntityState& state, const std::string& json) {
  BoundFilter f = filter(state);
  const auto out = f.apply(rows(json));
  EXPECT_TRUE(out) << out.error().message;
  EntityState next;
  EXPECT_TRUE(f.save(next));
  state = next;
  return out->batch->num_rows();
}

// regressions.md: strict `>` cursors in published sources lose rows that arrive with the bound's
// value.
TEST(Bound, RowsThatArriveLaterWithTheBoundsValueAreNotLost) {
  EntityState state;
  EXPECT_EQ(read(state, "[[1, 10], [2, 10]]"), 2);
  EXPECT_EQ(read(state, "[[1, 10], [2, 10], [3, 10]]"), 1);
  EXPECT_EQ(read(state, "[[1, 10], [2, 10], [3, 10]]"), 0);
}

// Symptom: the run that saw such a value succeeded, and every later one failed on its own state.
TEST(Bound, ACursorThatNoStateCanHoldIsRefusedBeforeItIsKept) {
  EntityState state;
  BoundFilter f = filter(state);
  ASSERT_TRUE(f.apply(rows(R"([[1, "a"], [2, "é"]])", arrow::utf8())));
  arrow::StringBuilder texts;
  ASSERT_TRUE(texts.AppendValues({"b", "\xff"}).ok());
  auto batch = rows(R"([[3, "x"], [4, "y"]])", arrow::utf8());
  batch = arrow::RecordBatch::Make(batch->schema(), 2, {batch->column(0), *texts.Finish()});
  const auto refused = f.apply(batch);
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_kind(refused.error()), "data");
  for (const char* part : {"entity \"t\"", "cursor \"at\"", "\"\\xff\"", "choose another"}) {
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
  }
}

// Symptom: `9`, then `10`: the later rows were left out of every run, and nothing said so.
TEST(Bound, TextThatGrowsByAnotherOrderIsRefused) {
  struct Case {
    const char* known;  // nullptr: a first load
    const char* batches[2];
    bool refused;
  };
  const Case cases[] = {
      {nullptr, {R"([[1, "8"], [2, "9"]])", R"([[3, "10"]])"}, true},
      {nullptr, {R"([[3, "10"], [1, "8"]])", "[]"}, true},  // as a database sorts text
      {nullptr, {R"([[1, "8"], [2, "10"], [3, "9"]])", "[]"}, true},
      {"9", {R"([[3, "10"]])", "[]"}, true},  // below the bound
      {"31.12.2025", {R"([[3, "01.01.2026"]])", "[]"}, true},
      {nullptr, {R"([[1, "08"], [2, "09"], [3, null]])", R"([[3, "10"]])"}, false},
      {"2026-09-30", {R"([[3, "2026-10-01"]])", R"([[2, "2026-09-29"]])"}, false},
      {"9f", {R"([[3, "10"]])", R"([[2, "8a"]])"}, false},
  };
  for (const Case& c : cases) {
    EntityState known;
    if (c.known != nullptr) known.cursor = CursorValue::text(c.known);
    BoundFilter f = filter(known);
    auto out = f.apply(rows(c.batches[0], arrow::utf8()));
    if (out) out = f.apply(rows(c.batches[1], arrow::utf8()));
    EXPECT_EQ(!out, c.refused) << c.batches[0] << c.batches[1];
    if (!out) EXPECT_NE(out.error().message.find("cursor \"at\""), std::string::npos);
  }
}

TEST(Bound, EqualRowsAreCountedNotMerged) {
  EntityState state;
  EXPECT_EQ(read(state, "[[1, 10], [1, 10]]"), 2);
  EXPECT_EQ(read(state, "[[1, 10], [1, 10], [1, 10]]"), 1);
}

TEST(Bound, NullCursorsAreReadEveryTimeAndKeptOnce) {
  EntityState state;
  EXPECT_EQ(read(state, "[[1, null]]"), 1);
  EXPECT_FALSE(state.cursor);
  EXPECT_EQ(read(state, "[[1, null], [2, null], [3, 5]]"), 2);
  EXPECT_EQ(read(state, "[[1, null], [2, null], [3, 5], [4, 6]]"), 1);
  EXPECT_EQ(read(state, "[[1, null], [2, null], [3, 5], [4, 6]]"), 0);
}

TEST(Bound, TheOrderOfRowsDoesNotMatter) {
  EntityState state;
  EXPECT_EQ(read(state, "[[3, 30], [1, 10], [2, 20]]"), 3);
  EXPECT_EQ(state.cursor->to_string(), "30");
  EXPECT_EQ(read(state, "[[5, 50], [3, 30], [4, 40], [1, 10]]"), 2);
}

TEST(Bound, ARowThatLeftTheSourceAndCameBackIsStillKnown) {
  EntityState state;
  EXPECT_EQ(read(state, "[[1, 10], [2, 10]]"), 2);
  EXPECT_EQ(read(state, "[[2, 10]]"), 0);
  EXPECT_EQ(read(state, "[[1, 10], [2, 10]]"), 0);
}

// One column more, `v`, of that type.
std::shared_ptr<arrow::RecordBatch> valued(const std::string& json,
                                           const std::shared_ptr<arrow::DataType>& type) {
  const auto schema = arrow::schema({arrow::field("id", arrow::int64()),
                                     arrow::field("at", arrow::int64()), arrow::field("v", type)});
  const auto array =
      arrow::json::ArrayFromJSONString(arrow::struct_(schema->fields()), json).ValueOrDie();
  return arrow::RecordBatch::FromStructArray(array).ValueOrDie();
}

// `new rows`, or the reason why not; keeps the state.
std::string read(EntityState& state, const std::shared_ptr<arrow::RecordBatch>& batch,
                 bool key = false) {
  BoundFilter f = filter(state, key);
  const auto out = f.apply(batch);
  if (!out) return out.error().reason;
  EntityState next;
  EXPECT_TRUE(f.save(next));
  state = *decode_state(encode(next));
  return std::to_string(out->batch->num_rows());
}

// Symptom: rows at the bound were written twice when a column left the source or became text.
TEST(Bound, AColumnThatChangedNeverDoublesARow) {
  struct Case {
    std::shared_ptr<arrow::RecordBatch> before, after;
    const char* says;
  };
  const auto two = [](const std::string& json) { return rows(json); };
  const Case cases[] = {
      {valued("[[1, 10, 1.5]]", arrow::float64()), two("[[1, 10]]"), "reset_needed"},
      {valued("[[1, 10, 1.5]]", arrow::float64()), valued(R"([[1, 10, "1.50"]])", arrow::utf8()),
       "reset_needed"},
      {valued("[[1, 10, true]]", arrow::boolean()), valued(R"([[1, 10, "true"]])", arrow::utf8()),
       "reset_needed"},
      {valued("[[1, null, 1.5]]", arrow::float64()), two("[[1, null]]"), "reset_needed"},
      // Nothing of the row is lost: it is still known.
      {valued("[[1, 10, 1]]", arrow::int64()), valued(R"([[1, 10, "1"]])", arrow::utf8()), "0"},
      {valued("[[1, 10, 1]]", arrow::int64()),
       valued("[[1, 10, 1.0], [2, 10, 1.5]]", arrow::float64()), "1"},
      {valued("[[1, 10, 1e17]]", arrow::float64()),
       valued(R"([[1, 10, "100000000000000000.5"], [1, 10, "100000000000000000.0"]])",
              arrow::decimal128(20, 1)),
       "1"},
      {valued("[[1, 10, null]]", arrow::utf8()), two("[[1, 10]]"), "0"},
      {valued("[[1, 10, null]]", arrow::utf8()),
       valued("[[1, 10, null], [2, 10, 5]]", arrow::int64()), "1"},
      {two("[[1, 10], [2, null]]"),
       valued("[[1, 10, 5], [2, null, 5], [3, 10, 5]]", arrow::int64()), "1"},
      // The row at the bound does not come again: nothing to tell apart.
      {valued("[[1, 10, 1.5]]", arrow::float64()), two("[[2, 20]]"), "1"},
  };
  for (const Case& c : cases) {
    EntityState state;
    read(state, c.before);
    const EntityState known = state;
    EXPECT_EQ(read(state, c.after), c.says) << c.after->ToString();
    if (std::string_view(c.says) != "reset_needed") EXPECT_EQ(read(state, c.after), "0");
    // Merged by key, no row can be doubled.
    state = known;
    EXPECT_NE(read(state, c.after, true), "reset_needed") << c.after->ToString();
  }
}

TEST(Bound, ARowThatLeftAndCameBackIsKnownOverAColumnThatWasAddedMeanwhile) {
  EntityState state;
  EXPECT_EQ(read(state, "[[1, 10], [2, 10], [3, null]]"), 3);
  EXPECT_EQ(read(state, valued("[[2, 10, null], [4, 10, 5]]", arrow::int64())), "1");
  const auto all = valued("[[1, 10, 5], [2, 10, null], [3, null, 5], [4, 10, 5]]", arrow::int64());
  EXPECT_EQ(read(state, all), "0");
  EXPECT_EQ(read(state, all), "0");
  // Now all were seen with the column, and it counts.
  EXPECT_EQ(read(state, rows("[[1, 10]]")), "reset_needed");
}

// Seen here: an update that went back to an earlier value at the bound was "deduplicated" for ever.
TEST(Bound, AMergedRowThatGoesBackToAnEarlierValueIsNew) {
  for (const char* at : {"10", "null"}) {
    EntityState state;
    const auto with = [&](const char* v) {
      return valued(fmt::format(R"([[1, {}, "{}"], [2, {}, "x"]])", at, v, at), arrow::utf8());
    };
    EXPECT_EQ(read(state, with("a"), true), "2");
    EXPECT_EQ(read(state, with("b"), true), "1");
    EXPECT_TRUE(state.seen_dropped) << "a row of the destination is not among the seen ones";
    EXPECT_EQ(read(state, with("a"), true), "1");
    EXPECT_EQ(read(state, with("a"), true), "0");
  }
}

// Seen here: rows at the bound never got their value in a column that the source had added.
TEST(Bound, AMergedRowGetsItsValueInAColumnThatWasAdded) {
  for (const char* at : {"10", "null"}) {
    EntityState state;
    read(state, rows(fmt::format("[[1, {}]]", at)), true);
    const auto now = valued(fmt::format("[[1, {}, 5]]", at), arrow::int64());
    EXPECT_EQ(read(state, now, true), "1");
    EXPECT_EQ(read(state, now, true), "0");
  }
}

TEST(Bound, AStateThatKeptNoKindsIsNotTrusted) {
  EntityState state;
  read(state, valued("[[1, 10, 1.5]]", arrow::float64()));
  std::string text = encode(state);
  const std::size_t from = text.find("\"seenColumns\":{");
  ASSERT_NE(from, std::string::npos) << text;
  text.replace(from, text.find('}', from) - from + 1, R"("seenColumns":["at","id","v"])");
  state = *decode_state(text);
  EXPECT_EQ(read(state, valued("[[1, 10, 1.5]]", arrow::float64())), "reset_needed");
}

TEST(Bound, AnUpperBoundHoldsBackWhatIsTooNew) {
  BoundFilter f(
      {.entity = "t", .cursor = "at", .from = {}, .to = CursorValue::integer(20), .known = {}});
  const auto out = f.apply(rows("[[1, 10], [2, 20], [3, 30]]"));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->batch->num_rows(), 2);
  EntityState state;
  ASSERT_TRUE(f.save(state));
  EXPECT_EQ(state.cursor->to_string(), "20");
}

TEST(Bound, TooManyRowsAtTheBoundAreRefusedWithoutAKeyAndMergedWithOne) {
  std::string json = "[";
  for (int i = 0; i <= kMaxSeen; ++i) json += fmt::format("{}[{}, 7]", i == 0 ? "" : ",", i);
  BoundFilter keyless = filter({});
  const auto refused = keyless.apply(rows(json + "]"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "too_many_at_bound");
  BoundFilter keyed = filter({}, true);
  ASSERT_TRUE(keyed.apply(rows(json + "]")));
  EntityState state;
  ASSERT_TRUE(keyed.save(state));
  EXPECT_TRUE(state.seen_at_bound.empty());
  EXPECT_TRUE(state.seen_dropped);
  EXPECT_EQ(state.cursor->to_string(), "7");
}

TEST(Bound, TheStateSurvivesItsText) {
  EntityState state;
  read(state, "[[1, null], [2, 10], [2, 10]]");
  state.fingerprint = {"s", "c", "w", "at", "k"};
  state.mode = protocol::SyncMode::IncrementalAppend;
  state.seen_dropped = true;
  const auto back = decode_state(encode(state));
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(encode(*back), encode(state));
  EXPECT_EQ(back->seen_at_bound, state.seen_at_bound);
  EXPECT_TRUE(back->seen_dropped);
  EXPECT_FALSE(decode_state("{\"format\": 2, \"mode\": \"full\"}"));
  EXPECT_FALSE(decode_state("[]"));
}

TEST(RowHash, IsEqualForEqualValuesOfWidenedTypes) {
  const auto a = rows("[[1, 2]]");
  const auto b = rows("[[1, 2.0]]", arrow::float64());
  const auto c = rows("[[1, \"2.00\"]]", arrow::decimal128(5, 2));
  const std::vector<std::string> columns{"at", "id"};
  EXPECT_EQ(row_hash(*a, 0, columns), row_hash(*b, 0, columns));
  EXPECT_EQ(row_hash(*a, 0, columns), row_hash(*c, 0, columns));
  EXPECT_NE(row_hash(*a, 0, columns), row_hash(*rows("[[1, 3]]"), 0, columns));
  EXPECT_NE(row_hash(*rows("[[null, 1]]"), 0, columns), row_hash(*rows("[[1, null]]"), 0, columns));
}

TEST(Cursor, TextIsExactAndComesBack) {
  struct Row {
    CursorKind kind;
    const char* text;
  };
  const Row values[] = {{CursorKind::Integer, "-9223372036854775808"},
                        {CursorKind::Integer, "9223372036854775807"},
                        {CursorKind::Real, "0.1"},
                        {CursorKind::Decimal, "12345678901234567890.0123456789"},
                        {CursorKind::Decimal, "-0.5"},
                        {CursorKind::Text, "\u00e4 b"},
                        {CursorKind::Date, "0001-12-31"},
                        {CursorKind::Timestamp, "2026-01-31T09:00:00.123456Z"},
                        {CursorKind::Timestamp, "1969-12-31T23:59:59.999999999Z"},
                        {CursorKind::Timestamp, "9999-12-31T23:59:59Z"}};
  for (const Row& v : values) {
    const auto c = CursorValue::parse(v.kind, v.text);
    ASSERT_TRUE(c) << v.text;
    EXPECT_EQ(c->to_string(), v.text);
  }
  for (const char* bad : {"", "x", "2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00",
                          "2026-01-01T00:00:00.Z"}) {
    EXPECT_FALSE(CursorValue::parse(CursorKind::Timestamp, bad)) << bad;
  }
}

// Found by state_fuzz: a scale of 77 was taken and written as text that could not be read.
TEST(Cursor, WhatNoColumnCanHoldIsRefused) {
  EXPECT_FALSE(CursorValue::parse(CursorKind::Decimal, "1." + std::string(77, '0')));
  EXPECT_TRUE(CursorValue::parse(CursorKind::Decimal, "0." + std::string(37, '0') + "1"));
  EXPECT_FALSE(CursorValue::parse(CursorKind::Timestamp, "2026-01-01T-1:00:00Z"));
  EXPECT_FALSE(CursorValue::parse(CursorKind::Timestamp, "2026-01-01T25:00:00Z"));
}

TEST(Cursor, ComparesByValue) {
  const auto decimal = [](const char* text) {
    return *CursorValue::parse(CursorKind::Decimal, text);
  };
  EXPECT_EQ(decimal("1.5"), decimal("1.50"));
  EXPECT_LT(decimal("-2"), decimal("1.50"));
  const auto at = [](const char* text) { return *CursorValue::parse(CursorKind::Timestamp, text); };
  EXPECT_LT(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00.000000001Z"));
  EXPECT_EQ(at("2026-01-01T00:00:00Z").minus(Millis(1)).to_string(), "2025-12-31T23:59:59.999Z");
  EXPECT_EQ(CursorValue::date(1).minus(Millis(1)).to_string(), "1970-01-01");
}

}  // namespace
}  // namespace tidegate::engine
