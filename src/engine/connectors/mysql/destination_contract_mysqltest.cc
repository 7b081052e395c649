// The shared contract suite over the MySQL destination, read back by the MySQL source.

#include "engine/connectors/mysql/mysql.h"
#include "engine/connectors/mysql/server_fixture.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

using Loss = contract::DestinationUnderTest::Loss;

boost::json::object in_database(const std::string& folder) {
  return mysql::config_of(mysql::database_of(folder));
}

std::vector<std::string> rejected(const std::string& folder) {
  const auto db = mysql::console(mysql::database_of(folder));
  const auto rows = db->query(
      "SELECT concat(run_id, '/', attempt, ' ', locator) AS seen FROM _tidegate_rejected ORDER BY "
      "seen COLLATE utf8mb4_nopad_bin");
  std::vector<std::string> out;
  for (int i = 0; rows && i < rows->size(); ++i) out.emplace_back(rows->text(i, 0));
  return out;
}

void lose(const std::string& folder, Loss) {
  const std::string name = mysql::database_of(folder);
  mysql::drop_database(name);
  mysql::run(*mysql::console(), "CREATE DATABASE " + name);
}

void copy_tables(const std::string& from, const std::string& to) {
  const auto db = mysql::console(from);
  const auto tables = db->query("SHOW TABLES");
  for (int i = 0; tables && i < tables->size(); ++i) {
    const std::string name = db->identifier(tables->text(i, 0));
    mysql::run(*db, "CREATE TABLE " + to + "." + name + " LIKE " + name);
    mysql::run(*db, "INSERT INTO " + to + "." + name + " SELECT * FROM " + name);
  }
}

void back_up(const std::string& folder) {
  const std::string name = mysql::database_of(folder);
  mysql::run(*mysql::console(), "CREATE DATABASE " + name + "_old");
  copy_tables(name, name + "_old");
}

void restore(const std::string& folder) {
  const std::string name = mysql::database_of(folder);
  mysql::drop_database(name);
  mysql::run(*mysql::console(), "CREATE DATABASE " + name);
  copy_tables(name + "_old", name);
  mysql::drop_database(name + "_old");
}

void tidy(const std::string& folder) { mysql::drop_database(mysql::database_of(folder)); }

TIDEGATE_DESTINATION_CONTRACT(Mysql, (DestinationUnderTest{.name = "mysql",
                                                           .connector = &mysql_connector,
                                                           .config = &in_database,
                                                           .reader = &mysql_connector,
                                                           .reader_config = &in_database,
                                                           .rejected = &rejected,
                                                           .lose = &lose,
                                                           .back_up = &back_up,
                                                           .restore = &restore,
                                                           .tidy = &tidy}));

}  // namespace
}  // namespace tidegate::engine
