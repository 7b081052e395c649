#pragma once
// Test only: databases of their own on the servers that tools/with_mongo starts.

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/connectors/mongodb/connection.h"

namespace tidegate::engine::mongodb {

inline std::string server_url(const std::string& database, bool standalone = false) {
  const char* url =
      std::getenv(standalone ? "TIDEGATE_TEST_MONGO_STANDALONE" : "TIDEGATE_TEST_MONGO");
  if (url == nullptr) {
    throw std::runtime_error(
        "TIDEGATE_TEST_MONGO is not set: run this beneath tools/with_mongo (the server comes with "
        "./dev setup)");
  }
  std::string out = url;
  return out.insert(out.find('/', std::string("mongodb://").size()) + 1, database);
}

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(describe(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Somebody else who writes to the database.
inline std::unique_ptr<Connection> console(const std::string& database, bool standalone = false) {
  const boost::json::object config{{"url", server_url(database, standalone)}};
  return must(Connection::open(must(read_config(config, PathPolicy())), {}));
}

inline std::string database_of(const std::string& folder) {
  return "d" + std::to_string(std::hash<std::string>{}(folder));
}

// As a server that is lost ends them; a drop would wait for them.
inline void end_transactions(Connection& db) {
  std::vector<std::string> sessions;
  must(db.each("_tidegate_state", {}, {}, [&](const bson_t& d) -> Result<bool> {
    const std::string text = text_at(d, "session");
    const auto blank = text.find(' ');
    if (blank != std::string::npos && blank + 1 < text.size()) {
      sessions.push_back(text.substr(blank + 1));
    }
    return true;
  }));
  for (const auto& session : sessions) must(db.kill_session(session));
}

inline void drop_database(const std::string& database, bool standalone = false) {
  const auto db = console(database, standalone);
  if (!standalone) end_transactions(*db);
  must(db->run(Doc().put("dropDatabase", 1)));
}

}  // namespace tidegate::engine::mongodb
