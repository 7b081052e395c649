// The shared contract suite over the PostgreSQL destination, read back by the PostgreSQL source.

#include <filesystem>

#include "engine/connectors/postgres/postgres.h"
#include "engine/connectors/postgres/server_fixture.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

using Loss = contract::DestinationUnderTest::Loss;

boost::json::object in_database(const std::string& folder) {
  return postgres::config_of(postgres::database_of(folder));
}

std::vector<std::string> rejected(const std::string& folder) {
  const auto db = postgres::console(postgres::database_of(folder));
  const auto rows = db->query(
      "SELECT run_id || '/' || attempt || ' ' || locator AS seen FROM _tidegate_rejected ORDER BY "
      "run_id || '/' || attempt || ' ' || locator COLLATE \"C\"");
  std::vector<std::string> out;
  for (int i = 0; rows && i < rows->size(); ++i) out.emplace_back(rows->text(i, 0));
  return out;
}

void lose(const std::string& folder, Loss) {
  const std::string name = postgres::database_of(folder);
  const auto db = postgres::console();
  postgres::run(*db, "DROP DATABASE " + name + " WITH (FORCE)");
  postgres::run(*db, "CREATE DATABASE " + name);
}

void back_up(const std::string& folder) {
  const std::string name = postgres::database_of(folder);
  postgres::run(*postgres::console(), "CREATE DATABASE " + name + "_old TEMPLATE " + name);
}

void restore(const std::string& folder) {
  const std::string name = postgres::database_of(folder);
  const auto db = postgres::console();
  postgres::run(*db, "DROP DATABASE " + name + " WITH (FORCE)");
  postgres::run(*db, "ALTER DATABASE " + name + "_old RENAME TO " + name);
}

void tidy(const std::string& folder) {
  const std::string name = postgres::database_of(folder);
  postgres::run(*postgres::console(), "DROP DATABASE " + name + " WITH (FORCE)");
}

TIDEGATE_DESTINATION_CONTRACT(Postgres, (DestinationUnderTest{.name = "postgres",
                                                              .connector = &postgres_connector,
                                                              .config = &in_database,
                                                              .reader = &postgres_connector,
                                                              .reader_config = &in_database,
                                                              .rejected = &rejected,
                                                              .lose = &lose,
                                                              .back_up = &back_up,
                                                              .restore = &restore,

                                                              .tidy = &tidy,
                                                              .holds_nul = false}));

}  // namespace
}  // namespace tidegate::engine
