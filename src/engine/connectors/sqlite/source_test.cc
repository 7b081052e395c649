// What the SQLite source reads of columns whose declaration and values differ, and of conditions.

#include <fmt/format.h>

#include <filesystem>
#include <map>

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

// Symptom: only rows above the bound are read, so `10` after `9` was left out of every run.
TEST_F(SqliteSourceValues, ARowThatFollowsTheBoundBelowItIsFoundAndFails) {
  struct Case {
    const char *first, *next;
    bool refused;
  };
  const Case cases[] = {{"9", "10", true},
                        {"9/30/2026", "10/1/2026", true},
                        {"31.12.2025", "01.01.2026", true},
                        {"0009", "0010", false},
                        {"2026-09-30T00:00:00Z", "2026-10-01T00:00:00Z", false}};
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"] = {.cursor = "at", .primary_key = {"id"}, .where = "id < 9 -- all"};
  for (const Case& c : cases) {
    std::filesystem::remove(in());
    std::filesystem::remove(out());
    sql(in(), fmt::format("CREATE TABLE t (id INTEGER, at TEXT); INSERT INTO t VALUES (1, '{}')",
                          c.first));
    request_.run.run_id = RunId("r1");
    ASSERT_EQ(answer().code, protocol::ExitCode::Done);
    // Left out by the condition of the entity.
    sql(in(), fmt::format("INSERT INTO t VALUES (2, '{0}'), (9, '999999')", c.next));
    request_.run.run_id = RunId("r2");
    for (const bool dry : {true, false}) {
      request_.run.dry_run = dry;
      const auto r = answer();
      EXPECT_EQ(r.error_kind.value_or(""), c.refused ? "data" : "") << c.next;
      if (!c.refused) continue;
      EXPECT_NE(
          r.error.value_or("").find(fmt::format("\"{}\" comes after \"{}\"", c.next, c.first)),
          std::string::npos)
          << r.error.value_or("");
    }
    EXPECT_EQ(sql(out(), "SELECT count(*) FROM t"), Texts{c.refused ? "1" : "2"});
  }
}

// Symptom: the first run took such names and values, and every later one failed with "not valid
// JSON at byte 281".
TEST_F(SqliteSourceValues, NamesThatAreNotUtf8AreRefusedAndTheOtherTablesCopied) {
  sql(in(),
      "CREATE TABLE \"x\xff\" (a); INSERT INTO \"x\xff\" VALUES (1); CREATE TABLE t (id INTEGER "
      "PRIMARY KEY, \"c\xff\" TEXT); CREATE TABLE \"größe\" (id INTEGER); INSERT INTO \"größe\" "
      "VALUES "
      "(7)");
  for (int i = 0; i < 2; ++i) {
    const auto r = answer();
    EXPECT_EQ(r.error_kind, "data");
    std::map<std::string, std::string> errors;
    for (const auto& e : r.entities) errors[e.entity] = e.error.value_or("");
    ASSERT_EQ(errors.size(), 3U);
    EXPECT_EQ(errors.at("größe"), "");
    EXPECT_NE(errors.at("x\\xff").find("the table \"x\\xff\" has a name that is not valid UTF-8; "
                                       "rename it"),
              std::string::npos)
        << errors.at("x\\xff");
    EXPECT_NE(errors.at("t").find("table \"t\": column 2 is named \"c\\xff\", which is not valid "
                                  "UTF-8; rename it"),
              std::string::npos)
        << errors.at("t");
  }
  EXPECT_EQ(sql(out(), "SELECT id FROM \"größe\""), Texts{"7"});
  const auto found = answer(protocol::RequestKind::Discover);
  EXPECT_EQ(found.code, protocol::ExitCode::Done) << found.error.value_or("");
  // Chosen by the name that the error shows.
  request_.run.entity_filter = {"x\\xff"};
  const auto one = answer();
  ASSERT_EQ(one.entities.size(), 1U);
  EXPECT_EQ(one.error_kind, "data");
}

TEST_F(SqliteSourceValues, TextThatIsNotUtf8IsRejectedAlsoAsACursor) {
  sql(in(),
      "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v); INSERT INTO t VALUES (cast(x'ff' AS "
      "TEXT), "
      "1), ('a', 2)");
  request_.run.mode = protocol::SyncMode::Incremental;
  request_.run.entities["t"].cursor = "id";
  const auto refused = answer();
  EXPECT_EQ(refused.error_kind, "data");
  EXPECT_NE(refused.error.value_or("").find("column \"id\": '\\xff' is not valid UTF-8"),
            std::string::npos)
      << refused.error.value_or("");
  request_.run.max_rejected = 1;
  for (const std::int64_t written : {1, 0}) {
    const auto r = answer();
    ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
    EXPECT_EQ(r.entities[0].rows_written, written);
    EXPECT_EQ(r.entities[0].rows_rejected, 1);
    request_.run.run_id = RunId("r2");
  }
  EXPECT_EQ(sql(out(), "SELECT * FROM t"), Texts{"a|2"});
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

// Symptom: `sync -i` offered `id` of UNIQUE (id, lang), and kept one row of each id.
TEST_F(SqliteSourceValues, OnlyAColumnThatIsUniqueByItselfIsAKeyCandidate) {
  const struct {
    const char* unique;
    Texts candidates;
  } cases[] = {{"CREATE UNIQUE INDEX u ON t (id)", {"id"}},
               {"CREATE UNIQUE INDEX u ON t (id, lang)", {}},
               {"CREATE UNIQUE INDEX u ON t (lower(lang), id)", {}},
               {"CREATE UNIQUE INDEX u ON t (lower(lang))", {}},
               {"CREATE UNIQUE INDEX u ON t (id) WHERE lang = 'en'", {}},
               {"CREATE INDEX u ON t (id)", {}},
               {"CREATE UNIQUE INDEX u ON t (id); CREATE UNIQUE INDEX v ON t (id DESC); "
                "CREATE UNIQUE INDEX w ON t (id, lang)",
                {"id"}}};
  for (const auto& c : cases) {
    sql(in(),
        std::string("DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER, lang TEXT); ") + c.unique);
    const auto r = answer(protocol::RequestKind::Discover);
    ASSERT_EQ(r.code, protocol::ExitCode::Done) << r.error.value_or("");
    Texts found;
    for (const auto& name : r.reply.at("entities").at(0).at("keyCandidates").as_array()) {
      found.emplace_back(name.as_string());
    }
    EXPECT_EQ(found, c.candidates) << c.unique;
  }
}

}  // namespace
}  // namespace tidegate::engine
