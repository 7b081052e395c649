#pragma once
// Test only: loads of one entity into a database of the test's own.

#include <arrow/type.h>
#include <gtest/gtest.h>

#include "engine/connectors/postgres/postgres.h"
#include "engine/connectors/postgres/server_fixture.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine::postgres {

using contract::batch_of;

inline boost::json::object in_database(const std::string& folder) {
  return config_of(database_of(folder));
}
inline void tidy(const std::string& folder) {
  run(*console(), "DROP DATABASE " + database_of(folder) + " WITH (FORCE)");
}

inline const auto kSchema =
    arrow::schema({arrow::field("id", arrow::int64(), false), arrow::field("name", arrow::utf8())});

class LoadTest : public ::testing::Test {
 protected:
  LoadTest() : db_(console(database_of(bench_.folder))) {
    bench_.spec.mode = protocol::SyncMode::Full;
    bench_.entity().schema = kSchema;
    bench_.entity().primary_key = {"id"};
    load(R"([[1, "a"], [2, "b"]])");
  }

  // One run: what is in the table then.
  std::vector<std::string> load(const std::string& rows) {
    bench_.entity().batches = {batch_of(kSchema, rows)};
    bench_.spec.fence = Fence(value(bench_.spec.fence) + 1);
    last_ = bench_.run();
    EXPECT_EQ(last_.outcome, protocol::EntityOutcome::Succeeded) << last_.error.value_or("");
    bench_.remember();
    return bench_.stored();
  }
  void sql(std::string text) {
    for (std::size_t end = 0; !text.empty(); text.erase(0, end)) {
      end = std::min(text.find("; "), text.size());
      run(*db_, text.substr(0, end));
      end = std::min(end + 2, text.size());
    }
  }
  std::string ask(Connection& db, const std::string& query) {
    const auto rows = db.query(query);
    if (!rows) throw std::runtime_error(describe(rows.error()));
    return rows->size() == 0 ? "" : std::string(rows->text(0, 0));
  }
  std::string ask(const std::string& query) { return ask(*db_, query); }
  std::string oid() { return ask("SELECT 't'::regclass::oid"); }
  std::string stages() {
    return ask(
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE "
        "'\\_tidegate\\_stage%'");
  }

  contract::Bench bench_{{.name = "postgres",
                          .connector = &postgres_connector,
                          .config = &in_database,
                          .reader = &postgres_connector,
                          .reader_config = &in_database,
                          .rejected = nullptr,
                          .tidy = &tidy}};
  std::unique_ptr<Connection> db_;
  protocol::EntityResult last_;
};

}  // namespace tidegate::engine::postgres
