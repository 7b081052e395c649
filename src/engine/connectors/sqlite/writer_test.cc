// The SQLite writer's names, its stage and what may go wrong with it.

#include "engine/connectors/sqlite/writer.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/functions.h"
#include "engine/connectors/sqlite/sqlite_fixture.h"
#include "engine/connectors/sqlite/table_sql.h"

namespace tidegate::engine {
namespace {

using contract::batch_of;

// Seen here: a database without a log that somebody else holds for some seconds failed the load,
// which waits much longer for its transaction.
TEST_F(Sqlite, ALockedDatabaseIsNotFoundFull) {
  sql(out(), "PRAGMA journal_mode = DELETE; CREATE TABLE t (id INTEGER)");
  const auto ours = sqlite::Db::open(out(), sqlite::Open::ReadWrite, {});
  const auto other = sqlite::Db::open(out(), sqlite::Open::ReadWrite, {});
  ASSERT_TRUE(ours && other);
  (*ours)->busy_timeout(Millis(0));
  ASSERT_TRUE((*other)->exec("BEGIN EXCLUSIVE"));
  EXPECT_FALSE((*ours)->integer("PRAGMA main.page_count"));
  EXPECT_TRUE((*ours)->grow_to_committed());
}

class SqliteNames : public Sqlite {};

// Seen here: "duplicate column name: _tidegate_seq".
TEST_F(SqliteNames, ReservedAndEqualColumnNamesAreRefusedByName) {
  sql(in(), "CREATE TABLE a (id INTEGER PRIMARY KEY, _TideGate_seq TEXT)");
  auto r = answer();
  EXPECT_EQ(r.error_kind, "configuration");
  EXPECT_NE(r.error.value_or("").find("\"_TideGate_seq\" is reserved"), std::string::npos)
      << *r.error;
  EXPECT_NE(r.error.value_or("").find("`columns`"), std::string::npos) << *r.error;
  sql(in(), "DROP TABLE a; CREATE TABLE a (id INTEGER, _tidegate_load_id TEXT)");
  EXPECT_EQ(answer().code, protocol::ExitCode::Done);  // a copy of a copy
  request_.run.mode = protocol::SyncMode::FullAppend;
  request_.run.run_id = RunId("r2");
  r = answer();
  EXPECT_NE(r.error.value_or("").find("full_append adds the column \"_tidegate_load_id\" itself"),
            std::string::npos)
      << r.error.value_or("");
  LoadPlan load;
  load.schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("ID", arrow::int64())});
  const auto plan = sqlite::plan_layout("t", {}, load);
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().message.find("\"id\" and \"ID\" are one name"), std::string::npos);
}

// Seen here: "no such column: c1": the rows of a load were read from the user's table.
TEST_F(SqliteNames, ATableNamedLikeOurOwnIsNoMatter) {
  sql(in(),
      "CREATE TABLE tidegate_batch (id INTEGER, v TEXT); "
      "INSERT INTO tidegate_batch VALUES (1, 'a'), (2, 'b')");
  for (int i = 0; i < 2; ++i) {
    const auto r = answer();
    ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
    EXPECT_EQ(sql(out(), "SELECT * FROM tidegate_batch"), (Texts{"1|a", "2|b"}));
  }
}

// Seen here: a syntax error near "-", because the type's text was written again without quotes.
TEST_F(SqliteNames, TypesThatAreNoPlainWordsAreDeclaredAnew) {
  sql(in(),
      "CREATE TABLE t (a \"my-int type\", b \"int unique\", c \"text); DROP\", d VARCHAR(20), "
      "e DOUBLE PRECISION, f UUID, g INT(1,2)); INSERT INTO t VALUES (1, 1, 'x', 'y', 0.5, '1e5', "
      "3)");
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(sql(out(), "SELECT name, type FROM pragma_table_info('t')"),
            (Texts{"a|INTEGER", "b|INTEGER", "c|TEXT", "d|VARCHAR(20)", "e|DOUBLE PRECISION",
                   "f|TEXT", "g|INT(1,2)"}));
  EXPECT_EQ(sql(out(), "SELECT count(*) FROM pragma_index_list('t')"), Texts{"0"});
}

// Seen here: a plain table "has definitions of its own", because its text was not in our quoting.
TEST(SqliteTableSql, APlainTableIsPlainInAnyWriting) {
  struct Row {
    const char* sql;
    bool plain;
  };
  const Row rows[] = {
      {R"(CREATE TABLE "t" ("id" INTEGER, "v" VARCHAR(20), PRIMARY KEY ("id")))", true},
      {"CREATE TABLE t(id integer primary key, v varchar( 20 ))", true},
      {"CREATE TABLE t (\n  [id] INTEGER PRIMARY KEY, -- the key\n  `v` VARCHAR(20) /* it's */\n)",
       true},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20) NOT NULL)", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20) DEFAULT 'x')", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20) CHECK (v > ''))", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20) COLLATE NOCASE)", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20) REFERENCES o)", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20) UNIQUE)", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v VARCHAR(20))", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20), g AS (id + 1))", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY, v VARCHAR(20)) WITHOUT ROWID", false},
      {"CREATE TABLE t(id INTEGER PRIMARY KEY ON CONFLICT IGNORE, v VARCHAR(20))", false},
  };
  for (const Row& row : rows) {
    contract::Bench bench(sqlite_under_test());
    const std::string path = bench.folder + "/out.db";
    sql(path, row.sql);
    const auto db = sqlite::Db::open(path, sqlite::Open::ReadOnly, {});
    const auto layout = sqlite::read_layout(**db, "t");
    ASSERT_TRUE(layout);
    EXPECT_EQ(layout->plain, row.plain) << row.sql;
  }
}

TEST_F(SqliteNames, APlainTableOfTheUserIsRebuilt) {
  sql(out(), "create table t(id integer primary key, v int); create index by_v on t(v)");
  sql(in(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x')");
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(sql(out(), "SELECT v, typeof(v) FROM t"), Texts{"x|text"});
  EXPECT_EQ(sql(out(), "SELECT name FROM sqlite_schema WHERE tbl_name = 't' AND type = 'index'"),
            Texts{"by_v"});
}

// A writer whose connection the test can reach.
class SqliteStage : public testing::Test {
 protected:
  void SetUp() override { open(LoadKind::Merge); }
  // A new database and a load into it.
  void open(LoadKind kind) {
    writer_.reset();
    db_.reset();
    std::filesystem::remove(bench_.folder + "/out.db");
    db_ = std::move(*sqlite::Db::open(bench_.folder + "/out.db", sqlite::Open::Create, {}));
    ASSERT_TRUE(sqlite::add_functions(*db_));
    sqlite::Ledger ledger(*db_);
    const Claim claim{.job = "j", .entity = "t", .table = "t", .fence = 1, .session = "s"};
    ASSERT_TRUE(ledger.create_tables(clock_, rng_));
    ASSERT_TRUE(ledger.claim(claim, context_));
    WriterState state;
    state.table = "t";
    writer_ = std::make_unique<sqlite::SqliteWriter>(
        *db_, context_, WritePlan{.job = "j", .entity = "t", .run_id = RunId("r")}, claim, state);
    LoadPlan load;
    load.kind = kind;
    load.schema = schema_;
    if (kind != LoadKind::Append) load.key = {"id"};
    load.max_rejected = 1'000'000;
    ASSERT_TRUE(writer_->begin(load));
  }
  Status write(const std::string& rows) {
    const auto batch = batch_of(schema_, rows);
    if (auto taken = writer_->write(*batch); !taken) return fail(taken.error());
    return {};
  }
  Texts out(const std::string& query) { return sql(bench_.folder + "/out.db", query); }

  contract::Bench bench_{sqlite_under_test()};
  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  const Context context_{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}};
  std::shared_ptr<arrow::Schema> schema_ =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("v", arrow::utf8())});
  std::unique_ptr<sqlite::Db> db_;
  std::unique_ptr<sqlite::SqliteWriter> writer_;
};

// Seen here: 200,000 rejected rows of a merge took 270 MB of memory.
TEST_F(SqliteStage, RejectedRowsOfAMergeWaitInTheStage) {
  ASSERT_TRUE(write(R"([[1, "a"]])"));
  std::vector<RejectedRow> rows;
  for (int i = 0; i < 2500; ++i) rows.push_back({fmt::format("line {}", i), "bad", "{}"});
  ASSERT_TRUE(writer_->reject(rows));
  EXPECT_EQ(*db_->integer("SELECT count(*) FROM temp._tidegate_stage_rejected"), 2500);
  ASSERT_TRUE(writer_->flush());
  ASSERT_TRUE(writer_->commit(std::nullopt));
  EXPECT_EQ(out("SELECT count(*), min(id), max(id) FROM _tidegate_rejected"), Texts{"2500|1|2500"});
  EXPECT_EQ(out("SELECT locator FROM _tidegate_rejected ORDER BY id DESC LIMIT 1"),
            Texts{"line 2499"});
  // None of them comes again with the next commit.
  ASSERT_TRUE(write(R"([[2, "b"]])"));
  const auto report = writer_->flush();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->inserted, 1);
  ASSERT_TRUE(writer_->commit(std::nullopt));
  EXPECT_EQ(out("SELECT count(*) FROM _tidegate_rejected"), Texts{"2500"});
  EXPECT_EQ(out("SELECT * FROM t"), (Texts{"1|a", "2|b"}));
}

// Seen here: rows were committed and the run said that they were not, because the stage could not
// be emptied.
TEST_F(SqliteStage, WhatFailsAfterTheCommitIsNoFailureOfIt) {
  ASSERT_TRUE(write(R"([[1, "a"]])"));
  ASSERT_TRUE(writer_->flush());
  const auto keeps_stage = [](void*, int action, const char* table, const char*, const char*,
                              const char*) {
    const bool stage = table != nullptr && std::string_view(table) == "_tidegate_stage";
    return action == SQLITE_DELETE && stage ? SQLITE_DENY : SQLITE_OK;
  };
  sqlite3_set_authorizer(db_->raw(), keeps_stage, nullptr);
  EXPECT_TRUE(writer_->commit(std::nullopt));
  EXPECT_EQ(out("SELECT * FROM t"), Texts{"1|a"});
  EXPECT_FALSE(write(R"([[2, "b"]])"));
}

// State without its rows loses them, rows without their state come twice. Each COMMIT of it fails
// in turn, as when the power is cut there.
TEST_F(SqliteStage, RowsAndStateAreOneCommit) {
  for (const LoadKind kind : {LoadKind::Replace, LoadKind::Append, LoadKind::Merge}) {
    for (int failing = 1, commits = 0; failing <= commits + 1; ++failing) {
      open(kind);
      ASSERT_TRUE(write(R"([[1, "a"]])"));
      ASSERT_TRUE(writer_->flush());
      int left = failing;
      sqlite3_commit_hook(
          db_->raw(), [](void* n) { return --*static_cast<int*>(n) == 0 ? 1 : 0; }, &left);
      const Status status = writer_->commit(Writer::NewState{"state", 1});
      EXPECT_EQ(status.has_value(), left > 0);
      commits = failing - std::max(left, 0);
      writer_.reset();
      db_.reset();
      const bool state = out("SELECT state FROM _tidegate_state") == Texts{"state"};
      const bool table = out("SELECT 1 FROM sqlite_schema WHERE name = 't'") == Texts{"1"};
      const bool rows = table && out("SELECT * FROM t") == Texts{"1|a"};
      EXPECT_EQ(state, rows) << "the commit that failed: " << failing;
      EXPECT_EQ(rows, status.has_value());
    }
  }
}

// Seen here: a full folder of temporary files was called a full disk of the destination.
TEST_F(SqliteStage, AFullTemporaryFolderIsNamed) {
  ASSERT_TRUE(db_->exec("PRAGMA temp.max_page_count = 8"));
  const std::string row = fmt::format("[1, \"{}\"]", std::string(60'000, 'x'));
  const Status status = write("[" + row + "]");
  ASSERT_FALSE(status);
  EXPECT_EQ(error_kind(status.error()), "transient");
  EXPECT_NE(status.error().message.find("environment variable TMPDIR)"), std::string::npos)
      << status.error().message;
  EXPECT_FALSE(writer_->reject(std::vector<RejectedRow>{{"l", "bad", std::string(60'000, 'x')}}));
}

}  // namespace
}  // namespace tidegate::engine
