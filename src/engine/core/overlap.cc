#include "engine/core/overlap.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <map>
#include <optional>
#include <utility>

namespace tidegate::engine {
namespace {

using FileId = std::pair<dev_t, ino_t>;

std::optional<FileId> id_of(const std::string& path) {
  struct stat st{};
  if (stat(path.c_str(), &st) != 0) return std::nullopt;
  return FileId{st.st_dev, st.st_ino};
}

}  // namespace

Status refuse_overlap(const Source& source, const Destination& destination,
                      const std::vector<Selected>& selected) {
  std::map<FileId, std::string> read;
  for (std::string& path : source.local_files()) {
    if (const auto id = id_of(path)) read.emplace(*id, std::move(path));
  }
  for (const Selected& s : selected) {
    const auto written = destination.local_file(s.name);
    const auto id = written ? id_of(*written) : std::nullopt;
    const auto clash = id ? read.find(*id) : read.end();
    if (clash == read.end()) continue;
    std::string message = fmt::format(
        "the source's path and the destination's path lead to one file, '{}' (entity \"{}\" would "
        "be written to '{}'): a run would write into what it reads. Give the destination another "
        "path",
        clash->second, s.name, *written);
    return fail(Error{Code::Invalid,
                      std::move(message),
                      "same_place",
                      {{"source.path", fmt::format("'{}' is read", clash->second), {}},
                       {"destination.path",
                        fmt::format("'{}' is the same file; give another path", *written),
                        {}}}});
  }
  return {};
}

}  // namespace tidegate::engine
