// The shared contract suite over the SQLite destination, read back by the SQLite source.

#include "engine/connectors/sqlite/sqlite.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

boost::json::object in_folder(const std::string& folder) { return {{"path", folder + "/out.db"}}; }

TIDEGATE_DESTINATION_CONTRACT(Sqlite, (DestinationUnderTest{.name = "sqlite",
                                                            .connector = &sqlite_connector,
                                                            .config = &in_folder,
                                                            .reader = &sqlite_connector,
                                                            .reader_config = &in_folder}));

}  // namespace
}  // namespace tidegate::engine
