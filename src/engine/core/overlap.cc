#include "engine/core/overlap.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
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

Status refuse_one_file(const Source& source, const Destination& destination,
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

Status keep_tables_apart(Source& source, Destination& destination, const protocol::RunSpec& run,
                         std::vector<Selected>& selected) {
  std::map<std::string, std::string> written;  // place → entity
  for (const Selected& s : selected) {
    if (s.info == nullptr) continue;
    TG_TRY(auto place, destination.table_place(s.name));
    if (place) written.emplace(std::move(*place), s.name);
  }
  if (written.empty()) return {};
  for (Selected& s : selected) {
    if (s.info == nullptr) continue;
    TG_TRY(const auto place, source.table_place(s.name));
    const auto clash = place ? written.find(*place) : written.end();
    if (clash == written.end()) continue;
    s.info = nullptr;
    const std::string what =
        clash->second == s.name
            ? std::string("the source's table and the destination's are one")
            : fmt::format("it is the destination's table of the entity \"{}\"", clash->second);
    if (clash->second != s.name && std::ranges::count(run.entity_filter, s.name) == 0) {
      s.note = what + ", and not read";
      continue;
    }
    s.error = Error{Code::Invalid,
                    what +
                        ": a run would write into what it reads. Give the destination another "
                        "schema or database, or leave the entity out",
                    "same_place",
                    {}};
  }
  return {};
}

}  // namespace

Status keep_apart(Source& source, Destination& destination, const protocol::RunSpec& run,
                  std::vector<Selected>& selected) {
  TG_CHECK(refuse_one_file(source, destination, selected));
  return keep_tables_apart(source, destination, run, selected);
}

}  // namespace tidegate::engine
