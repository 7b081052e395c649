// Rows that the destination's table leaves out, replaces or removes without an error.

#include "engine/connectors/sqlite/sqlite_fixture.h"
#include "engine/connectors/sqlite/table_sql.h"

namespace tidegate::engine {
namespace {

using protocol::ExitCode;
using protocol::SyncMode;

// Symptom: 88,701 rows read, 41,008 landed, "succeeded".
class SqliteLostRows : public Sqlite {
 protected:
  // `u` in the source, and the user's own `u` in the destination with its triggers.
  void make(const std::string& table, const std::string& triggers = "") {
    sql(in(), "CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT, at INT)");
    sql(out(), table + "; " + triggers);
    request_.run.entities["u"].cursor = "at";
  }
  protocol::EntityResult run(SyncMode mode, std::int64_t max_rejected) {
    request_.run.mode = mode;
    request_.run.max_rejected = max_rejected;
    request_.run.run_id = RunId("r" + std::to_string(++runs_));
    const auto r = answer();
    EXPECT_EQ(r.entities.size(), 1U) << r.error.value_or("");
    return r.entities.empty() ? protocol::EntityResult{} : r.entities[0];
  }
  Texts stored() { return sql(out(), "SELECT * FROM u ORDER BY id"); }
  // The first run fails and leaves `before`; the next accepts the row and leaves `after`.
  void expect_rejected(SyncMode mode, const Texts& before, const Texts& after,
                       const std::string& reason) {
    auto e = run(mode, 0);
    EXPECT_EQ(e.error_kind, "data") << e.error.value_or("");
    EXPECT_NE(e.error.value_or("").find("First: u (id=2): " + reason), std::string::npos)
        << e.error.value_or("");
    EXPECT_EQ(stored(), before);
    e = run(mode, 1);
    EXPECT_FALSE(e.error) << *e.error;
    EXPECT_EQ(stored(), after);
    EXPECT_EQ(e.rows_rejected, 1);
    EXPECT_EQ(e.rows_deduplicated, mode == SyncMode::Full ? 0 : 1);  // the row at the bound
    EXPECT_EQ(e.rows_read, e.rows_written + e.rows_rejected + e.rows_deduplicated);
    EXPECT_EQ(sql(out(), "SELECT DISTINCT locator FROM _tidegate_rejected"), Texts{"u (id=2)"});
  }
  // Row 2 has the email of row 1, which an earlier run wrote.
  void expect_second_row_rejected(const std::string& reason) {
    sql(in(), "INSERT INTO u VALUES (1, 'a', 10)");
    EXPECT_FALSE(run(SyncMode::Incremental, 0).error);
    sql(in(), "INSERT INTO u VALUES (2, 'a', 20), (3, 'c', 30)");
    expect_rejected(SyncMode::Incremental, {"1|a|10"}, {"1|a|10", "3|c|30"}, reason);
    expect_rejected_in_full(reason);
  }
  void expect_rejected_in_full(const std::string& reason) {
    sql(out(), "DELETE FROM _tidegate_rejected; DELETE FROM _tidegate_state");
    expect_rejected(SyncMode::Full, {"1|a|10", "3|c|30"}, {"1|a|10", "3|c|30"}, reason);
  }

  int runs_ = 0;
};

TEST_F(SqliteLostRows, AConflictClauseThatIgnoresRejects) {
  make("CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT UNIQUE ON CONFLICT IGNORE, at INT)");
  expect_second_row_rejected("UNIQUE constraint failed: u.email");
}

TEST_F(SqliteLostRows, AConflictClauseThatReplacesRejects) {
  make(
      "CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT UNIQUE on /**/ conflict REPLACE, at "
      "INT)");
  expect_second_row_rejected("UNIQUE constraint failed: u.email");
}

TEST_F(SqliteLostRows, AConflictClauseThatRollsBackRejects) {
  make("CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT UNIQUE ON CONFLICT ROLLBACK, at INT)");
  expect_second_row_rejected("UNIQUE constraint failed: u.email");
}

TEST_F(SqliteLostRows, ATriggerThatIgnoresRejects) {
  make("CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT, at INT)",
       "CREATE TRIGGER one BEFORE INSERT ON u WHEN EXISTS (SELECT 1 FROM u WHERE email = NEW.email "
       "AND id <> NEW.id) BEGIN SELECT RAISE(IGNORE); END");
  expect_second_row_rejected("a trigger of the table left the row out");
}

TEST_F(SqliteLostRows, ATriggerThatIgnoresAnUpdateRejects) {
  make("CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT, at INT)",
       "CREATE TRIGGER fixed BEFORE UPDATE ON u BEGIN SELECT RAISE(IGNORE); END");
  sql(in(), "INSERT INTO u VALUES (1, 'a', 10), (2, 'b', 20)");
  EXPECT_FALSE(run(SyncMode::Incremental, 0).error);
  sql(in(), "UPDATE u SET email = 'B', at = 30 WHERE id = 2; INSERT INTO u VALUES (3, 'c', 40)");
  auto e = run(SyncMode::Incremental, 0);
  EXPECT_EQ(e.error_kind, "data") << e.error.value_or("");
  EXPECT_EQ(stored(), (Texts{"1|a|10", "2|b|20"}));
  e = run(SyncMode::Incremental, 1);
  EXPECT_FALSE(e.error) << *e.error;
  EXPECT_EQ(e.rows_rejected, 1);
  EXPECT_EQ(stored(), (Texts{"1|a|10", "2|b|20", "3|c|40"}));
}

TEST_F(SqliteLostRows, ALoadWithoutAKeyRejectsTheRowsThatATriggerIgnores) {
  for (const bool append : {false, true}) {
    std::filesystem::remove(in());
    std::filesystem::remove(out());
    sql(in(), "CREATE TABLE u (id INT, v TEXT); INSERT INTO u VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    sql(out(),
        std::string("CREATE TABLE u (id INT, v TEXT") + (append ? ", _tidegate_load_id TEXT" : "") +
            "); CREATE TRIGGER odd BEFORE INSERT ON u WHEN NEW.id = 2 BEGIN SELECT RAISE(IGNORE); "
            "END");
    const SyncMode mode = append ? SyncMode::FullAppend : SyncMode::Full;
    EXPECT_EQ(run(mode, 0).error_kind, "data");
    EXPECT_EQ(sql(out(), "SELECT id FROM u"), Texts{});
    const auto e = run(mode, 1);
    EXPECT_EQ(e.rows_rejected, 1) << e.error.value_or("");
    EXPECT_EQ(sql(out(), "SELECT id FROM u"), (Texts{"1", "3"}));
  }
}

// They cannot be told one by one.
TEST_F(SqliteLostRows, ATriggerThatRemovesRowsOfAFullLoadFailsIt) {
  const std::string tables[] = {"CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT, at INT)",
                                "CREATE TABLE u (id INT, email TEXT, at INT)"};
  for (const std::string& table : tables) {
    std::filesystem::remove(in());
    std::filesystem::remove(out());
    sql(in(), table + "; INSERT INTO u VALUES (1, 'a', 10), (2, 'b', 20)");
    sql(out(), table +
                   "; CREATE TRIGGER last AFTER INSERT ON u BEGIN DELETE FROM u WHERE id < NEW.id; "
                   "END");
    const auto e = run(SyncMode::Full, 0);
    EXPECT_EQ(e.error_kind, "data") << e.error.value_or("");
    EXPECT_NE(e.error.value_or("").find("the table \"u\" was given 2 rows and has 1"),
              std::string::npos)
        << e.error.value_or("");
    EXPECT_EQ(stored(), Texts{});
  }
}

TEST_F(SqliteLostRows, RowsOfOneKeyAreStillToldFromThem) {
  make("CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT UNIQUE ON CONFLICT IGNORE, at INT)");
  sql(in(),
      "DROP TABLE u; CREATE TABLE u (id INT, email TEXT, at INT); INSERT INTO u VALUES (1, 'a', "
      "10), (1, 'b', 30), (1, 'c', 20), (2, 'd', 10)");
  request_.run.entities["u"].primary_key = {"id"};
  auto e = run(SyncMode::Incremental, 0);  // the first one replaces
  EXPECT_FALSE(e.error) << *e.error;
  EXPECT_EQ(e.rows_superseded, 2);
  EXPECT_EQ(e.rows_written, 2);
  EXPECT_EQ(stored(), (Texts{"1|b|30", "2|d|10"}));
  sql(in(), "INSERT INTO u VALUES (2, 'e', 50), (2, 'f', 40), (3, 'g', 40)");
  e = run(SyncMode::Incremental, 0);
  EXPECT_FALSE(e.error) << *e.error;
  EXPECT_EQ(e.rows_superseded, 1);
  EXPECT_EQ(e.rows_deduplicated, 1);  // the row at the bound
  EXPECT_EQ(e.rows_written, 2);
  EXPECT_EQ(e.rows_updated, 1);
  EXPECT_EQ(stored(), (Texts{"1|b|30", "2|e|50", "3|g|40"}));
}

TEST_F(SqliteLostRows, ARowThatIsAllKeyAndIsThereIsNoLoss) {
  sql(in(), "CREATE TABLE u (id INTEGER PRIMARY KEY); INSERT INTO u VALUES (1), (2)");
  request_.run.entities["u"].cursor = "id";
  EXPECT_FALSE(run(SyncMode::Incremental, 0).error);
  sql(in(), "INSERT INTO u VALUES (3)");
  const auto e = run(SyncMode::Incremental, 0);
  EXPECT_FALSE(e.error) << *e.error;
  EXPECT_EQ(e.rows_written, 1);
  EXPECT_EQ(stored(), (Texts{"1", "2", "3"}));
}

TEST_F(SqliteLostRows, TriggersThatTakeNothingAwayGoOnAsTheyWere) {
  make("CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT, at INT)",
       "CREATE TABLE last (one INTEGER PRIMARY KEY, id INT); CREATE TRIGGER mark AFTER INSERT ON u "
       "BEGIN INSERT OR REPLACE INTO last VALUES (1, NEW.id); END");
  sql(in(), "INSERT INTO u VALUES (1, 'a', 10), (2, 'b', 20)");
  for (const SyncMode mode : {SyncMode::Full, SyncMode::Incremental}) {
    const auto e = run(mode, 0);
    EXPECT_FALSE(e.error) << *e.error;
    EXPECT_EQ(stored(), (Texts{"1|a|10", "2|b|20"}));
    EXPECT_EQ(sql(out(), "SELECT id FROM last"), Texts{"2"});
  }
}

TEST(SqliteTableSql, ConflictClausesAreFound) {
  EXPECT_TRUE(sqlite::has_conflict_clause("CREATE TABLE t (a UNIQUE ON/* x */conflict FAIL)"));
  EXPECT_FALSE(sqlite::has_conflict_clause("CREATE TABLE t (a, on_conflict, b -- ON CONFLICT\n)"));
  EXPECT_FALSE(sqlite::has_conflict_clause("CREATE TABLE t (a REFERENCES o ON DELETE CASCADE)"));
}

}  // namespace
}  // namespace tidegate::engine
