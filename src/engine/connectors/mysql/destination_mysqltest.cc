// What is MySQL's own: values that it would bend, keys and collations, engines, both ways of
// writing.

#include "engine/connectors/mysql/destination.h"

#include <arrow/type.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/connectors/mysql/ledger.h"
#include "engine/connectors/mysql/mysql.h"
#include "engine/connectors/mysql/server_fixture.h"
#include "engine/contract/fixture.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mysql {
namespace {

using contract::batch_of;
using protocol::EntityOutcome;
using protocol::SyncMode;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

boost::json::object in_database(const std::string& folder) {
  return config_of(database_of(folder));
}
void tidy(const std::string& folder) { drop_database(database_of(folder)); }

class MysqlDestinationTest : public ::testing::Test {
 protected:
  MysqlDestinationTest() : db_(console(database_of(bench_.folder))) {
    bench_.spec.mode = SyncMode::Full;
    schema({arrow::field("id", arrow::int64()), arrow::field("name", arrow::utf8())});
    bench_.entity().primary_key = {"id"};
  }

  void schema(arrow::FieldVector fields) { bench_.entity().schema = arrow::schema(fields); }
  // One run.
  const protocol::EntityResult& load(const std::string& rows) {
    bench_.entity().batches = {batch_of(bench_.entity().schema, rows)};
    bench_.spec.fence = Fence(value(bench_.spec.fence) + 1);
    last_ = bench_.run();
    bench_.remember();
    return last_;
  }
  void merges() {
    bench_.spec.mode = SyncMode::Incremental;
    bench_.spec.entities["t"] = {.cursor = "id", .primary_key = bench_.entity().primary_key};
  }
  void sql(const std::string& text) { run(*db_, text); }
  std::vector<std::string> ask(const std::string& query) {
    const auto rows = db_->query(query);
    if (!rows) throw std::runtime_error(describe(rows.error()));
    std::vector<std::string> out;
    for (int i = 0; i < rows->size(); ++i) out.push_back(rows->text(i, 0));
    return out;
  }
  std::string error() const { return last_.error.value_or(""); }
  bool done() const { return last_.outcome == EntityOutcome::Succeeded; }

  contract::Bench bench_{{.name = "mysql",
                          .connector = &mysql_connector,
                          .config = &in_database,
                          .reader = &mysql_connector,
                          .reader_config = &in_database,
                          .rejected = nullptr,
                          .tidy = &tidy}};
  std::unique_ptr<Connection> db_;
  protocol::EntityResult last_;
};

// Each way of writing, LOAD DATA and INSERT, puts the same into the table.
TEST_F(MysqlDestinationTest, BothWaysOfWritingKeepEveryValue) {
  schema({arrow::field("id", arrow::int64()), arrow::field("s", arrow::utf8()),
          arrow::field("b", arrow::binary()), arrow::field("f", arrow::float32()),
          arrow::field("d", arrow::float64()),
          arrow::field("at", arrow::time64(arrow::TimeUnit::MICRO)),
          arrow::field("ms", arrow::timestamp(arrow::TimeUnit::MILLI)),
          arrow::field("dec", arrow::decimal128(5, 5)), arrow::field("ok", arrow::boolean())});
  const char* rows = R"([
    [1, "tab\tline\nreturn\rslash\\quote'double\"zero\u0000\u001a end ", "", 0.1, 5e-324, 86399999999, -1, "-0.00001", true],
    [2, "\\N", "\\N", 16777215, 1.7976931348623157e308, 0, 253402300799999, "0.99999", false],
    [3, "NULL", "a,b", -1.5, -0.1, 1, -62135596800000, "0.00000", null],
    [4, "", null, null, null, null, null, null, null]])";
  for (const char* loads : {"1", "0"}) {
    run(*console(), std::string("SET GLOBAL local_infile = ") + loads);
    load(rows);
    run(*console(), "SET GLOBAL local_infile = 1");
    ASSERT_TRUE(done()) << error();
    EXPECT_EQ(bench_.stored(), bench_.expected()) << loads;
    EXPECT_THAT(ask("SELECT count(*) FROM t WHERE id = 1 AND s = concat('tab\\tline\\nreturn\\r"
                    "slash\\\\quote\\'double\"zero', char(0), char(26), ' end ')"),
                ElementsAre("1"));
  }
}

// Symptom elsewhere: NaN becomes 0, a year of five digits 0000, nanoseconds vanish.
TEST_F(MysqlDestinationTest, ValuesThatItCannotHoldAreRejectedAndNeverBent) {
  schema({arrow::field("id", arrow::int64()), arrow::field("d", arrow::float64()),
          arrow::field("day", arrow::date32()),
          arrow::field("ns", arrow::timestamp(arrow::TimeUnit::NANO)),
          mark_json(arrow::field("doc", arrow::utf8()))});
  bench_.spec.max_rejected = 5;
  load(R"([[1, NaN, 0, 0, "1"], [2, Inf, 0, 0, "1"], [3, 0, 2932897, 0, "1"], [4, 0, 0, 1, "1"],
           [5, 0, 0, 1000, "{\"a\""], [6, 0.5, 2932896, 1000, "[1]"]])");
  ASSERT_TRUE(done()) << error();
  EXPECT_EQ(last_.rows_rejected, 5);
  EXPECT_THAT(ask("SELECT id FROM t"), ElementsAre("6"));
  EXPECT_THAT(ask("SELECT reason FROM _tidegate_rejected ORDER BY locator"),
              ElementsAre(HasSubstr("\"d\": nan is no number"), HasSubstr("\"d\": inf"),
                          HasSubstr("\"day\": is a date outside"), HasSubstr("nanoseconds"),
                          HasSubstr("doc")));
}

// Symptom elsewhere: of "a" and "A", or "a" and "a ", one is gone.
TEST_F(MysqlDestinationTest, KeysThatDifferInCaseOrBlanksAreTwo) {
  schema({arrow::field("id", arrow::int64()), arrow::field("k", arrow::utf8())});
  bench_.entity().primary_key = {"k"};
  merges();
  load(R"([[1, "a"], [2, "A"], [3, "a "], [4, "ä"], [5, ""]])");
  ASSERT_TRUE(done()) << error();
  load(R"([[6, "a"], [7, "A"], [8, "a "], [9, "b"]])");
  ASSERT_TRUE(done()) << error();
  EXPECT_EQ(last_.rows_updated, 3);
  EXPECT_THAT(ask("SELECT concat(id, k, '.') FROM t ORDER BY id"),
              ElementsAre("4ä.", "5.", "6a.", "7A.", "8a .", "9b."));
}

TEST_F(MysqlDestinationTest, AMergeIntoAKeyThatTellsNoCaseIsRefused) {
  schema({arrow::field("id", arrow::int64()), arrow::field("k", arrow::utf8())});
  bench_.entity().primary_key = {"k"};
  merges();
  sql("CREATE TABLE t (id bigint, k varchar(50) COLLATE utf8mb4_general_ci PRIMARY KEY)");
  load(R"([[1, "a"]])");
  ASSERT_TRUE(done()) << error();
  load(R"([[2, "A"]])");
  EXPECT_THAT(error(), AllOf(HasSubstr("\"k\""), HasSubstr("COLLATE")));
  EXPECT_THAT(ask("SELECT id FROM t"), ElementsAre("1"));
}

// Symptom elsewhere: ON DUPLICATE KEY UPDATE replaced a row of another key, by a unique index.
TEST_F(MysqlDestinationTest, AMergeNeverReplacesARowOfAnotherKey) {
  merges();
  load(R"([[1, "a"], [2, "b"]])");
  ASSERT_TRUE(done()) << error();
  sql("ALTER TABLE t MODIFY name varchar(50), ADD UNIQUE KEY (name)");
  sql("ALTER TABLE t MODIFY name longtext, DROP KEY name, ADD UNIQUE KEY (name(50))");
  bench_.spec.max_rejected = 1;
  load(R"([[3, "a"], [4, "d"]])");
  ASSERT_TRUE(done()) << error();
  EXPECT_EQ(last_.rows_rejected, 1);
  EXPECT_EQ(last_.rows_written, 1);
  EXPECT_THAT(ask("SELECT concat(id, name) FROM t ORDER BY id"), ElementsAre("1a", "2b", "4d"));
}

TEST_F(MysqlDestinationTest, AFullLoadWithAnotherKeyPutsItBehindTheRows) {
  load(R"([[1, "a"], [2, "a"], [3, null]])");
  ASSERT_TRUE(done()) << error();
  bench_.spec.entities["t"].primary_key = {"name"};
  load(R"([[1, "a"], [2, "b"]])");
  ASSERT_TRUE(done()) << error();
  EXPECT_EQ(bench_.stored(), bench_.expected());
  EXPECT_THAT(ask("SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = "
                  "DATABASE() AND TABLE_NAME = 't'"),
              ElementsAre("name"));
}

TEST_F(MysqlDestinationTest, ATextThatIsTooLongForAKeyIsRejected) {
  schema({arrow::field("id", arrow::int64()), arrow::field("k", arrow::utf8())});
  bench_.entity().primary_key = {"k"};
  bench_.spec.max_rejected = 1;
  load("[[1, \"" + std::string(768, 'x') + "\"], [2, \"" + std::string(769, 'x') + "\"]]");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT id FROM t"), ElementsAre("1"));
  EXPECT_THAT(ask("SELECT reason FROM _tidegate_rejected"),
              ElementsAre(AllOf(HasSubstr("768 characters"), HasSubstr("another key"))));
}

// Symptom elsewhere: a run that failed had half of its rows in a table of MyISAM.
TEST_F(MysqlDestinationTest, ATableWithoutTransactionsIsRefused) {
  sql("CREATE TABLE t (id bigint, name longtext) ENGINE = MyISAM");
  load(R"([[1, "a"]])");
  EXPECT_EQ(last_.error_kind, "configuration");
  EXPECT_THAT(error(), AllOf(HasSubstr("MyISAM"), HasSubstr("ENGINE = InnoDB")));
}

TEST_F(MysqlDestinationTest, ATableThatForeignKeysReferToIsNotReplaced) {
  load(R"([[1, "a"]])");
  sql("CREATE TABLE child (id bigint, FOREIGN KEY (id) REFERENCES t (id) ON DELETE CASCADE)");
  sql("INSERT INTO child VALUES (1)");
  load(R"([[2, "b"]])");
  EXPECT_THAT(error(), AllOf(HasSubstr("foreign keys of child"), HasSubstr("--incremental")));
  EXPECT_THAT(ask("SELECT id FROM child"), ElementsAre("1"));
}

// MySQL rounds them without a word, also in strict mode.
TEST_F(MysqlDestinationTest, AColumnThatWouldRoundIsWidened) {
  sql("CREATE TABLE t (id bigint PRIMARY KEY, at datetime, ts timestamp(3) NULL, n decimal(6,1))");
  schema({arrow::field("id", arrow::int64()), arrow::field("n", arrow::decimal128(6, 2))});
  load(R"([[1, "1.25"]])");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT n FROM t"), ElementsAre("1.25"));
  const auto time = arrow::timestamp(arrow::TimeUnit::MICRO);
  schema({arrow::field("id", arrow::int64()), arrow::field("at", time), arrow::field("ts", time)});
  load("[[1, 1500001, 90000000001]]");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT at FROM t"), ElementsAre("1970-01-01 00:00:01.500001"));
  EXPECT_THAT(ask("SELECT ts FROM t"), ElementsAre("1970-01-02 01:00:00.000001"));
  EXPECT_THAT(ask("SELECT column_type FROM information_schema.columns WHERE table_schema = "
                  "DATABASE() AND table_name = 't' AND column_name = 'ts'"),
              ElementsAre("timestamp(6)"));
}

// Symptom: "Out of range value", for its shortest text is above it.
TEST_F(MysqlDestinationTest, TheLargestFloatIsHeld) {
  schema({arrow::field("id", arrow::int64()), arrow::field("f", arrow::float32())});
  load("[[1, 3.4028234663852886e38], [2, -3.4028234663852886e38]]");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT count(*) FROM t WHERE abs(f) = 3.4028234663852886e38"), ElementsAre("2"));
}

TEST_F(MysqlDestinationTest, ARowLongerThanTheServerTakesIsRejected) {
  bench_.spec.max_rejected = 1;
  load("[[1, \"" + std::string(16 << 20, 'x') + "\"], [2, \"b\"]]");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT id FROM t"), ElementsAre("2"));
  EXPECT_THAT(ask("SELECT reason FROM _tidegate_rejected"),
              ElementsAre(HasSubstr("max_allowed_packet")));
}

// Symptom elsewhere: a trigger's own number was taken for a lost connection, run after run.
TEST_F(MysqlDestinationTest, ARowThatATriggerRefusesWithItsOwnNumberIsRejected) {
  load(R"([[1, "a"]])");
  sql("CREATE TRIGGER no_b BEFORE INSERT ON t FOR EACH ROW IF NEW.name = 'b' THEN SIGNAL SQLSTATE "
      "'45000' SET MYSQL_ERRNO = 50001, MESSAGE_TEXT = 'no b here'; END IF");
  bench_.spec.max_rejected = 1;
  load(R"([[1, "a"], [2, "b"]])");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT id FROM t"), ElementsAre("1"));
  EXPECT_THAT(ask("SELECT reason FROM _tidegate_rejected"), ElementsAre(HasSubstr("no b here")));
}

// Symptom elsewhere: three long rows that a constraint refused failed each attempt, as transient.
TEST_F(MysqlDestinationTest, LongRowsThatAreRejectedAreKeptCut) {
  load(R"([[4, "a"]])");
  sql("ALTER TABLE t ADD CHECK (id > 3)");
  bench_.spec.max_rejected = 3;
  const std::string text(6 << 20, '\'');
  std::string rows = "[[4, \"b\"]";
  for (const char* id : {"1", "2", "3"}) rows += fmt::format(", [{}, \"{}\"]", id, text);
  load(rows + "]");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT id FROM t"), ElementsAre("4"));
  EXPECT_THAT(ask("SELECT length(`row`) FROM _tidegate_rejected"),
              ElementsAre("4096", "4096", "4096"));
}

// Many of them: none is lost where one statement ends.
TEST_F(MysqlDestinationTest, RejectedRowsOfManyStatementsAreAllKept) {
  load(R"([[-1, "a"]])");
  sql("ALTER TABLE t ADD CHECK (id < 0)");
  bench_.spec.max_rejected = 400;
  const std::string text(5000, 'x');
  std::string rows = "[[-1, \"b\"]";
  for (int id = 0; id < 400; ++id) rows += fmt::format(", [{}, \"{}\"]", id, text);
  load(rows + "]");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT count(DISTINCT locator) FROM _tidegate_rejected"), ElementsAre("400"));
}

// Symptom elsewhere: NULL became the time of the load, or the next number.
TEST_F(MysqlDestinationTest, ANullThatTheServerWouldFillIsRejected) {
  for (const char* loads : {"1", "0"}) {
    sql("CREATE OR REPLACE TABLE t (n bigint NOT NULL AUTO_INCREMENT UNIQUE, at timestamp(6) NOT "
        "NULL, free timestamp(6) NULL)");
    schema({arrow::field("n", arrow::int64()),
            arrow::field("at", arrow::timestamp(arrow::TimeUnit::MICRO)),
            arrow::field("free", arrow::timestamp(arrow::TimeUnit::MICRO))});
    bench_.entity().primary_key = {};
    bench_.spec.max_rejected = 2;
    run(*console(), std::string("SET GLOBAL local_infile = ") + loads);
    load("[[1, 1000000, null], [null, 1000000, null], [3, null, null]]");
    run(*console(), "SET GLOBAL local_infile = 1");
    ASSERT_TRUE(done()) << error();
    EXPECT_THAT(ask("SELECT n FROM t"), ElementsAre("1"));
    EXPECT_THAT(ask("SELECT reason FROM _tidegate_rejected ORDER BY id"),
                ElementsAre(HasSubstr("\"n\": is NULL"), HasSubstr("\"at\": is NULL")));
  }
}

// Symptom elsewhere: a change of the key that failed once was refused for ever: "not Tidegate's".
TEST_F(MysqlDestinationTest, AKeyWhoseChangeFailedIsStillTidegates) {
  load(R"([[1, "a"]])");
  sql("ALTER TABLE t MODIFY id bigint NOT NULL AUTO_INCREMENT");
  bench_.spec.entities["t"].primary_key = {"name"};
  load(R"([[2, "b"]])");
  EXPECT_THAT(error(), HasSubstr("auto column"));
  sql("ALTER TABLE t MODIFY id bigint NOT NULL");
  load(R"([[2, "b"]])");
  ASSERT_TRUE(done()) << error();
  EXPECT_THAT(ask("SELECT own_key FROM _tidegate_tables"), ElementsAre("[\"name\"]"));
}

// Symptom elsewhere: a process that was ended between the tables and the id left none, for ever.
TEST_F(MysqlDestinationTest, AnIdThatWasNeverGivenIsGivenLater) {
  SystemClock clock;
  SystemRng rng;
  Ledger ledger(*db_);
  ASSERT_TRUE(ledger.create_tables(clock, rng));
  sql("DELETE FROM _tidegate_meta");
  ASSERT_TRUE(ledger.create_tables(clock, rng));
  const auto id = ledger.destination_id();
  ASSERT_TRUE(id && !id->empty());
  ASSERT_TRUE(ledger.create_tables(clock, rng));
  EXPECT_EQ(ledger.destination_id(), *id);
}

// With LOCAL the server bends what does not fit and only warns.
TEST_F(MysqlDestinationTest, AWarningOfTheServerFailsALoad) {
  sql("CREATE TABLE narrow (n tinyint)");
  EXPECT_TRUE(db_->load("LOAD DATA LOCAL INFILE '' INTO TABLE narrow", "1\n2\n"));
  const auto bent = db_->load("LOAD DATA LOCAL INFILE '' INTO TABLE narrow", "300\n");
  ASSERT_FALSE(bent);
  EXPECT_THAT(bent.error().message, HasSubstr("Out of range"));
}

// Two processes with one fence: who claimed first writes nothing more, also where no state is
// stored.
TEST_F(MysqlDestinationTest, OfTwoWritersOfOneFenceTheLaterWrites) {
  load(R"([[1, "a"]])");
  const WritePlan plan{
      .job = "job-1", .entity = "t", .run_id = RunId("run-2"), .attempt = 1, .fence = Fence(9)};
  const auto first = bench_.destination(), second = bench_.destination();
  const auto old = first->open(plan);
  ASSERT_TRUE(old) << describe(old.error());
  ASSERT_TRUE((*old)->begin(
      {.kind = LoadKind::Append, .schema = bench_.entity().schema, .key = {}, .cursor = {}}));
  ASSERT_TRUE(second->open(plan));
  const auto flushed = (*old)->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, Code::Fenced) << describe(flushed.error());
}

// A job that lost its table must change nothing of it any more, though DDL has no fence.
TEST_F(MysqlDestinationTest, ATakeOverEndsTheOwnersConnection) {
  load(R"([[1, "a"]])");
  const auto old_destination = bench_.destination();
  const auto old = old_destination->open(
      {.job = "job-1", .entity = "t", .run_id = RunId("run-2"), .attempt = 1, .fence = Fence(9)});
  ASSERT_TRUE(old) << describe(old.error());
  ASSERT_TRUE((*old)->begin({.kind = LoadKind::Append,
                             .schema = arrow::schema({arrow::field("extra", arrow::int64())}),
                             .key = {},
                             .cursor = {}}));
  const auto destination = bench_.destination();
  ASSERT_TRUE(destination->open({.job = "job-2",
                                 .entity = "t",
                                 .run_id = RunId("run-3"),
                                 .attempt = 1,
                                 .fence = Fence(1),
                                 .take_over = true}));
  EXPECT_FALSE((*old)->flush());
  EXPECT_THAT(ask("SELECT count(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
                  "AND TABLE_NAME = 't' AND COLUMN_NAME = 'extra'"),
              ElementsAre("0"));
}

}  // namespace
}  // namespace tidegate::engine::mysql
