// The shared contract suite over the file destination, read back by the file source.

#include "engine/connectors/file/file_connector.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

boost::json::object folder_of(const std::string& folder) { return {{"path", folder + "/out"}}; }
boost::json::object files_of(const std::string& folder) {
  return {{"path", folder + "/out/*.csv"}};
}

TIDEGATE_DESTINATION_CONTRACT(File, (DestinationUnderTest{.name = "file",
                                                          .connector = &file_connector,
                                                          .config = &folder_of,
                                                          .reader = &file_connector,
                                                          .reader_config = &files_of,
                                                          .merges = false,
                                                          .keeps_types = false}));

}  // namespace
}  // namespace tidegate::engine
