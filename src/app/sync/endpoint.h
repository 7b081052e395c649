#pragma once
// What `tidegate sync` calls SOURCE and DESTINATION: a name, a URL or a path. Pure but for one look
// at the file system.

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "protocol/protocol.h"

namespace tidegate::app {

enum class Role : std::uint8_t { Source, Destination };
inline constexpr std::string_view kRoleNames[] = {"source", "destination"};

enum class PathKind : std::uint8_t { Missing, File, SqliteFile, DuckdbFile, Folder };

struct EndpointParams {
  boost::json::object named;  // of the role, from the file: name → {type, config}
  std::string named_in;       // the file, for messages
  std::string cwd;            // absolute
  std::function<PathKind(const std::string& path)> look;
};

struct SyncEndpoint {
  protocol::Endpoint endpoint;
  // For people: type and resolved path or URL, control characters escaped, never a secret.
  std::string shown;
  std::string
      identity;  // the same on every run, never with a secret: part of the default job's name
};

// Tried in this order: a name of the file; `sqlite:PATH`, `sqlite:///ABS` and the like with
// `duckdb` and `file`; `scheme://…` (the connector of that name, or of postgresql, mariadb,
// mongodb+srv); a path, its connector known by extension, content or being a folder or a pattern.
// Relative paths become absolute. `?format=parquet` behind a path of the file connector is its
// `format`, and no part of the identity: the same folder is the same place. Invalid: none of these,
// with what to write instead.
Result<SyncEndpoint> parse_endpoint(std::string_view text, Role role, const EndpointParams& params);

// `data/*.csv` for a destination `data/b.csv` that is a file. None can be written to, so when words
// follow it, the shell has most likely replaced a pattern by the names of its files.
std::optional<std::string> unquoted_pattern(std::string_view destination,
                                            const EndpointParams& params);

PathKind look_at(const std::string& path);

}  // namespace tidegate::app
