#pragma once
// Test only: databases of their own on the server that tools/with_mysql starts.

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

#include "engine/connectors/mysql/connection.h"

namespace tidegate::engine::mysql {

inline std::string server_url(const std::string& database = "tidegate") {
  const char* url = std::getenv("TIDEGATE_TEST_MYSQL");
  if (url == nullptr) {
    throw std::runtime_error(
        "TIDEGATE_TEST_MYSQL is not set: run this beneath tools/with_mysql (it needs apt-get "
        "install -y mariadb-server)");
  }
  const std::string base = url;
  return base.substr(0, base.rfind('/') + 1) + database;
}

inline boost::json::object config_of(const std::string& database) {
  return {{"url", server_url(database)}};
}

// Somebody who writes to the database.
inline std::unique_ptr<Connection> console(const std::string& database = "tidegate") {
  auto config = read_config(config_of(database));
  if (!config) throw std::runtime_error(describe(config.error()));
  auto db = Connection::open(*config, {}, true);
  if (!db) throw std::runtime_error(describe(db.error()));
  return std::move(*db);
}

inline void run(Connection& db, const std::string& sql) {
  const Status done = db.exec(sql);
  if (!done) throw std::runtime_error(sql + ": " + describe(done.error()));
}

// Made when it is first asked for; the server is gone after the test.
inline std::string database_of(const std::string& folder) {
  static std::set<std::string> made;
  std::string name = "d" + std::to_string(std::hash<std::string>{}(folder));
  if (made.insert(name).second) run(*console(), "CREATE DATABASE " + name);
  return name;
}

// Also while somebody is at work in it.
inline void drop_database(const std::string& name) {
  const auto db = console();
  const auto users =
      db->query("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '" + name + "'");
  for (int i = 0; users && i < users->size(); ++i)
    (void)db->exec("KILL CONNECTION " + users->text(i, 0));  // it may be gone by now
  run(*db, "DROP DATABASE " + name);
}

}  // namespace tidegate::engine::mysql
