#pragma once
// What the tests of the SQLite connector share: a database made by hand as the source, another as
// the destination, and whole requests between them.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>
#include <vector>

#include "engine/connectors/sqlite/sqlite.h"
#include "engine/contract/fixture.h"
#include "engine/core/engine.h"

namespace tidegate::engine {

using Texts = std::vector<std::string>;

inline boost::json::object out_db(const std::string& folder) {
  return {{"path", folder + "/out.db"}};
}
inline boost::json::object in_db(const std::string& folder) {
  return {{"path", folder + "/in.db"}};
}

inline contract::DestinationUnderTest sqlite_under_test() {
  return {.name = "sqlite",
          .connector = &sqlite_connector,
          .config = &out_db,
          .reader = &sqlite_connector,
          .reader_config = &out_db};
}

// Runs SQL with the plain library, as another program would.
inline Texts sql(const std::string& path, const std::string& text) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  Texts rows;
  char* error = nullptr;
  sqlite3_exec(
      db, text.c_str(),
      [](void* out, int n, char** values, char**) {
        std::string row;
        for (int i = 0; i < n; ++i)
          row += (i == 0 ? "" : "|") + std::string(values[i] == nullptr ? "∅" : values[i]);
        static_cast<Texts*>(out)->push_back(row);
        return 0;
      },
      &rows, &error);
  EXPECT_EQ(error, nullptr) << error;
  sqlite3_free(error);
  sqlite3_close(db);
  return rows;
}

class Sqlite : public testing::Test {
 protected:
  std::string in() const { return bench_.folder + "/in.db"; }
  std::string out() const { return bench_.folder + "/out.db"; }

  protocol::RunResult answer(protocol::RequestKind kind = protocol::RequestKind::Run) {
    request_.kind = kind;
    if (!request_.source) request_.source = protocol::Endpoint{"sqlite", in_db(bench_.folder)};
    request_.destination = protocol::Endpoint{"sqlite", out_db(bench_.folder)};
    if (kind == protocol::RequestKind::Discover) request_.destination.reset();
    request_.run.job = job_;
    if (request_.run.run_id.empty()) request_.run.run_id = RunId("r");
    const PathPolicy paths(request_.path_roots, request_.forbidden_paths);
    const Context context{.clock = clock_, .rng = rng_, .paths = paths, .stop = {}};
    LeaseGuard lease(clock_, {}, Millis(0));
    const Connector* const all[] = {&sqlite_connector()};
    return engine::answer(request_, all, context, lease, sink_);
  }

  contract::Bench bench_{sqlite_under_test()};
  protocol::Request request_;
  std::string job_ = "j";
  SystemClock clock_;
  SystemRng rng_;
  contract::CollectingSink sink_;
};

}  // namespace tidegate::engine
