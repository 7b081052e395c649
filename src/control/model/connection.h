#pragma once
// Data sources and destinations, workspaces, tokens, workers, leases.

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace tidegate::model {

enum class ConnectionKind : std::uint8_t { Source, Destination };
inline constexpr std::string_view kConnectionKindNames[] = {"source", "destination"};

struct Connection {
  ConnectionId id;
  WorkspaceId workspace;
  ConnectionKind kind = ConnectionKind::Source;
  std::string name;  // unique by workspace and kind, 1–200 bytes
  std::string type;  // a connector's name
  // Valid against the connector's spec; secret fields are sealed ({"$sealed": "…"}), so a store
  // never sees a secret.
  boost::json::object config;
  // Two running runs never hold one key: the resolved path of a one-writer destination
  // ("sqlite:/data/out.db"); empty: no such limit.
  std::string exclusive_key;
  std::int64_t revision = 1;
  Instant created_at, updated_at;
  std::string created_by;
};

struct Workspace {
  WorkspaceId id;
  std::string name;  // unique, [a-z0-9-]{1,63}
  std::int64_t revision = 1;
  Instant created_at;
};

enum class Role : std::uint8_t { Viewer, Operator, Admin };  // each may what the former may
inline constexpr std::string_view kRoleNames[] = {"viewer", "operator", "admin"};

// What Token::created_by begins with when a server made it at its start; nobody else's does.
inline constexpr std::string_view kBootstrap = "bootstrap";

struct Token {
  TokenId id;
  std::string name;
  std::string hash;  // SHA-256 of the token, hex; the token is not kept
  Role role = Role::Viewer;
  std::vector<WorkspaceId> workspaces;  // empty: all
  std::optional<Instant> expires_at;
  Instant created_at;
  std::string created_by;
  std::int64_t revision = 1;
};

// One start of one server process, for operators and for ending a frozen holder of a file lock.
struct WorkerInfo {
  OwnerId id;
  std::string host;
  std::string boot_id;
  std::int64_t pid = 0;
  std::int64_t pid_start = 0;  // field 22 of /proc/PID/stat, clock ticks since boot
  std::string version;
  bool leader = false;
  bool draining = false;
  int running = 0, capacity = 0;  // runs
  Instant started_at, seen_at;
  std::vector<std::string> secret_keys;  // ids of the keys it can open secrets with; no secret
};

}  // namespace tidegate::model
