// The shared contract suite over the DuckDB destination, read back by the DuckDB source.

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/duckdb.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

std::vector<std::string> rejected(const std::string& folder) {
  SystemClock clock;
  SystemRng rng;
  const PathPolicy paths;
  const Context context{.clock = clock, .rng = rng, .paths = paths, .stop = {}};
  const auto db =
      duckdb::Db::open(folder + "/out.duckdb", duckdb::Open::ReadOnly, Millis(0), context);
  const auto rows = (*db)->query(
      "SELECT run_id || '/' || attempt || ' ' || locator FROM _tidegate_rejected ORDER BY 1");
  std::vector<std::string> out;
  for (std::int64_t i = 0; i < rows->size(); ++i) out.push_back(rows->text(i, 0));
  return out;
}

boost::json::object in_folder(const std::string& folder) {
  return {{"path", folder + "/out.duckdb"}};
}

TIDEGATE_DESTINATION_CONTRACT(Duckdb, (DestinationUnderTest{.name = "duckdb",
                                                            .connector = &duckdb_connector,
                                                            .config = &in_folder,
                                                            .reader = &duckdb_connector,
                                                            .reader_config = &in_folder,
                                                            .rejected = &rejected}));

}  // namespace
}  // namespace tidegate::engine
