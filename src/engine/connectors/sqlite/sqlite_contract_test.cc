// The shared contract suite over the SQLite destination, read back by the SQLite source.

#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/sqlite.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

std::vector<std::string> rejected(const std::string& folder) {
  const auto db = sqlite::Db::open(folder + "/out.db", sqlite::Open::ReadOnly, {});
  auto rows = (*db)->prepare(
      "SELECT run_id || '/' || attempt || ' ' || locator FROM _tidegate_rejected ORDER BY 1");
  std::vector<std::string> out;
  while (*rows->step()) out.push_back(rows->text(0));
  return out;
}

boost::json::object in_folder(const std::string& folder) { return {{"path", folder + "/out.db"}}; }

TIDEGATE_DESTINATION_CONTRACT(Sqlite, (DestinationUnderTest{.name = "sqlite",
                                                            .connector = &sqlite_connector,
                                                            .config = &in_folder,
                                                            .reader = &sqlite_connector,
                                                            .reader_config = &in_folder,
                                                            .rejected = &rejected}));

}  // namespace
}  // namespace tidegate::engine
