// A session is the same whatever the server's settings; errors are what they are.

#include "engine/connectors/mysql/connection.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/connectors/mysql/server_fixture.h"

namespace tidegate::engine::mysql {
namespace {

using ::testing::HasSubstr;

// Settings of the server, until the end of the test; users without SUPER get init_connect.
class Settings {
 public:
  explicit Settings(Connection& db) : db_(db) {
    run(db_, "CREATE OR REPLACE USER plain@'%' IDENTIFIED BY 'plain'");
    run(db_, "GRANT ALL ON tidegate.* TO plain@'%'");
  }
  ~Settings() {
    for (const auto& [name, before] : before_) {
      const Status back = db_.exec(fmt::format("SET GLOBAL {} = {}", name, before));
      EXPECT_TRUE(back) << name;
    }
  }
  void set(const std::string& name, const std::string& value, const std::string& before) {
    before_.emplace_back(name, before);
    run(db_, fmt::format("SET GLOBAL {} = {}", name, value));
  }
  static std::unique_ptr<Connection> plain_user() {
    Config config = *read_config(config_of("tidegate"));
    config.user = "plain";
    config.password = Secret("plain");
    auto db = Connection::open(config, {}, true);
    if (!db) throw std::runtime_error(describe(db.error()));
    return std::move(*db);
  }

 private:
  Connection& db_;
  std::vector<std::pair<std::string, std::string>> before_;
};

// Symptom elsewhere: "😀" became "?", and of 1000 rows 100 were copied, with success.
TEST(MysqlSession, RowsAndLettersAreWholeWhateverTheServersSettings) {
  const auto db = console();
  Settings settings(*db);
  settings.set("init_connect", "'SET NAMES utf8mb3'", "''");
  settings.set("sql_select_limit", "1", "18446744073709551615");
  settings.set("sql_safe_updates", "1", "0");
  settings.set("tx_isolation", "'READ-UNCOMMITTED'", "'REPEATABLE-READ'");
  settings.set("completion_type", "'RELEASE'", "'NO_CHAIN'");
  settings.set("max_statement_time", "20", "0");
  const auto plain = Settings::plain_user();
  run(*plain, "CREATE OR REPLACE TABLE smiles (s longtext CHARACTER SET utf8mb4)");
  run(*plain, "INSERT INTO smiles VALUES ('😀'), ('b'), ('c')");
  const auto rows = plain->query("SELECT s FROM smiles ORDER BY s DESC");
  ASSERT_TRUE(rows) << describe(rows.error());
  ASSERT_EQ(rows->size(), 3);
  EXPECT_EQ(rows->text(0, 0), "😀");
  run(*plain, "UPDATE smiles SET s = 'd'");
  run(*plain, "START TRANSACTION");
  run(*plain, "COMMIT");
  const auto set = plain->query("SELECT @@tx_isolation, @@completion_type, @@max_statement_time");
  ASSERT_TRUE(set) << describe(set.error());
  EXPECT_EQ(set->text(0, 0), "REPEATABLE-READ");
  EXPECT_EQ(set->text(0, 1), "NO_CHAIN");
  EXPECT_EQ(set->text(0, 2), "0.000000");
}

// Symptom elsewhere: a trigger's own number was taken for a lost connection, run after run.
TEST(MysqlErrors, WhatATriggerSignalsIsNoLostConnection) {
  const auto db = console();
  for (const char* number : {"50001", "6001", "1205", "1317"}) {
    const Status refused = db->exec(fmt::format(
        "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {}, MESSAGE_TEXT = 'no such rows'", number));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::Invalid) << number;
    EXPECT_THAT(refused.error().message, HasSubstr("no such rows"));
    EXPECT_TRUE(db->error_signalled() && db->is_open()) << number;
  }
  EXPECT_FALSE(db->exec("SELEC"));
  EXPECT_FALSE(db->error_signalled());
}

TEST(MysqlErrors, WhatPassesByItselfIsTriedAgain) {
  const auto db = console();
  for (const char* number : {"1020", "1205", "1213", "1969", "3024"}) {
    const Status refused =
        db->exec(fmt::format("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}", number));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::Unavailable) << number;
    EXPECT_TRUE(db->is_open()) << number;
  }
}

}  // namespace
}  // namespace tidegate::engine::mysql
