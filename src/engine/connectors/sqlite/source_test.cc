// What the SQLite source reads of columns whose declaration and values differ, and of conditions.

#include "engine/connectors/sqlite/sqlite_fixture.h"

namespace tidegate::engine {
namespace {

class SqliteSourceValues : public Sqlite {};

// Seen here: 123456789012.3456 landed as 123456789012.3460, 12345678901234.567 as .600.
TEST_F(SqliteSourceValues, ADecimalKeptAsRealKeepsAllItsDigits) {
  sql(in(),
      "CREATE TABLE t (a NUMERIC(18,4), b DECIMAL(20,3), c DECIMAL(9,6)); INSERT INTO t VALUES "
      // SQLite 3.40 stores the neighbour of 0.609153, and sums have such noise everywhere.
      "(123456789012.3456, 12345678901234.567, 0.609153), (0.1, 1e15, 0.1 + 0.2)");
  ASSERT_EQ(sql(in(), "SELECT DISTINCT typeof(a) FROM t"), Texts{"real"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(sql(out(), "SELECT a, b, c FROM t"),
            (Texts{"123456789012.3456|12345678901234.566|0.609153",
                   "0.1000|1000000000000000.000|0.300000"}));
}

// Seen here: a running total that had drifted by a few units of its last place failed its entity.
TEST_F(SqliteSourceValues, ADriftedSumIsReadAsItsDeclaredDigits) {
  sql(in(),
      "CREATE TABLE t (balance DECIMAL(10,2)); INSERT INTO t VALUES (0.1); "
      "WITH RECURSIVE i(n, s) AS (SELECT 0, 0.1 UNION ALL SELECT n + 1, s + 0.1 FROM i WHERE n < "
      "30) UPDATE t SET balance = (SELECT s FROM i WHERE n = 30)");
  ASSERT_EQ(sql(in(), "SELECT balance = 3.1 FROM t"), Texts{"0"});
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(sql(out(), "SELECT balance FROM t"), Texts{"3.10"});
}

// Seen here: digits beyond the declared scale were dropped without a word.
TEST_F(SqliteSourceValues, ADecimalKeptAsRealWithMoreDigitsIsRejected) {
  sql(in(), "CREATE TABLE t (a NUMERIC(18,4)); INSERT INTO t VALUES (123456789012.34567)");
  const auto r = answer();
  EXPECT_EQ(r.error_kind, "data");
  EXPECT_NE(r.error.value_or("").find("123456789012.34567 does not fit decimal(18,4)"),
            std::string::npos)
      << r.error.value_or("");
}

// Seen here: with `code STRING` the value '95' is stored as a number, which SQLite sorts before the
// bound '8x' of the run before; it was never read.
TEST_F(SqliteSourceValues, ACursorOfTextsAmongNumbersLosesNoRow) {
  sql(in(),
      "CREATE TABLE t (code STRING, v TEXT); INSERT INTO t VALUES ('8x', 'a'), (7, 'b'); "
      "CREATE TABLE p (n INTEGER); INSERT INTO p VALUES (7); CREATE TABLE q (s TEXT); "
      "INSERT INTO q VALUES ('8x'); CREATE VIEW u AS SELECT s FROM q UNION ALL SELECT n FROM p");
  request_.run.mode = protocol::SyncMode::IncrementalAppend;
  request_.run.entities["t"].cursor = "code";
  request_.run.entities["u"].cursor = "s";
  request_.run.entity_filter = {"t", "u"};
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  sql(in(), "INSERT INTO t VALUES ('95', 'late'); INSERT INTO p VALUES (95)");
  request_.run.run_id = RunId("r2");
  const auto r = answer();
  ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(sql(out(), "SELECT code, v FROM t ORDER BY code"), (Texts{"7|b", "8x|a", "95|late"}));
  EXPECT_EQ(sql(out(), "SELECT s FROM u ORDER BY s"), (Texts{"7", "8x", "95"}));
}

// Seen here: `id = ?` read no row and succeeded, `1) or (1` passed, and errors did not name
// `where`.
TEST_F(SqliteSourceValues, AConditionIsOneExpressionWithoutParameters) {
  sql(in(), "CREATE TABLE t (id INTEGER, v TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')");
  const std::pair<const char*, const char*> bad[] = {
      {"id = ?", "parameter"},
      {"id = :id", "parameter"},
      {"1) or (1", "syntax"},
      {"1 LIMIT 1", "syntax"},
      {"id > 1 /*", "refused"},
      {"", "empty"},
      {" \n", "empty"},
      {"-- nothing", "incomplete"},
      {"load_extension('x')", "load_extension"},
      {"json_extract(v, '$.a') = 1", "malformed JSON"},
  };
  for (const auto& [where, says] : bad) {
    request_.run.entities["t"].where = where;
    const auto r = answer();
    EXPECT_EQ(r.error_kind, "configuration") << where;
    const std::string error = r.error.value_or("");
    EXPECT_NE(error.find("`where`"), std::string::npos) << where << ": " << error;
    EXPECT_NE(error.find(says), std::string::npos) << where << ": " << error;
  }
  request_.run.entities["t"].where = "id IN (SELECT max(id) FROM t) OR v = '?' -- that's all";
  ASSERT_EQ(answer().code, protocol::ExitCode::Done);
  EXPECT_EQ(sql(out(), "SELECT id FROM t"), Texts{"2"});
}

}  // namespace
}  // namespace tidegate::engine
