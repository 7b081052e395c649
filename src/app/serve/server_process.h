#pragma once
// Wiring: the one place that knows every part of a server.

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "app/config/config.h"
#include "app/serve/data_dir.h"
#include "app/serve/open_store.h"
#include "control/api/api.h"
#include "control/http/server.h"
#include "control/launch/child_host.h"
#include "control/launch/engine_client.h"
#include "control/launch/engine_launcher.h"
#include "control/secrets/config_seal.h"
#include "control/store/store.h"
#include "control/worker/worker.h"

namespace tidegate::app {

enum class Parts : std::uint8_t { All, Api, Worker };

// Not thread-safe. Members stand in the order of their needs and are destroyed in reverse.
class ServerProcess {
 public:
  ServerProcess(Config config, Parts parts);
  ~ServerProcess();  // stop()

  // Listens, opens the store and starts what `parts` says. A store on a server that cannot be
  // reached now is no error: /readyz says so, and keep_house() goes on trying. On error everything
  // is stopped again.
  Status start();
  // Lets runs finish (worker.drain), then ends everything. Idempotent.
  void stop();

  // To be called while it runs, at the latest after what it returns: opens a store that was away,
  // looks whether the engine is there for /readyz, and sees to it that the CLI finds a living
  // server. Errors: the store can be reached and never
  // be used (those of open_store() but Unavailable).
  Result<Millis> keep_house(httpclient::Transport& transport);

  // Reads tls.cert and tls.key again; see http::Server::reload_tls().
  Status reload_tls() { return http_->reload_tls(); }

  bool live() const { return live_; }  // the store is open and all parts were started
  std::string url() const { return http_->url(); }
  const AdminToken& token() const { return token_; }

 private:
  Status start_engine();
  void look_for_engine();
  Status listen();
  Result<http::Router> waiting_routes();
  // Everything that needs the store. Unavailable: nothing of it is there afterwards.
  Status go_live();
  Status open_store();
  void make_worker();
  Result<http::Router> live_routes();
  void wait_for_store(Error cause);
  // Asks the store; logs when the answer is another one than before.
  Status check_whole() const;
  // The API asks the engine what a worker starts it for: without it neither is ready.
  Status ready() const;  // for /readyz; errors: Unavailable, with the reason

  const Config config_;
  const Parts parts_;
  SystemClock clock_;
  SystemRng rng_;
  std::vector<std::string> roots_, forbidden_;  // absolute
  AdminToken token_;
  std::optional<secrets::KeyRing> keys_;
  StoreUrl store_url_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<launch::ChildHost> children_;
  std::unique_ptr<launch::EngineClient> engine_client_;
  std::unique_ptr<launch::EngineLauncher> launcher_;
  std::unique_ptr<api::Engine> engine_;
  std::unique_ptr<secrets::EndpointResolver> endpoints_;
  std::unique_ptr<worker::Worker> worker_;
  std::unique_ptr<api::Api> api_;
  bool live_ = false;
  Millis next_try_{0};  // the bound of the next wait for the store
  std::mutex away_mutex_;
  std::optional<Error> away_;  // why the store is away; guarded, since HTTP threads read it
  mutable std::atomic<bool> half_restored_{false};  // the last answer to check_whole()
  mutable std::mutex engine_mutex_;
  std::string engine_fault_;  // of the last look; empty: none. Guarded, as above
  std::unique_ptr<http::Server> http_;
};

// The longest that ServerProcess::stop() takes, with room for a busy machine.
Millis stop_limit(const Config& config);
worker::WorkerOptions worker_options(const Config& config);
// Invalid: a TLS file cannot be read.
Result<http::ServerOptions> http_options(const Config& config);
// What start() says when the address of `options` cannot be had.
Error listen_error(const http::ServerOptions& options, Error cause);

}  // namespace tidegate::app
