#pragma once
// What a resource file declares: a method, a path, who may, and the function that answers.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/api/api.h"
#include "control/http/http.h"
#include "control/http/router.h"
#include "control/model/connection.h"

namespace tidegate::api {

class LogStreams;
class Directory;
class JobBodies;
class StoreTime;

// Who may call. The role is a minimum; Public needs no token.
enum class Access : std::uint8_t { Public, Viewer, Operator, Admin };
// Which tokens: Any; those that reach the path's {ws}; those limited to no workspace.
enum class Scope : std::uint8_t { Any, Workspace, Instance };

// Who is calling.
struct Principal {
  TokenId token;
  std::string hash;  // of the token
  std::string name;
  model::Role role = model::Role::Viewer;
  std::vector<WorkspaceId> workspaces;  // empty: all

  bool reaches(const WorkspaceId& ws) const;
};

// Shared by all calls.
struct Services {
  store::Store& store;
  Engine& engine;
  const secrets::KeyRing& keys;
  const Clock& clock;  // for ids only: what is compared or kept is the store's time
  Rng& rng;
  const ApiOptions& options;
  LogStreams& streams;
  Directory& directory;
  JobBodies& job_bodies;
  StoreTime& time;
};

// One request, after its token was accepted for the route. Lives until the action returns.
struct Call {
  Services& services;
  const http::Request& request;
  const Principal& principal;
  const WorkspaceId& workspace;  // of {ws}; empty without one
  bool dry_run = false;          // judge the request and write nothing; see ApiRoute

  store::Store& store() const { return services.store; }
  std::string id() const { return std::string(request.param("id")); }
};

using Action = std::function<Result<http::Response>(const Call&)>;

// Which thread answers. StoreRead: the IO thread for one indexed read of a store whose reads are
// local; a read over a network may hang, and everybody else with it, so the pool makes it.
enum class RunOn : std::uint8_t { Pool, IoThread, StoreRead };

struct ApiRoute {
  http::Method method;
  std::string_view pattern;
  Access access;
  Scope scope;
  Action action;
  RunOn run_on = RunOn::Pool;  // IoThread only without the store: public, and from memory
  // Takes `?dryRun=true`: the action judges the body and If-Match as for a write, answers with the
  // resource as it would be (a deletion as ever), and writes nothing. That a resource is still
  // referred to is left to the write: the same caller may be about to change what refers to it.
  bool has_dry_run = false;
};

// One function per resource; all_routes() in routes.cc joins them.
std::vector<ApiRoute> workspace_routes();
std::vector<ApiRoute> token_routes();
std::vector<ApiRoute> connection_routes();
std::vector<ApiRoute> connector_routes();
std::vector<ApiRoute> job_routes();
std::vector<ApiRoute> job_action_routes();
std::vector<ApiRoute> run_routes();
std::vector<ApiRoute> log_routes();
std::vector<ApiRoute> cron_routes();
std::vector<ApiRoute> worker_routes();
std::vector<ApiRoute> system_routes();
std::vector<ApiRoute> all_routes();

}  // namespace tidegate::api
