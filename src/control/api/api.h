#pragma once
// The REST API: a Router over a Store. Contract: api/openapi.yaml.
//
//   api::Api api({store, engine, keys, clock, rng}, options);
//   TG_TRY(http::Router router, api.router());     // REQUIRES: api outlives the router
//   …  server.stop(); api.stop();

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/api/engine.h"
#include "control/http/router.h"
#include "control/secrets/key_ring.h"
#include "control/store/store.h"

namespace tidegate::api {

// All outlive the Api and are thread-safe.
struct ApiDeps {
  store::Store& store;
  Engine& engine;
  const secrets::KeyRing& keys;
  const Clock& clock;
  Rng& rng;
};

struct ApiOptions {
  // Absolute folders that local paths of connections must lie in; empty: unrestricted.
  std::vector<std::string> path_roots;
  // Absolute paths that no connection may name: the control store's files and its key.
  std::vector<std::string> forbidden_paths;
  std::string version;
  // Whether the server can do its work, for /readyz; called per request, must be quick. Errors:
  // Unavailable, with the reason. Empty: whenever the store answers.
  std::function<Status()> ready;
  // Largest body that is parsed as JSON, in bytes.
  std::size_t max_body_bytes = 1 << 20;
};

// Thread-safe.
class Api {
 public:
  Api(ApiDeps deps, ApiOptions options);
  ~Api();  // stop()

  // Every route of the API, with authentication and authorisation in front.
  Result<http::Router> router();
  // Ends open log streams and the thread that feeds them. Idempotent.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A server's own admin token: kept when the store has it already, else it takes the place of the
// earlier one from the same place. `text` is hashed. `kept_at`: the id of a data folder, so that
// servers with folders of their own leave each other's tokens alone; empty for the configured one,
// which all servers share. Warns of a configured one that is still valid while this server has
// none. Its name is `admin`, or `admin 2` and so on where that name is taken.
Status ensure_admin_token(store::Store& store, std::string_view text, std::string_view kept_at,
                          const Clock& clock, Rng& rng);

// The OpenAPI document, as served at /api/openapi.json.
std::string_view openapi_json();

}  // namespace tidegate::api
