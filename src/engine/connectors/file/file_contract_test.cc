// The shared contract suite over the file destination, read back by the file source.

#include <algorithm>
#include <fstream>
#include <sstream>

#include "engine/connectors/file/file_connector.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine {
namespace {

template <const char* kFormat>
boost::json::object folder_of(const std::string& folder) {
  return {{"path", folder + "/out"}, {"format", kFormat}};
}
template <const char* kFormat>
boost::json::object files_of(const std::string& folder) {
  return {{"path", folder + "/out/*." + kFormat}};
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

template <const char* kFormat>
contract::DestinationUnderTest under_test() {
  return {.name = kFormat,
          .connector = &file_connector,
          .config = &folder_of<kFormat>,
          .reader = &file_connector,
          .reader_config = &files_of<kFormat>,
          .rejected = &rejected,
          .merges = false};
}

constexpr char kCsv[] = "csv", kJsonl[] = "jsonl", kParquet[] = "parquet";

contract::DestinationUnderTest texts(contract::DestinationUnderTest d) {
  d.keeps_types = false;
  return d;
}

TIDEGATE_DESTINATION_CONTRACT(Csv, (texts(under_test<kCsv>())));
TIDEGATE_DESTINATION_CONTRACT(Jsonl, (texts(under_test<kJsonl>())));
TIDEGATE_DESTINATION_CONTRACT(Parquet, (under_test<kParquet>()));

}  // namespace
}  // namespace tidegate::engine
