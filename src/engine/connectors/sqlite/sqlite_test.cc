#include "engine/connectors/sqlite/sqlite.h"

#include <arrow/builder.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "engine/connectors/sqlite/layout.h"
#include "engine/connectors/sqlite/sqlite_fixture.h"

namespace tidegate::engine {
namespace {

using protocol::EntityOutcome;

TEST_F(Sqlite, ARoundTripKeepsTheSchemaAndEveryValue) {
  const char* schema =
      "CREATE TABLE t (id INTEGER PRIMARY KEY, small SMALLINT, price DECIMAL(12,2), name "
      "VARCHAR(20), ok BOOLEAN, "
      "born DATE, at DATETIME, seen TIMESTAMPTZ, doc JSON, data BLOB, ratio DOUBLE)";
  sql(in(), schema);
  sql(in(),
      "INSERT INTO t VALUES (1, 2, '1234567890.10', '', 1, '1999-12-31', '2026-01-01 "
      "10:00:00.123456', "
      "'2026-01-01 10:00:00+02:00', '{\"a\": 1}', x'00ff', 0.1), (9223372036854775807, NULL, 5, "
      "NULL, 0, NULL, "
      "'2026-01-01T10:00:00', NULL, '[]', x'', 1e300)");
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(sql(out(), "SELECT name, type, pk FROM pragma_table_info('t')"),
            (Texts{"id|INTEGER|1", "small|SMALLINT|0", "price|DECIMAL_TEXT(12,2)|0",
                   "name|VARCHAR(20)|0", "ok|BOOLEAN|0", "born|DATE|0", "at|DATETIME|0",
                   "seen|TIMESTAMPTZ|0", "doc|JSON_TEXT|0", "data|BLOB|0", "ratio|DOUBLE|0"}));
  EXPECT_EQ(sql(out(),
                "SELECT id, small, price, name, ok, born, at, seen, doc, hex(data), ratio FROM t "
                "ORDER BY id"),
            (Texts{"1|2|1234567890.10||1|1999-12-31|2026-01-01 10:00:00.123456|2026-01-01 "
                   "08:00:00+00:00|{\"a\": "
                   "1}|00FF|0.1",
                   "9223372036854775807|∅|5.00|∅|0|∅|2026-01-01 10:00:00|∅|[]||1.0e+300"}));
}

TEST_F(Sqlite, CellsThatAreNotOfTheirColumnsTypeAreRejectedWithReasons) {
  sql(in(), "CREATE TABLE t (n INTEGER, d DATE, ts TIMESTAMP, p DECIMAL(5,2), b BOOLEAN)");
  sql(in(),
      "INSERT INTO t VALUES (1, '2026-01-01', '2026-01-01 00:00:00', 1.25, 1), ('x', NULL, NULL, "
      "NULL, NULL), "
      "(1.5, NULL, NULL, NULL, NULL), (NULL, '2026-02-30', NULL, NULL, NULL), (NULL, NULL, 'soon', "
      "NULL, NULL), (NULL, "
      "NULL, NULL, 1.234, NULL), (NULL, NULL, NULL, 12345, NULL), (NULL, NULL, NULL, NULL, 2)");
  auto r = answer();
  EXPECT_EQ(r.error_kind, "data");
  EXPECT_NE(r.error->find("'x' is not a whole number"), std::string::npos) << *r.error;
  EXPECT_EQ(sql(out(), "SELECT count(*) FROM _tidegate_rejected"), Texts{"7"});
  EXPECT_EQ(sql(out(), "SELECT count(*) FROM sqlite_schema WHERE name = 't'"), Texts{"0"});
  request_.run.max_rejected = 7;
  r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(r.entities[0].rows_rejected, 7);
  EXPECT_EQ(sql(out(), "SELECT n, d, ts, p, b FROM t"),
            Texts{"1|2026-01-01|2026-01-01 00:00:00|1.25|1"});
  EXPECT_EQ(sql(out(), "SELECT locator, reason FROM _tidegate_rejected ORDER BY id LIMIT 1"),
            Texts{"t row 2|column \"n\": 'x' is not a whole number"});
}

TEST_F(Sqlite, ColumnsWithoutADeclaredTypeAreLookedAt) {
  sql(in(),
      "CREATE TABLE t AS SELECT 1 AS i, 1.5 AS r, 'a' AS s, x'01' AS b, NULL AS n, 7 AS mixed");
  sql(in(), "INSERT INTO t VALUES (2, 3, 'b', x'02', NULL, 'seven')");
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(
      sql(out(), "SELECT typeof(i), typeof(r), typeof(s), typeof(b), typeof(n), mixed FROM t"),
      (Texts{"integer|real|text|blob|null|7", "integer|real|text|blob|null|seven"}));
}

TEST_F(Sqlite, ViewsIndexesAndTriggersOfTheUserSurviveAFullRefresh) {
  sql(in(), "CREATE TABLE t (id INTEGER, v INTEGER); INSERT INTO t VALUES (1, 10), (2, 20)");
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(out(), "CREATE VIEW big AS SELECT * FROM t WHERE v > 15; CREATE INDEX by_v ON t(v)");
  sql(in(), "DELETE FROM t; INSERT INTO t VALUES (3, 30), (4, 40)");
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  EXPECT_EQ(sql(out(), "SELECT id FROM big"), (Texts{"3", "4"}));
  // A widened type rebuilds the table; they are there again.
  sql(in(),
      "CREATE TABLE u (id INTEGER, v TEXT); INSERT INTO u VALUES (5, 'fifty'); DROP TABLE t; ALTER "
      "TABLE u RENAME TO t");
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(r.entities[0].schema_changes.size(), 1U);
  EXPECT_EQ(sql(out(), "SELECT id FROM big"), Texts{"5"});
  EXPECT_EQ(sql(out(), "SELECT count(*) FROM sqlite_schema WHERE name = 'by_v'"), Texts{"1"});
}

TEST_F(Sqlite, ATableWithTheUsersOwnConstraintsIsNotRebuilt) {
  sql(in(), "CREATE TABLE t (id INTEGER, v INTEGER); INSERT INTO t VALUES (1, 10)");
  sql(out(), "CREATE TABLE t (id INTEGER, v INTEGER CHECK (v < 100))");  // empty: adopted
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(in(), "INSERT INTO t VALUES (2, 200)");
  auto r = answer();
  EXPECT_EQ(r.error_kind, "data");
  EXPECT_EQ(sql(out(), "SELECT id FROM t"), Texts{"1"});
  request_.run.max_rejected = 1;
  r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(r.entities[0].rows_rejected, 1);
  sql(in(),
      "CREATE TABLE u (id INTEGER, v TEXT); INSERT INTO u VALUES (5, 'x'); DROP TABLE t; ALTER "
      "TABLE u RENAME TO t");
  r = answer();
  EXPECT_EQ(r.error_kind, "configuration");
  EXPECT_NE(r.error->find("by hand"), std::string::npos) << *r.error;
}

TEST_F(Sqlite, AMergeRejectsTheRowsThatAConstraintOfTheTableRefuses) {
  sql(out(),
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER CHECK (v < 100), u TEXT UNIQUE, n TEXT "
      "NOT NULL, b BLOB)");
  sql(in(),
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, u TEXT, n TEXT, b BLOB); "
      "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 1000) "
      "INSERT INTO t SELECT n, n % 100, 'u' || n, 'n', NULL FROM i");
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"].cursor = "id";
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  const Texts before = sql(out(), "SELECT count(*), sum(v) FROM t");
  sql(in(),
      "UPDATE t SET v = 55, u = 'new' WHERE id = 1000; INSERT INTO t VALUES (1001, 100, 'a', 'n', "
      "x'00ff'), (1002, 1, 'u7', 'n', NULL), (1003, 1, 'b', NULL, NULL), (1004, 2, 'c', 'n', "
      "NULL)");
  request_.run.run_id = RunId("r2");
  request_.run.max_rejected = 2;
  auto r = answer();
  EXPECT_EQ(r.error_kind, "data");
  EXPECT_NE(r.error->find("maxRejected"), std::string::npos) << *r.error;
  EXPECT_EQ(sql(out(), "SELECT count(*), sum(v) FROM t"), before);
  EXPECT_EQ(sql(out(), "SELECT count(*) FROM _tidegate_rejected"), Texts{"3"});
  request_.run.max_rejected = 3;
  request_.run.attempt = 2;
  r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  const auto& e = r.entities[0];
  EXPECT_EQ(e.rows_rejected, 3);
  EXPECT_EQ(e.rows_written, 2);
  EXPECT_EQ(e.rows_updated, 1);
  EXPECT_EQ(e.rows_read, e.rows_written + e.rows_rejected + e.rows_deduplicated);
  EXPECT_EQ(sql(out(), "SELECT id, v FROM t WHERE id > 1000"), Texts{"1004|2"});
  EXPECT_EQ(sql(out(), "SELECT locator FROM _tidegate_rejected WHERE attempt = 2 ORDER BY id"),
            (Texts{"t (id=1001)", "t (id=1002)", "t (id=1003)"}));
  EXPECT_EQ(
      sql(out(), "SELECT reason, row FROM _tidegate_rejected WHERE attempt = 2 ORDER BY id"),
      (Texts{"CHECK constraint failed: v < 100|"
             R"({"id":1001,"v":100,"u":"a","n":"n","b":"2 bytes"})",
             R"(UNIQUE constraint failed: t.u|{"id":1002,"v":1,"u":"u7","n":"n","b":null})",
             R"(NOT NULL constraint failed: t.n|{"id":1003,"v":1,"u":"b","n":null,"b":null})"}));
}

TEST_F(Sqlite, AConditionForOneRunMergesAndMovesNothing) {
  sql(in(),
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  request_.run.entities["t"].where = "id < 100";
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(in(),
      "UPDATE t SET v = 'new'; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c'), (200, "
      "'d')");
  const std::size_t states = sink_.states().size();
  request_.run.where = "id >= 2";
  auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(sql(out(), "SELECT * FROM t"), (Texts{"1|a", "2|new", "3|c"}));
  EXPECT_EQ(sink_.states().size(), states);
  // Without a key it could only replace or double rows.
  sql(in(), "CREATE TABLE k (v TEXT); INSERT INTO k VALUES ('a')");
  request_.run.where.reset();
  request_.run.entity_filter = {"k"};
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  request_.run.where = "v = 'a'";
  r = answer();
  EXPECT_EQ(r.error_kind, "configuration");
  EXPECT_EQ(sql(out(), "SELECT * FROM k"), Texts{"a"});
}

TEST_F(Sqlite, RowsThatTidegateDidNotWriteAreNotTouched) {
  sql(in(), "CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1)");
  sql(out(), "CREATE TABLE T (id INTEGER); INSERT INTO T VALUES (99)");
  const auto r = answer();
  EXPECT_EQ(r.error_kind, "configuration");
  EXPECT_NE(r.error->find("--take-over"), std::string::npos);
  EXPECT_EQ(sql(out(), "SELECT id FROM t"), Texts{"99"});
  request_.run.take_over = true;
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  EXPECT_EQ(sql(out(), "SELECT id FROM t"), Texts{"1"});
}

TEST_F(Sqlite, OneBadEntityNeverStopsTheOthers) {
  sql(in(),
      "CREATE TABLE a (id INTEGER); INSERT INTO a VALUES ('bad'); CREATE TABLE b (id INTEGER); "
      "INSERT INTO b "
      "VALUES (1); CREATE TABLE gone (x); CREATE VIEW c AS SELECT * FROM gone");
  sql(in(), "DROP TABLE gone");
  request_.run.entity_filter = {"*", "missing"};
  const auto r = answer();
  ASSERT_EQ(r.entities.size(), 4U);
  std::map<std::string, EntityOutcome> outcome;
  for (const auto& e : r.entities) outcome[e.entity] = e.outcome;
  EXPECT_EQ(outcome["b"], EntityOutcome::Succeeded);
  EXPECT_EQ(outcome["a"], EntityOutcome::Failed);
  EXPECT_EQ(outcome["c"], EntityOutcome::Failed);
  EXPECT_EQ(outcome["missing"], EntityOutcome::Failed);
  EXPECT_EQ(r.code, protocol::ExitCode::Failed);
}

TEST_F(Sqlite, AConditionFiltersAndCannotDoMore) {
  sql(in(), "CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1), (2), (3)");
  request_.run.entities["t"].where = "id > 1 -- and a comment";
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  EXPECT_EQ(sql(out(), "SELECT id FROM t"), (Texts{"2", "3"}));
  for (const char* bad : {"id >", "1); DELETE FROM t; --", "nope = 1"}) {
    request_.run.entities["t"].where = bad;
    const auto r = answer();
    EXPECT_EQ(r.error_kind, "configuration") << bad;
    EXPECT_NE(r.error->find("where"), std::string::npos) << *r.error;
  }
  EXPECT_EQ(sql(in(), "SELECT count(*) FROM t"), Texts{"3"});
}

TEST_F(Sqlite, ADryRunShowsRowsAndWritesNothing) {
  sql(in(),
      "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a'), (2, "
      "NULL)");
  request_.run.dry_run = true;
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  const auto& entity = r.reply.at("entities").at(0);
  EXPECT_EQ(entity.at("table").as_string(), "t");
  EXPECT_EQ(entity.at("rows").at(1).at("id").as_int64(), 2);
  EXPECT_TRUE(entity.at("rows").at(1).at("name").is_null());
  EXPECT_NE(access(out().c_str(), F_OK), 0);
}

// Seen here: a NaN stood in the preview, and the run failed.
TEST_F(Sqlite, ADryRunChecksRowsAndChangesAgainstTheTable) {
  const auto load = [&](const std::shared_ptr<arrow::Schema>& schema) {
    LoadPlan plan;
    plan.schema = schema;
    plan.schema_change = protocol::SchemaChange::Ignore;
    return plan;
  };
  const auto schema =
      arrow::schema({arrow::field("x", arrow::utf8()), arrow::field("v", arrow::float64())});
  arrow::DoubleBuilder values;
  ASSERT_TRUE(values.AppendValues({1.0, std::nan(""), 2.5}).ok());
  arrow::StringBuilder texts;
  ASSERT_TRUE(texts.AppendValues({"a", "b", "c"}).ok());
  const auto batch = arrow::RecordBatch::Make(schema, 3, {*texts.Finish(), *values.Finish()});
  const auto refused = [&]() -> Texts {
    const auto trial = bench_.destination()->trial({.job = "j", .entity = "t"}, load(schema));
    if (!trial) return {trial.error().message};
    Texts out;
    for (const auto& r : *trial->rows->check(*batch))
      out.push_back(fmt::format("{} {}", r.row, r.why));
    return out;
  };
  const Texts nan = refused();
  ASSERT_EQ(nan.size(), 1U);
  for (const char* part : {"1 column \"v\": nan is not a number (NaN)",
                           "would store as NULL; write", "--exclude-columns"}) {
    EXPECT_NE(nan[0].find(part), std::string::npos) << nan[0];
  }
  bench_.entity() = {.schema = schema, .batches = {batch}};
  const auto seen = bench_.look();
  EXPECT_EQ(seen.error_kind, "data");
  EXPECT_EQ(seen.entities.at(0).rows_rejected, 1);
  bench_.spec.max_rejected = 1;
  const auto rows = bench_.look().reply.at("entities").at(0).at("rows").as_array();
  ASSERT_EQ(rows.size(), 2U) << "those that would be written";
  EXPECT_EQ(rows[1].at("x").as_string(), "c");
  EXPECT_NE(access(out().c_str(), F_OK), 0);
  sql(out(), "CREATE TABLE t (v INTEGER)");
  const auto other = refused();
  ASSERT_EQ(other.size(), 2U);
  EXPECT_NE(other[1].find("2 column \"v\": 2.5 does not fit"), std::string::npos) << other[1];
}

// Seen here: "SQLite refuses: too many columns on t", with no remedy.
TEST_F(Sqlite, MoreColumnsThanSqliteTakesAreRefusedWithARemedy) {
  const auto plan = [](int columns) {
    std::vector<std::shared_ptr<arrow::Field>> fields;
    for (int i = 0; i < columns; ++i)
      fields.push_back(arrow::field(fmt::format("c{}", i), arrow::int64()));
    LoadPlan load;
    load.schema = arrow::schema(std::move(fields));
    return sqlite::plan_layout("t", {}, load);
  };
  EXPECT_TRUE(plan(2000));
  const auto refused = plan(2001);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("2001 columns"), std::string::npos);
  EXPECT_NE(refused.error().message.find("`columns`"), std::string::npos);
}

TEST_F(Sqlite, ARowWithoutItsKeyIsRejectedByName) {
  sql(in(), "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 1), (NULL, 3)");
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"].cursor = "b";
  request_.run.entities["t"].primary_key = {"a"};
  const auto r = answer();
  ASSERT_EQ(r.entities.size(), 1U);
  EXPECT_NE(r.entities[0].error.value_or("").find("First: t: column \"a\" is part of the primary"),
            std::string::npos)
      << r.entities[0].error.value_or("");
}

// 'REV-C' comes after 'rev-b' by NOCASE and before it byte by byte: it was never read.
TEST_F(Sqlite, ACursorOfAnotherCollationIsRefused) {
  sql(in(),
      "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT COLLATE NOCASE, b TEXT COLLATE BINARY); "
      "INSERT INTO t VALUES (1, 'rev-a', 'a')");
  request_.run.mode = protocol::SyncMode::IncrementalAppend;
  request_.run.entities["t"].cursor = "u";
  const auto refused = answer();
  EXPECT_EQ(refused.code, protocol::ExitCode::Configuration) << refused.error.value_or("");
  EXPECT_NE(refused.error.value_or("").find("COLLATE NOCASE"), std::string::npos)
      << refused.error.value_or("");
  request_.run.entities["t"].cursor = "b";
  EXPECT_EQ(answer().code, protocol::ExitCode::Done);
}

TEST_F(Sqlite, DiscoverTellsKeysCursorsAndTypes) {
  sql(in(),
      "CREATE TABLE t (id INTEGER PRIMARY KEY, at TIMESTAMP, code TEXT UNIQUE); INSERT INTO t "
      "VALUES (1, NULL, 'x')");
  const auto r = answer(protocol::RequestKind::Discover);
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  const auto& t = r.reply.at("entities").at(0);
  EXPECT_EQ(t.at("primaryKey").at(0).as_string(), "id");
  EXPECT_EQ(t.at("cursorCandidates").at(0).as_string(), "at");
  EXPECT_EQ(t.at("keyCandidates").at(0).as_string(), "code");
  EXPECT_EQ(t.at("rows").as_int64(), 1);
}

struct BadFile {
  const char* name;
  std::function<void(const std::string&)> make;
  const char* kind;
};

TEST_F(Sqlite, BadFilesGetAClearErrorOfTheRightKind) {
  const BadFile files[] = {
      {"missing", [](const std::string&) {}, "configuration"},
      {"not a database", [](const std::string& p) { std::ofstream(p) << std::string(5000, 'x'); },
       "configuration"},
      {"a folder", [](const std::string& p) { mkdir(p.c_str(), 0700); }, "configuration"},
      {"damaged",
       [](const std::string& p) {
         sql(p,
             "CREATE TABLE t (id INTEGER, v TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
             "SELECT i + 1 FROM n "
             "WHERE i < 5000) INSERT INTO t SELECT i, 'some text' FROM n");
         std::fstream f(p, std::ios::in | std::ios::out | std::ios::binary);
         f.seekp(8192);
         f << std::string(40'000, '\xA5');
       },
       "configuration"},
  };
  for (const BadFile& file : files) {
    const std::string path = bench_.folder + "/" + file.name;
    file.make(path);
    request_.source = protocol::Endpoint{"sqlite", {{"path", path}}};
    const auto r = answer();
    EXPECT_NE(r.code, protocol::ExitCode::Done) << file.name;
    EXPECT_EQ(r.error_kind, file.kind) << file.name << ": " << r.error.value_or("");
    EXPECT_NE(r.error.value_or("").find(file.name), std::string::npos) << r.error.value_or("");
  }
}

// Seen here: "check that it exists and that this user may read it".
TEST_F(Sqlite, AFolderThatTakesNoFileIsNamedAsWhatToChange) {
  const std::string folder = bench_.folder + "/locked";
  ASSERT_EQ(chmod(bench_.folder.c_str(), 0755), 0);
  ASSERT_EQ(mkdir(folder.c_str(), 0555), 0);
  const PathPolicy paths;
  const Context context{.clock = clock_, .rng = rng_, .paths = paths, .stop = {}};
  const auto destination =
      sqlite_connector().make_destination({{"path", folder + "/new.db"}}, context);
  ASSERT_TRUE(destination);
  // Root may write anywhere.
  const bool root = geteuid() == 0;
  if (root) ASSERT_EQ(setresuid(65534, 65534, 0), 0);
  const auto writer =
      (*destination)->open({.job = "j", .entity = "t", .run_id = RunId("r"), .fence = Fence(1)});
  if (root) ASSERT_EQ(setresuid(0, 0, 0), 0);
  ASSERT_FALSE(writer);
  EXPECT_EQ(error_kind(writer.error()), "permission");
  EXPECT_NE(writer.error().message.find("make the folder writable"), std::string::npos)
      << writer.error().message;
}

TEST_F(Sqlite, ALockedDestinationIsTransient) {
  sql(out(), "CREATE TABLE t (id INTEGER)");
  sqlite3* holder = nullptr;
  ASSERT_EQ(sqlite3_open(out().c_str(), &holder), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(holder, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE", nullptr, nullptr, nullptr),
      SQLITE_OK);
  const PathPolicy paths;
  std::stop_source stop;
  const Context context{.clock = clock_, .rng = rng_, .paths = paths, .stop = stop.get_token()};
  const auto destination = sqlite_connector().make_destination(out_db(bench_.folder), context);
  ASSERT_TRUE(destination);
  const Status locked = (*destination)->check();
  ASSERT_FALSE(locked);
  EXPECT_EQ(error_kind(locked.error()), "transient");
  // A run that waits for the lock can be stopped.
  stop.request_stop();
  const auto writer =
      (*destination)->open({.job = "j", .entity = "t", .run_id = RunId("r"), .fence = Fence(1)});
  ASSERT_FALSE(writer);
  sqlite3_close(holder);
}

TEST_F(Sqlite, FilesOutsideTheRootsAndTheStoreItselfAreRefused) {
  sql(in(), "CREATE TABLE t (id INTEGER)");
  request_.path_roots = {bench_.folder + "/files"};
  mkdir((bench_.folder + "/files").c_str(), 0700);
  auto r = answer();
  EXPECT_EQ(r.error_kind, "permission");
  EXPECT_NE(r.error->find("paths.roots"), std::string::npos) << *r.error;
  request_.path_roots.clear();
  request_.forbidden_paths = {out()};
  r = answer();
  EXPECT_EQ(r.error_kind, "permission");
  EXPECT_NE(r.error->find("store"), std::string::npos);
}

// Symptom: a database that was its own destination got every row twice.
TEST_F(Sqlite, ADatabaseIsNeverItsOwnDestination) {
  sql(in(), "CREATE TABLE t (id INTEGER)");
  sql(in(), "INSERT INTO t VALUES (1)");
  for (const bool hard : {true, false}) {
    if (hard) {
      std::filesystem::create_hard_link(in(), out());
    } else {
      std::filesystem::create_symlink(in(), out());
    }
    request_.run.take_over = true;
    for (const bool dry : {true, false}) {
      request_.run.dry_run = dry;
      const auto r = answer();
      EXPECT_EQ(r.code, protocol::ExitCode::Configuration);
      EXPECT_NE(r.error.value_or("").find("source.path"), std::string::npos) << *r.error;
      EXPECT_NE(r.error.value_or("").find("destination.path"), std::string::npos) << *r.error;
    }
    std::filesystem::remove(out());
  }
  EXPECT_EQ(sql(in(), "SELECT count(*) FROM t"), Texts{"1"});
  EXPECT_EQ(sql(in(), "SELECT name FROM sqlite_schema"), Texts{"t"});
}

TEST_F(Sqlite, TheConfigurationIsCheckedFieldByField) {
  for (const auto& [config, says] :
       {std::pair<boost::json::object, const char*>{{}, "path: is missing"},
        {{{"path", ""}}, "path: is empty"},
        {{{"path", 5}}, "path: must be text"},
        {{{"path", "x"}, {"pth", "y"}}, "did you mean 'path'"},
        {{{"path", "x"}, {"journalMode", "memory"}}, "wal or keep"}}) {
    const SystemClock clock;
    SystemRng rng;
    const PathPolicy paths;
    const Context context{.clock = clock, .rng = rng, .paths = paths, .stop = {}};
    const auto r = sqlite_connector().make_destination(config, context);
    ASSERT_FALSE(r);
    EXPECT_NE(describe(r.error()).find(says), std::string::npos) << describe(r.error());
  }
}

}  // namespace
}  // namespace tidegate::engine
