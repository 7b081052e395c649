// How values keep their meaning in a table of SQLite: affinities, widened types, keys, order.

#include <arrow/array/array_binary.h>
#include <arrow/buffer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include "engine/connectors/sqlite/encoder.h"
#include "engine/connectors/sqlite/functions.h"
#include "engine/connectors/sqlite/sqlite_fixture.h"
#include "engine/core/schema.h"

namespace tidegate::engine {
namespace {

using contract::batch_of;
using protocol::EntityOutcome;
using protocol::SyncMode;

class SqliteValues : public testing::Test {
 protected:
  // One run that reads exactly these rows.
  protocol::EntityResult load(const arrow::FieldVector& fields, const std::string& rows) {
    auto& e = bench_.entity();
    e.schema = arrow::schema(fields);
    e.batches = {batch_of(e.schema, rows)};
    bench_.spec.run_id = RunId(fmt::format("run-{}", ++runs_));
    return bench_.run();
  }
  void merge_by(const std::string& key, const std::string& cursor) {
    bench_.spec.mode = SyncMode::Incremental;
    bench_.spec.entities["t"].primary_key = {key};
    bench_.spec.entities["t"].cursor = cursor;
  }
  Texts out(const std::string& query) { return sql(bench_.folder + "/out.db", query); }

  contract::Bench bench_{sqlite_under_test()};
  int runs_ = 0;
};

std::shared_ptr<arrow::Field> text(const char* name) { return arrow::field(name, arrow::utf8()); }
std::shared_ptr<arrow::Field> whole(const char* name) { return arrow::field(name, arrow::int64()); }
std::shared_ptr<arrow::Field> real(const char* name) {
  return arrow::field(name, arrow::float64());
}
std::shared_ptr<arrow::Field> decimal(const char* name, int precision, int scale) {
  return arrow::field(name, arrow::decimal128(precision, scale));
}
std::shared_ptr<arrow::Field> nothing(const char* name) {
  return arrow::field(name, arrow::null());
}

// Seen here: 007 landed as 7, 123456789012345678.91 as 123456789012345680 and 1e5 as 100000 in a
// table that the user had made.
TEST_F(SqliteValues, ATableOfNumericColumnsKeepsTextsAndLongDecimals) {
  out("CREATE TABLE t(code STRING, amt DECIMAL(20,2), doc JSON, price DECIMAL(10,2), t TEXT)");
  const arrow::FieldVector fields = {text("code"), decimal("amt", 20, 2), mark_json(text("doc")),
                                     decimal("price", 10, 2), text("t")};
  const char* rows = R"([["007", "123456789012345678.91", "1e5", "1.50", "1e5"]])";
  const auto r = load(fields, rows);
  EXPECT_EQ(r.error, std::nullopt);
  EXPECT_EQ(out("SELECT code, amt, doc, price, t FROM t"),
            Texts{"007|123456789012345678.91|1e5|1.5|1e5"});
  // What is not altered keeps its type, and the second load changes nothing more.
  EXPECT_EQ(out("SELECT type FROM pragma_table_info('t')"),
            (Texts{"TEXT", "DECIMAL_TEXT(20,2)", "JSON_TEXT", "DECIMAL(10,2)", "TEXT"}));
  EXPECT_EQ(r.schema_changes.size(), 3U);
  EXPECT_TRUE(load(fields, rows).schema_changes.empty());
}

TEST_F(SqliteValues, ANumericColumnThatMayNotChangeIsRefusedByName) {
  out("CREATE TABLE t(code STRING)");
  for (const auto mode : {protocol::SchemaChange::Fail, protocol::SchemaChange::Ignore}) {
    bench_.spec.schema_change = mode;
    const std::string error = load({text("code")}, R"([["007"]])").error.value_or("");
    EXPECT_NE(error.find("\"code\" is declared STRING"), std::string::npos) << error;
    EXPECT_NE(error.find("declare it TEXT"), std::string::npos) << error;
  }
  bench_.spec.schema_change = protocol::SchemaChange::Evolve;
  out("DROP TABLE t; CREATE TABLE t(code STRING NOT NULL)");
  const std::string error = load({text("code")}, R"([["007"]])").error.value_or("");
  EXPECT_NE(error.find("declare it TEXT by hand"), std::string::npos) << error;
  EXPECT_EQ(load({whole("code")}, "[[7]]").error, std::nullopt);
  // A STRICT table's ANY changes nothing.
  out("DROP TABLE t; CREATE TABLE t(code ANY) STRICT");
  EXPECT_EQ(load({text("code")}, R"([["007"]])").error, std::nullopt);
  EXPECT_EQ(out("SELECT code FROM t"), Texts{"007"});
}

TEST_F(SqliteValues, RowsOfANumericColumnAreKeptWhenItBecomesText) {
  bench_.spec.mode = SyncMode::IncrementalAppend;
  bench_.spec.entities["t"].cursor = "id";
  out("CREATE TABLE t(id INTEGER, v NUMERIC)");
  EXPECT_EQ(load({whole("id"), real("v")}, "[[1, 0.1], [2, 3]]").error, std::nullopt);
  EXPECT_EQ(load({whole("id"), text("v")}, R"([[3, "007"]])").error, std::nullopt);
  EXPECT_EQ(out("SELECT v, typeof(v) FROM t ORDER BY id"),
            (Texts{"0.1|text", "3|text", "007|text"}));
}

// Seen here: of {10.2, 9.5} the row with 9.5 won, because their texts were compared.
TEST_F(SqliteValues, TheGreaterCursorWinsByItsValue) {
  const arrow::FieldVector fields = {whole("id"), text("v"), decimal("ver", 10, 2)};
  const char* rows =
      R"([[1, "new", "10.20"], [1, "old", "9.50"], [2, "new", "-1.00"], [2, "old", "-10.00"]])";
  for (const auto mode : {SyncMode::Full, SyncMode::Incremental}) {
    out("DROP TABLE IF EXISTS t");
    merge_by("id", "ver");
    bench_.spec.mode = mode;
    EXPECT_EQ(load(fields, rows).error, std::nullopt);
    EXPECT_EQ(out("SELECT id, v, ver FROM t ORDER BY id"), (Texts{"1|new|10.20", "2|new|-1.00"}));
  }
  // The same in a column that became text meanwhile.
  out("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, ver TEXT COLLATE NOCASE)");
  for (const auto mode : {SyncMode::Full, SyncMode::Incremental}) {
    bench_.spec.mode = mode;
    EXPECT_EQ(
        load({whole("id"), text("v"), whole("ver")}, R"([[1, "new", 10], [1, "old", 9]])").error,
        std::nullopt);
    EXPECT_EQ(out("SELECT v, ver FROM t WHERE id = 1"), Texts{"new|10"});
  }
}

// Symptom: "string or blob too big", of no row. The bytes are not there: nobody is to look at them.
TEST(SqliteEncoder, ARowBeyondSqlitesLimitIsToldWithItsLongestColumn) {
  const auto column = [](std::vector<std::int32_t> offsets) {
    auto buffer = arrow::Buffer::FromVector(std::move(offsets));
    return std::make_shared<arrow::BinaryArray>(2, std::move(buffer),
                                                std::make_shared<arrow::Buffer>("x"));
  };
  const arrow::Field field("", arrow::binary());
  for (const std::int32_t first : {999'999'900, 500'000'000}) {
    std::vector<sqlite::Encoder> encoders;
    for (const auto& array :
         {column({0, first, first + 1}), column({0, 499'999'900, 499'999'901})}) {
      auto e = sqlite::Encoder::make(field, {sqlite::Kind::Bytes});
      ASSERT_TRUE(e && e->attach(array));
      encoders.push_back(*e);
    }
    const auto refused = sqlite::unstorable(encoders, {"a", "b"}, 2);
    ASSERT_EQ(refused.size(), first > 500'000'000 ? 1U : 0U);
    if (refused.empty()) continue;
    EXPECT_EQ(refused.front().first, 0);
    EXPECT_NE(refused.front().second.find("column \"a\": the value has 999999900 bytes"),
              std::string::npos);
  }
}

TEST(SqliteNumbers, AreComparedByValue) {
  const char* const ascending[] = {"-inf",
                                   "-1e20",
                                   "-10.5",
                                   "-10",
                                   "-9.5",
                                   "-0.1",
                                   "0",
                                   "0.09",
                                   "0.1",
                                   "9.5",
                                   "10",
                                   "10.2",
                                   "99999999999999999999",
                                   "100000000000000000000.1",
                                   "1e300",
                                   "inf"};
  for (std::size_t i = 0; i < std::size(ascending); ++i) {
    for (std::size_t j = 0; j < std::size(ascending); ++j) {
      const int order = sqlite::compare_numbers(ascending[i], ascending[j]);
      EXPECT_EQ(order < 0, i < j) << ascending[i] << " and " << ascending[j];
      EXPECT_EQ(order > 0, i > j) << ascending[i] << " and " << ascending[j];
    }
  }
  EXPECT_EQ(sqlite::compare_numbers("1.50", "01.5"), 0);
  EXPECT_EQ(sqlite::compare_numbers("-0.0", "0"), 0);
}

// Seen here: the key 1.5 of DECIMAL(6,2) came again as DECIMAL(8,3) and stood there twice.
TEST_F(SqliteValues, AKeyOfDecimalsMeetsItsRowAfterItsTypeChanged) {
  merge_by("k", "at");
  EXPECT_EQ(load({decimal("k", 6, 2), text("v"), whole("at")}, R"([["1.50", "a", 1]])").error,
            std::nullopt);
  EXPECT_EQ(load({decimal("k", 8, 3), text("v"), whole("at")}, R"([["1.500", "b", 2]])").error,
            std::nullopt);
  EXPECT_EQ(out("SELECT k, v FROM t"), Texts{"1.500|b"});
  EXPECT_EQ(load({decimal("k", 6, 2), text("v"), whole("at")}, R"([["1.50", "c", 3]])").error,
            std::nullopt);
  EXPECT_EQ(out("SELECT k, v FROM t"), Texts{"1.500|c"});
  EXPECT_EQ(load({whole("k"), text("v"), whole("at")}, R"([[2, "d", 4]])").error, std::nullopt);
  EXPECT_EQ(load({decimal("k", 8, 3), text("v"), whole("at")}, R"([["2.000", "e", 5]])").error,
            std::nullopt);
  EXPECT_EQ(out("SELECT k, v FROM t"), (Texts{"1.500|c", "2.000|e"}));
}

// Seen here: one column held 1 and false.
TEST_F(SqliteValues, TruthValuesThatBecomeTextAreAllWords) {
  bench_.spec.mode = SyncMode::IncrementalAppend;
  bench_.spec.entities["t"].cursor = "id";
  const auto flag = arrow::field("v", arrow::boolean());
  EXPECT_EQ(load({whole("id"), flag}, "[[1, true], [2, false]]").error, std::nullopt);
  EXPECT_EQ(load({whole("id"), text("v")}, R"([[3, "false"], [4, "maybe"]])").error, std::nullopt);
  EXPECT_EQ(load({whole("id"), flag}, "[[5, true]]").error, std::nullopt);
  EXPECT_EQ(out("SELECT v FROM t ORDER BY id"), (Texts{"true", "false", "false", "maybe", "true"}));
}

// Seen here: a column that was empty once turned INTEGER into TEXT for good; and the empty cells
// went into a column of text as ''.
TEST_F(SqliteValues, AColumnWithoutAnyValueChangesNothing) {
  EXPECT_EQ(load({whole("id"), whole("v"), text("s")}, R"([[1, 5, "a"]])").error, std::nullopt);
  const auto r = load({nothing("id"), nothing("v"), nothing("s"), nothing("fresh")},
                      "[[null, null, null, null]]");
  EXPECT_EQ(r.error, std::nullopt);
  EXPECT_EQ(r.schema_changes.size(), 1U);
  EXPECT_EQ(out("SELECT name, type FROM pragma_table_info('t')"),
            (Texts{"id|INTEGER", "v|INTEGER", "s|TEXT", "fresh|TEXT"}));
  EXPECT_EQ(out("SELECT id, v, s, fresh FROM t"), Texts{"∅|∅|∅|∅"});
  for (const auto mode : {protocol::SchemaChange::Fail, protocol::SchemaChange::Ignore}) {
    bench_.spec.schema_change = mode;
    EXPECT_EQ(
        load({whole("id"), nothing("v"), text("s"), text("fresh")}, R"([[1, null, "a", "b"]])")
            .error,
        std::nullopt);
  }
}

TEST_F(SqliteValues, AColumnThatIsTextForWantOfValuesTakesTheFirstType) {
  bench_.spec.mode = SyncMode::IncrementalAppend;
  bench_.spec.entities["t"].cursor = "id";
  EXPECT_EQ(load({whole("id"), nothing("v"), nothing("w")}, "[[1, null, null]]").error,
            std::nullopt);
  const auto r = load({whole("id"), whole("v"), text("w")}, R"([[2, 5, "a"]])");
  EXPECT_EQ(r.error, std::nullopt);
  ASSERT_EQ(r.schema_changes.size(), 1U);
  EXPECT_NE(r.schema_changes[0].find("was without any value"), std::string::npos);
  EXPECT_EQ(out("SELECT id, v, typeof(v), w FROM t ORDER BY id"),
            (Texts{"1|∅|null|∅", "2|5|integer|a"}));
  // A text column of the user's stays one, and so does one with a value.
  EXPECT_EQ(load({whole("id"), whole("v"), whole("w")}, "[[3, 6, 7]]").error, std::nullopt);
  EXPECT_EQ(out("SELECT typeof(w) FROM t WHERE id = 3"), Texts{"text"});
  bench_.spec.take_over = true;
  bench_.spec.job = "job-2";
  out("DROP TABLE t; CREATE TABLE t (id INTEGER, v TEXT)");
  EXPECT_EQ(load({whole("id"), whole("v")}, "[[1, 5]]").error, std::nullopt);
  EXPECT_EQ(out("SELECT typeof(v) FROM t"), Texts{"text"});
}

// Seen here: abc beside "def" with its quotes, and no word about it.
TEST_F(SqliteValues, JsonInAColumnOfTextIsWrittenAsText) {
  bench_.spec.mode = SyncMode::IncrementalAppend;
  bench_.spec.entities["t"].cursor = "id";
  EXPECT_EQ(load({whole("id"), text("v")}, R"([[1, "abc"]])").error, std::nullopt);
  const auto r = load({whole("id"), mark_json(text("v"))},
                      R"([[2, "\"d\\u00e9f\\n\""], [3, "5"], [4, "{\"a\":\"b\"}"]])");
  EXPECT_EQ(r.error, std::nullopt);
  ASSERT_EQ(r.schema_changes.size(), 1U);
  EXPECT_NE(r.schema_changes[0].find("\"v\" is text and gets JSON"), std::string::npos);
  EXPECT_EQ(out("SELECT v FROM t ORDER BY id"), (Texts{"abc", "déf\n", "5", R"({"a":"b"})"}));
}

TEST_F(SqliteValues, JsonThatBecomesTextLosesItsQuotes) {
  bench_.spec.mode = SyncMode::IncrementalAppend;
  bench_.spec.entities["t"].cursor = "id";
  EXPECT_EQ(load({whole("id"), mark_json(text("v"))}, R"([[1, "\"abc\""], [2, "5"]])").error,
            std::nullopt);
  EXPECT_EQ(load({whole("id"), text("v")}, R"([[3, "def"]])").error, std::nullopt);
  EXPECT_EQ(out("SELECT v FROM t ORDER BY id"), (Texts{"abc", "5", "def"}));
}

// Seen here: "First: : column "f": the value does not fit the column, which is number", for every
// full load from then on.
TEST_F(SqliteValues, AFullLoadIsNotBoundByTheTypeOfTheRowsItReplaces) {
  EXPECT_EQ(load({whole("id"), real("f"), arrow::field("b", arrow::binary())}, R"([[1, 0.5, "x"]])")
                .error,
            std::nullopt);
  const auto r = load({whole("id"), whole("f"), text("b")}, R"([[2, 9007199254740993, "y"]])");
  EXPECT_EQ(r.error, std::nullopt);
  EXPECT_EQ(r.schema_changes.size(), 2U);
  EXPECT_EQ(out("SELECT f, b FROM t"), Texts{"9007199254740993|y"});
}

TEST_F(SqliteValues, AValueThatDoesNotFitIsShownWithItsPlaceAndARemedy) {
  merge_by("id", "at");
  EXPECT_EQ(load({whole("id"), real("f"), whole("at")}, "[[1, 0.5, 1]]").error, std::nullopt);
  const auto r = load({whole("id"), whole("f"), whole("at")}, "[[2, 9007199254740993, 2]]");
  EXPECT_EQ(r.outcome, EntityOutcome::Failed);
  const std::string error = r.error.value_or("");
  for (const char* part : {"First: t (id=2): column \"f\": 9007199254740993 does not fit",
                           "which is number", "by hand"}) {
    EXPECT_NE(error.find(part), std::string::npos) << error;
  }
  // The table of somebody else keeps its declaration, also in a full load.
  bench_.spec.mode = SyncMode::Full;
  bench_.spec.take_over = true;
  bench_.spec.job = "job-2";
  out("DROP TABLE t; CREATE TABLE t (id INTEGER, f REAL, at INTEGER)");
  EXPECT_EQ(load({whole("id"), whole("f"), whole("at")}, "[[2, 5, 2]]").error, std::nullopt);
  EXPECT_EQ(out("SELECT typeof(f) FROM t"), Texts{"real"});
}

}  // namespace
}  // namespace tidegate::engine
