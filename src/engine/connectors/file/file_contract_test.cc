// The shared contract suite over the file destination, read back by the file source.

#include <algorithm>
#include <fstream>
#include <sstream>

#include "engine/connectors/file/file_connector.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

boost::json::object folder_of(const std::string& folder) { return {{"path", folder + "/out"}}; }
boost::json::object files_of(const std::string& folder) {
  return {{"path", folder + "/out/*.csv"}};
}

// run_id,attempt,at,locator,…
std::vector<std::string> rejected(const std::string& folder) {
  std::ifstream in(folder + "/out/_tidegate_rejected/t.csv");
  std::string line;
  std::getline(in, line);
  std::vector<std::string> out;
  while (std::getline(in, line)) {
    std::vector<std::string> fields;
    std::istringstream parts(line);
    for (std::string field; std::getline(parts, field, ',');) fields.push_back(field);
    out.push_back(fields.at(0) + "/" + fields.at(1) + " " + fields.at(3));
  }
  std::ranges::sort(out);
  return out;
}

TIDEGATE_DESTINATION_CONTRACT(File, (DestinationUnderTest{.name = "file",
                                                          .connector = &file_connector,
                                                          .config = &folder_of,
                                                          .reader = &file_connector,
                                                          .reader_config = &files_of,
                                                          .rejected = &rejected,
                                                          .merges = false,
                                                          .keeps_types = false}));

}  // namespace
}  // namespace tidegate::engine
