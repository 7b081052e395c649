#pragma once
// What the tests of the DuckDB connector share: a file made by hand as the source, another as the
// destination, and whole requests between them.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/duckdb.h"
#include "engine/contract/fixture.h"
#include "engine/core/engine.h"

namespace tidegate::engine {

using Texts = std::vector<std::string>;

inline boost::json::object out_file(const std::string& folder) {
  return {{"path", folder + "/out.duckdb"}};
}

inline contract::DestinationUnderTest duckdb_under_test() {
  return {.name = "duckdb",
          .connector = &duckdb_connector,
          .config = &out_file,
          .reader = &duckdb_connector,
          .reader_config = &out_file};
}

class Duckdb : public testing::Test {
 protected:
  std::string in() const { return bench_.folder + "/in.duckdb"; }
  std::string out() const { return bench_.folder + "/out.duckdb"; }

  // Runs statements; then, when there is a query, its rows with every value as text.
  Texts sql(const std::string& path, const std::vector<std::string>& statements,
            const std::string& query = "") {
    const auto db = duckdb::Db::open(path, duckdb::Open::Write, Millis(0), context_);
    EXPECT_TRUE(db) << (db ? "" : describe(db.error()));
    for (const auto& s : statements) {
      const Status done = (*db)->exec(s);
      EXPECT_TRUE(done) << s << ": " << (done ? "" : describe(done.error()));
    }
    Texts out;
    if (query.empty()) return out;
    const auto width = (*db)->query(fmt::format("SELECT count(*) FROM (DESCRIBE {})", query));
    const auto rows =
        (*db)->query(fmt::format("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({})", query));
    EXPECT_TRUE(rows && width) << query << (rows ? "" : describe(rows.error()));
    for (std::int64_t i = 0; rows && i < rows->size(); ++i) {
      std::string row;
      for (std::size_t c = 0; c < static_cast<std::size_t>(width->integer(0, 0)); ++c)
        row += (c == 0 ? "" : "|") + (rows->null(i, c) ? "∅" : rows->text(i, c));
      out.push_back(std::move(row));
    }
    return out;
  }
  Texts look(const std::string& query) { return sql(out(), {}, query); }

  protocol::RunResult answer(protocol::RequestKind kind = protocol::RequestKind::Run) {
    request_.kind = kind;
    request_.source = protocol::Endpoint{"duckdb", {{"path", in()}}};
    request_.destination = protocol::Endpoint{"duckdb", out_file(bench_.folder)};
    if (kind == protocol::RequestKind::Discover) request_.destination.reset();
    request_.run.job = "j";
    if (request_.run.run_id.empty()) request_.run.run_id = RunId("r");
    LeaseGuard lease(clock_, {}, Millis(0));
    const Connector* const all[] = {&duckdb_connector()};
    return engine::answer(request_, all, context_, lease, sink_);
  }

  contract::Bench bench_{duckdb_under_test()};
  protocol::Request request_;
  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  const Context context_{.clock = clock_, .rng = rng_, .paths = paths_, .stop = {}};
  contract::CollectingSink sink_;
};

}  // namespace tidegate::engine
