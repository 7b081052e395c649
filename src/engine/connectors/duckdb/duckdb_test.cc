#include "engine/connectors/duckdb/duckdb.h"

#include <arrow/type.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/connectors/duckdb/destination.h"
#include "engine/connectors/duckdb/duckdb_fixture.h"
#include "engine/connectors/duckdb/instance.h"

namespace tidegate::engine {
namespace {

using protocol::EntityOutcome;

TEST_F(Duckdb, ARoundTripKeepsTheSchemaAndEveryValue) {
  sql(in(),
      {"CREATE TABLE t (id INTEGER PRIMARY KEY, tiny TINYINT, u8 UTINYINT, u64 UBIGINT, big "
       "BIGINT, f FLOAT, d DOUBLE, m DECIMAL(38,10), s DECIMAL(4,1), name VARCHAR, ok BOOLEAN, "
       "born DATE, t TIME, stamp TIMESTAMP, ns TIMESTAMP_NS, seen TIMESTAMPTZ, doc JSON, data "
       "BLOB)",
       "INSERT INTO t VALUES (1, -128, 255, 18446744073709551615, -9223372036854775808, 0.1, "
       "1e300, 1234567890123456789012345678.0123456789, -123.4, 'naïve ' || chr(0) || '😀', true, "
       "'0001-01-01', '23:59:59.999999', '1900-01-01 00:00:00.000001', '2026-01-01 "
       "10:00:00.123456789', '2026-01-01 10:00:00.5+02:00', '{\"a\": 1}', '\\x00\\xFF'::BLOB)",
       "INSERT INTO t (id, name, d) VALUES (2, '', 'nan'), (3, NULL, '-inf')"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  const std::string columns =
      "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 't' ORDER BY "
      "column_index";
  EXPECT_EQ(look(columns), sql(in(), {}, columns));
  EXPECT_EQ(look("SELECT * FROM t ORDER BY id"), sql(in(), {}, "SELECT * FROM t ORDER BY id"));
  EXPECT_EQ(look("SELECT count(*) FROM t"), Texts{"3"});
}

TEST_F(Duckdb, TypesWithoutAFormOfTheirOwnAreCopiedAsTheirText) {
  sql(in(),
      {"CREATE TYPE mood AS ENUM ('sad', 'ok')",
       "CREATE TABLE t (h HUGEINT, u UUID, e mood, i INTERVAL, l DECIMAL(4,2)[], s STRUCT(a "
       "INTEGER, b VARCHAR), m MAP(VARCHAR, INTEGER))",
       "INSERT INTO t VALUES (-170141183460469231731687303715884105728, "
       "'7b1b8f40-0000-4000-8000-000000000001', 'ok', INTERVAL 3 DAY, [1.25, NULL], {'a': 1, 'b': "
       "'x'}, MAP {'k': 7})"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT h, u, e, i, l, s, m FROM t"),
            Texts{"-170141183460469231731687303715884105728|7b1b8f40-0000-4000-8000-"
                  "000000000001|ok|3 days|[1.25,null]|{\"a\":1,\"b\":\"x\"}|{\"k\":7}"});
  EXPECT_EQ(look("SELECT typeof(h), typeof(l), typeof(s) FROM t"), Texts{"VARCHAR|JSON|JSON"});
}

TEST_F(Duckdb, ValuesThatHaveNoPlaceElsewhereAreRejectedWithReasons) {
  sql(in(), {"CREATE TABLE t (id INTEGER, d DATE, stamp TIMESTAMP, t TIME)",
             "INSERT INTO t VALUES (1, '2026-01-01', '2026-01-01', '10:00'), (2, 'infinity', NULL, "
             "NULL), (3, NULL, '-infinity', NULL), (4, NULL, NULL, '24:00:00')"});
  request_.run.max_rejected = 3;
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT id FROM t"), Texts{"1"});
  EXPECT_EQ(look("SELECT locator, split_part(reason, ';', 1) FROM _tidegate_rejected ORDER BY id"),
            (Texts{"t row 2|column \"d\": infinity has no place elsewhere",
                   "t row 3|column \"stamp\": infinity has no place elsewhere",
                   "t row 4|column \"t\": 24:00:00 is no time of day elsewhere"}));
}

TEST_F(Duckdb, SchemasAndViewsAreEntitiesAndABrokenViewFailsAlone) {
  sql(in(), {"CREATE SCHEMA sales", "CREATE TABLE sales.orders (id INTEGER)",
             "INSERT INTO sales.orders VALUES (7)", "CREATE TABLE gone (id INTEGER)",
             "CREATE VIEW good AS SELECT id + 1 AS next FROM sales.orders",
             "CREATE VIEW broken AS SELECT * FROM gone", "DROP TABLE gone"});
  const auto r = answer();
  EXPECT_EQ(r.code, protocol::ExitCode::Configuration);
  EXPECT_NE(r.error.value_or("").find("gone"), std::string::npos) << r.error.value_or("");
  EXPECT_EQ(look("SELECT id FROM \"sales.orders\""), Texts{"7"});
  EXPECT_EQ(look("SELECT next FROM good"), Texts{"8"});
}

// Symptom: "Ambiguous reference": DuckDB names the database after the file.
TEST_F(Duckdb, ASchemaMayHaveTheNameOfTheFile) {
  sql(in(), {"CREATE SCHEMA \"in\"", "CREATE TABLE \"in\".\"in\".t (id INTEGER PRIMARY KEY)",
             "INSERT INTO \"in\".\"in\".t VALUES (7), (8)"});
  request_.run.entities["in.t"].where = "id > 7";
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT id FROM \"in.t\""), Texts{"8"});
}

TEST_F(Duckdb, WhatDuckdbAloneTakesForJsonIsRejected) {
  sql(in(),
      {"CREATE TABLE t (id INTEGER, l DOUBLE[], s STRUCT(a FLOAT), doc JSON)",
       "INSERT INTO t VALUES (1, [1.5, NULL], {'a': 0}, '{\"a\": [1e400]}'), (2, ['nan'], NULL, "
       "NULL), (3, NULL, {'a': '-inf'}, NULL), (4, NULL, NULL, '[1, NaN]'), (5, NULL, NULL, "
       "NULL)"});
  request_.run.max_rejected = 3;
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT id FROM t ORDER BY id"), (Texts{"1", "5"}));
  EXPECT_EQ(look("SELECT locator, split_part(reason, ' (', 1) FROM _tidegate_rejected ORDER BY id"),
            (Texts{"t row 2|column \"l\": the value is not valid JSON",
                   "t row 3|column \"s\": the value is not valid JSON",
                   "t row 4|column \"doc\": the value is not valid JSON"}));
}

// Symptom: the NUL ended the statement, and DuckDB refused the rest.
TEST_F(Duckdb, ATextCursorMayHoldNul) {
  sql(in(), {"CREATE TABLE t (k VARCHAR)", "INSERT INTO t VALUES ('a' || chr(0) || 'b')"});
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"] = {.cursor = "k", .primary_key = {"k"}};
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(in(), {"INSERT INTO t VALUES ('b')"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT length(k) FROM t ORDER BY k"), (Texts{"3", "1"}));
}

// Symptom: every later run was told that a newer attempt holds the entity.
TEST_F(Duckdb, ATableOfTidegatesThatWasDroppedIsMadeAgain) {
  sql(in(), {"CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1)"});
  for (const char* table : {"_tidegate_rejected", "_tidegate_tables", "_tidegate_meta"}) {
    ASSERT_EQ(answer().code, protocol::ExitCode::Done);
    sql(out(), {fmt::format("DROP TABLE {}", table), "DELETE FROM t"});
  }
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '_tidegate_%'"),
            Texts{"4"});
}

TEST_F(Duckdb, ViewsOfTheUserSurviveAFullLoadAndAWidenedColumn) {
  sql(in(), {"CREATE TABLE t (id INTEGER, v INTEGER)", "INSERT INTO t VALUES (1, 10), (2, 20)"});
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(out(), {"CREATE VIEW big AS SELECT id FROM t WHERE id > 1"});
  sql(in(), {"CREATE OR REPLACE TABLE t (id INTEGER, v VARCHAR, w DATE)",
             "INSERT INTO t VALUES (3, 'x', NULL)"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(r.entities[0].schema_changes.size(), 2U);
  EXPECT_EQ(r.entities[0].rows_deleted, 2);
  EXPECT_EQ(look("SELECT id FROM big"), Texts{"3"});
  EXPECT_EQ(look("SELECT * FROM t"), Texts{"3|x|∅"});
}

// DuckDB would lose all of this with the table.
TEST_F(Duckdb, ATableWithRulesOfTheUsersStaysAndItsRowsAreReplaced) {
  sql(in(), {"CREATE TABLE t (id INTEGER, v INTEGER)", "INSERT INTO t VALUES (1, 10), (2, 20)"});
  sql(out(), {"CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER NOT NULL, w INTEGER DEFAULT 5, x "
              "INTEGER GENERATED ALWAYS AS (v + 1))",
              "CREATE INDEX by_v ON t (v)", "COMMENT ON TABLE t IS 'mine'"});
  request_.run.entities["t"].primary_key = {"id"};
  for (int run = 0; run < 2; ++run) {
    const auto r = answer();
    ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
    EXPECT_EQ(look("SELECT * FROM t ORDER BY id"), (Texts{"1|10|5|11", "2|20|5|21"}));
  }
  EXPECT_EQ(look("SELECT count(*) FROM duckdb_indexes() WHERE index_name = 'by_v'"), Texts{"1"});
  EXPECT_EQ(look("SELECT comment FROM duckdb_tables() WHERE table_name = 't'"), Texts{"mine"});
  // Of two rows with one key one is kept, before the index can refuse it.
  sql(in(), {"INSERT INTO t VALUES (2, 21)"});
  auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT v FROM t WHERE id = 2"), Texts{"21"});
  // What the table takes no NULL for is told of its row.
  sql(in(), {"INSERT INTO t VALUES (3, NULL)"});
  r = answer();
  EXPECT_EQ(r.error_kind, "data");
  request_.run.max_rejected = 1;
  r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT locator, reason FROM _tidegate_rejected"),
            Texts{"t (id=3)|column \"v\" of the table takes no NULL"});
  sql(in(), {"ALTER TABLE t ADD COLUMN fresh INTEGER"});
  r = answer();
  EXPECT_EQ(r.error_kind, "configuration");
  EXPECT_NE(r.error.value_or("").find("by hand"), std::string::npos) << r.error.value_or("");
}

TEST_F(Duckdb, AConstraintThatRefusesARowFailsTheLoadAndChangesNothing) {
  sql(in(), {"CREATE TABLE t (id INTEGER, v INTEGER)", "INSERT INTO t VALUES (1, 10), (2, 200)"});
  sql(out(), {"CREATE TABLE t (id INTEGER, v INTEGER CHECK (v < 100))"});
  for (const auto mode : {protocol::SyncMode::Full, protocol::SyncMode::Incremental}) {
    request_.run.mode = mode;
    request_.run.entities["t"] = {.cursor = "id", .primary_key = {"id"}};
    const auto r = answer();
    EXPECT_EQ(r.error_kind, "data") << r.error.value_or("");
    EXPECT_NE(r.error.value_or("").find("CHECK"), std::string::npos) << r.error.value_or("");
    EXPECT_EQ(look("SELECT count(*) FROM t"), Texts{"0"});
  }
}

// Without an index nothing but this would tell.
TEST_F(Duckdb, AMergeIntoSeveralRowsOfOneKeyIsRefused) {
  sql(in(), {"CREATE TABLE t (id INTEGER, v INTEGER)", "INSERT INTO t VALUES (1, 10), (2, 20)"});
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"] = {.cursor = "v", .primary_key = {"id"}};
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(out(), {"INSERT INTO t VALUES (2, 20)"});
  sql(in(), {"UPDATE t SET v = 30 WHERE id = 2"});
  const auto r = answer();
  EXPECT_EQ(r.error_kind, "data");
  EXPECT_NE(r.error.value_or("").find("several rows of one key (id)"), std::string::npos);
  EXPECT_EQ(look("SELECT id, v FROM t ORDER BY ALL"), (Texts{"1|10", "2|20", "2|20"}));
}

TEST_F(Duckdb, AKeyThatIsTheWholeRowIsMetAndCounted) {
  sql(in(), {"CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1), (2)"});
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"] = {.cursor = "id", .primary_key = {"id"}};
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(in(), {"INSERT INTO t VALUES (2), (3)"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT id FROM t ORDER BY id"), (Texts{"1", "2", "3"}));
}

// Symptom: under NOCASE "a" comes before the bound "B", and its row was left out.
TEST_F(Duckdb, TextsAreComparedByteByByteWhateverTheirCollationIs) {
  sql(in(), {"CREATE TABLE t (k VARCHAR COLLATE NOCASE, v INTEGER)",
             "INSERT INTO t VALUES ('A', 1), ('B', 2)"});
  sql(out(), {"CREATE TABLE t (k VARCHAR COLLATE NOCASE, v INTEGER)"});
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"] = {.cursor = "k", .primary_key = {"k"}};
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(in(), {"INSERT INTO t VALUES ('a', 3)"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(look("SELECT k, v FROM t ORDER BY v"), (Texts{"A|1", "B|2", "a|3"}));
  request_.run.mode = protocol::SyncMode::Full;
  request_.run.reset_epoch = 1;
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  EXPECT_EQ(look("SELECT contains(sql, 'COLLATE') FROM duckdb_tables() WHERE table_name = 't'"),
            Texts{"true"});
}

TEST_F(Duckdb, AConditionIsAnExpressionAndSeesTheFileAlone) {
  sql(in(), {"CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1), (2), (3)"});
  std::ofstream(bench_.folder + "/secret.csv") << "a\n1\n";
  request_.run.entities["t"].where = "id >= 2 -- not the first";
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  EXPECT_EQ(look("SELECT id FROM t ORDER BY id"), (Texts{"2", "3"}));
  for (const std::string& where : std::vector<std::string>{
           "id > 1) OR (true", "id > 1 ORDER BY id", "",
           "id IN (SELECT a FROM read_csv('" + bench_.folder + "/secret.csv'))"}) {
    request_.run.entities["t"].where = where;
    request_.run.reset_epoch = 1;
    const auto r = answer();
    EXPECT_EQ(r.code, protocol::ExitCode::Configuration) << where;
    EXPECT_NE(r.error.value_or("").find("`where`"), std::string::npos) << r.error.value_or("");
  }
}

TEST_F(Duckdb, AFileThatIsNoneSaysSo) {
  std::ofstream(in()) << std::string(20'000, 'x');
  auto r = answer();
  EXPECT_EQ(r.code, protocol::ExitCode::Configuration);
  EXPECT_NE(r.error.value_or("").find("is not a DuckDB database"), std::string::npos)
      << r.error.value_or("");
  std::ofstream(out()) << std::string(20'000, 'x');
  std::filesystem::remove(in());
  sql(in(), {"CREATE TABLE t (id INTEGER)"});
  r = answer();
  EXPECT_NE(r.error.value_or("").find("is not a DuckDB database"), std::string::npos)
      << r.error.value_or("");
}

// Symptom: "Conversion Error", of no entity and with no remedy.
TEST_F(Duckdb, ARowThatAViewCannotGiveIsToldWithItsEntity) {
  sql(in(), {"CREATE VIEW v AS SELECT CAST(if(i = 5000, 'x', '1') AS INTEGER) AS n FROM "
             "range(9000) r(i)"});
  const auto r = answer();
  EXPECT_EQ(r.error_kind, "data");
  EXPECT_NE(r.error.value_or("").find("entity \"v\": a row cannot be read"), std::string::npos)
      << r.error.value_or("");
}

// Another process that has the file open, under the command line that it is given.
struct Holder {
  pid_t pid = 0;
  bool frozen = false;

  Holder(const std::string& path, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "tidegate-sync");
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    pid = fork();
    if (pid == 0) {
      setenv("TIDEGATE_TEST_HOLD_DUCKDB", path.c_str(), 1);
      execv("/proc/self/exe", argv.data());
      _exit(2);
    }
    int status = 0;
    frozen = waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
  }
  bool ended() const {
    int status = 0;
    return waitpid(pid, &status, WNOHANG) == pid && WIFSIGNALED(status);
  }
  ~Holder() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
};

[[gnu::constructor]] void hold_when_told() {
  const char* path = getenv("TIDEGATE_TEST_HOLD_DUCKDB");
  if (path == nullptr) return;
  SystemClock clock;
  SystemRng rng;
  const PathPolicy paths;
  const Context context{.clock = clock, .rng = rng, .paths = paths, .stop = {}};
  const auto db = duckdb::Db::open(path, duckdb::Open::Write, Millis(0), context);
  if (db) raise(SIGSTOP);
  _exit(db ? 0 : 1);
}

TEST_F(Duckdb, AnOlderAttemptThatHasTheFileIsEndedAndNobodyElse) {
  bench_.spec.fence = Fence(2);
  bench_.entity().schema = arrow::schema({arrow::field("id", arrow::int64())});
  bench_.entity().batches = {contract::batch_of(bench_.entity().schema, "[[1], [2]]")};
  const std::string job = bench_.spec.job;
  for (const auto& arguments :
       {std::vector<std::string>{"--job", job, "--run", "r", "--fence", "2"},
        {"--job", "another", "--run", "r", "--fence", "1"},
        {}}) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const Holder holder(out(), arguments);
    ASSERT_TRUE(holder.frozen);
    const auto checked = bench_.destination()->check();
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, Code::Unavailable);
    EXPECT_NE(checked.error().message.find("in use by another program"), std::string::npos);
    EXPECT_NE(checked.error().message.find(std::to_string(holder.pid)), std::string::npos);
    // Long enough for open() to look who holds it.
    duckdb::DuckdbDestination blocked(out(), context_, Millis(50));
    const auto opened = blocked.open({.job = job, .entity = "t", .run_id = {}, .fence = Fence(2)});
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().reason, duckdb::kFileInUse) << describe(opened.error());
    EXPECT_FALSE(holder.ended());
  }
  const Holder holder(out(), {"--job", job, "--run", "r", "--fence", "1"});
  ASSERT_TRUE(holder.frozen);
  const auto result = bench_.run();
  EXPECT_EQ(result.outcome, EntityOutcome::Succeeded) << result.error.value_or("");
  EXPECT_TRUE(holder.ended());
  EXPECT_EQ(bench_.stored(), bench_.expected());
}

}  // namespace
}  // namespace tidegate::engine
