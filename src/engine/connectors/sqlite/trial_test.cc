// A dry run refuses what the run refuses, in the same words, and leaves nothing behind.

#include <fmt/format.h>

#include <filesystem>

#include "engine/connectors/sqlite/sqlite_fixture.h"

namespace tidegate::engine {
namespace {

using protocol::SyncMode;

class SqliteTrial : public Sqlite {
 protected:
  protocol::EntityResult run(bool dry) {
    request_.run.dry_run = dry;
    request_.run.run_id = RunId("r" + std::to_string(++runs_));
    const auto r = answer();
    EXPECT_EQ(r.entities.size(), 1U) << r.error.value_or("");
    return r.entities.empty() ? protocol::EntityResult{} : r.entities[0];
  }
  // Both fail and say `words`; what the destination held is untouched.
  void expect_refused(const std::string& words, const std::string& kind) {
    const Texts before = sql(out(), "SELECT * FROM t");
    const auto look = run(true);
    for (const char* log : {"-wal", "-shm", "-journal"})
      EXPECT_FALSE(std::filesystem::exists(out() + log)) << words;
    EXPECT_EQ(sql(out(),
                  "SELECT name FROM sqlite_schema WHERE name LIKE '\\_tidegate\\_%' ESCAPE "
                  "'\\' AND type = 'table'"),
              Texts{})
        << words;
    const auto done = run(false);
    for (const auto* e : {&look, &done}) {
      EXPECT_EQ(e->outcome, protocol::EntityOutcome::Failed) << words;
      EXPECT_EQ(e->error_kind, kind) << words;
      EXPECT_NE(e->error.value_or("").find(words), std::string::npos) << e->error.value_or("");
    }
    EXPECT_EQ(look.rows_rejected, done.rows_rejected) << words;
    EXPECT_EQ(sql(out(), "SELECT * FROM t"), before) << words;
  }

  int runs_ = 0;
};

// Symptom: the dry run passed, and the run refused every row, or all of them at once.
TEST_F(SqliteTrial, RefusesWhatTheTableRefuses) {
  struct Case {
    std::string table;  // in the destination
    SyncMode mode;
    bool take_over;
    std::string words, kind;
  };
  const std::string rejected = "data", refused = "configuration";
  const std::string must = "CREATE TABLE t (id INTEGER, v TEXT, must TEXT NOT NULL)";
  for (const Case& c : std::initializer_list<Case>{
           {must, SyncMode::Full, false, "First: t (id=1): NOT NULL constraint failed: t.must",
            rejected},
           {must, SyncMode::FullAppend, false, "NOT NULL constraint failed: t.must", rejected},
           {must + "; INSERT INTO t VALUES (7, 'x', 'y')", SyncMode::Full, true,
            "NOT NULL constraint failed: t.must", rejected},
           {"CREATE TABLE t (id INTEGER PRIMARY KEY CHECK (id < 2), v TEXT)", SyncMode::Incremental,
            false, "1 row(s) w", rejected},
           {"CREATE TABLE t (id INTEGER, v TEXT COLLATE NOCASE UNIQUE)", SyncMode::Full, false,
            "UNIQUE constraint failed: t.v", rejected},
           {"CREATE TABLE t (id INTEGER, v TEXT); CREATE UNIQUE INDEX one ON t (lower(v))",
            SyncMode::Full, false, "UNIQUE constraint failed: index 'one'", rejected},
           // Symptom: "the primary key was dropped … set schemaChange to `ignore`", which changes
           // nothing.
           {"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL)", SyncMode::FullAppend, false,
            "its primary key is \"id\" and this load has no key", refused},
           // Built again for another type, with its indexes.
           {"CREATE TABLE t (id INTEGER, v INTEGER); CREATE UNIQUE INDEX one ON t (lower(v))",
            SyncMode::Full, false, "UNIQUE constraint failed: index 'one'", rejected}}) {
    std::filesystem::remove(in());
    std::filesystem::remove(out());
    sql(in(),
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, "
        "'A')");
    sql(out(), c.table);
    request_.run.mode = c.mode;
    request_.run.take_over = c.take_over;
    request_.run.entities["t"].cursor = "id";
    expect_refused(c.words, c.kind);
  }
}

TEST_F(SqliteTrial, RefusesAKeyThatIsNotUniqueInTheTable) {
  sql(in(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')");
  sql(out(), "CREATE TABLE t (id INTEGER, v TEXT); INSERT INTO t VALUES (1, 'x'), (1, 'y')");
  request_.run.mode = SyncMode::Incremental;
  request_.run.entities["t"].cursor = "id";
  request_.run.take_over = true;
  request_.run.limit = 1;  // else it would replace all rows
  expect_refused(
      "table \"t\": the rows there are not unique by \"id\": 2 rows have \"id\" = 1; "
      "choose another key (--key",
      "configuration");
}

TEST_F(SqliteTrial, RefusesTheNameOfAnIndexOfAnotherTable) {
  sql(in(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')");
  sql(out(), "CREATE TABLE o (id INTEGER); CREATE INDEX t ON o (id)");
  const std::string words = "there is already an index named \"t\", of the table \"o\"; drop";
  for (const bool dry : {true, false}) {
    const auto e = run(dry);
    EXPECT_EQ(e.error_kind, "configuration") << dry;
    EXPECT_NE(e.error.value_or("").find(words), std::string::npos) << e.error.value_or("");
  }
  // Seen here: an index that only had the name of ours was dropped.
  std::filesystem::remove(out());
  sql(out(),
      "CREATE TABLE o (id INTEGER); CREATE INDEX _tidegate_key_t ON o (id); CREATE TABLE t "
      "(id INTEGER, v TEXT)");
  for (const bool dry : {true, false}) {
    EXPECT_NE(run(dry).error.value_or("").find("named \"_tidegate_key_t\""), std::string::npos);
  }
  EXPECT_EQ(sql(out(), "SELECT tbl_name FROM sqlite_schema WHERE name = '_tidegate_key_t'"),
            Texts{"o"});
}

TEST_F(SqliteTrial, AcceptsWhatTheTableTakes) {
  sql(in(),
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  sql(out(), "CREATE TABLE t (id INTEGER CHECK (id > 0), v TEXT, at TEXT NOT NULL DEFAULT 'now')");
  const auto look = run(true);
  EXPECT_FALSE(look.error) << *look.error;
  const auto done = run(false);
  EXPECT_FALSE(done.error) << *done.error;
  EXPECT_EQ(sql(out(), "SELECT * FROM t"), (Texts{"1|a|now", "2|b|now"}));
}

TEST_F(SqliteTrial, ATakeOverThatFailsLeavesTheTableWithItsOwner) {
  sql(in(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')");
  EXPECT_FALSE(run(false).error);
  const Texts owner = sql(out(), "SELECT * FROM _tidegate_tables");
  const Texts state = sql(out(), "SELECT job, fence, state FROM _tidegate_state");
  sql(out(), "CREATE TRIGGER no BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'not now'); END");
  for (const SyncMode mode : {SyncMode::Full, SyncMode::FullAppend, SyncMode::Incremental}) {
    protocol::Request other = request_;
    other.run.mode = mode;
    other.run.entities["t"].cursor = "id";
    other.run.take_over = true;
    std::swap(other, request_);
    job_ = "other";
    EXPECT_NE(run(false).error.value_or("").find("not now"), std::string::npos);
    job_ = "j";
    std::swap(other, request_);
    EXPECT_EQ(sql(out(), "SELECT * FROM _tidegate_tables"), owner);
    EXPECT_EQ(sql(out(), "SELECT job, fence, state FROM _tidegate_state WHERE job = 'j'"), state);
    EXPECT_EQ(sql(out(), "SELECT id FROM t"), Texts{"1"});
  }
  sql(out(), "DROP TRIGGER no");
  const auto e = run(false);
  EXPECT_FALSE(e.error) << *e.error;
}

}  // namespace
}  // namespace tidegate::engine
