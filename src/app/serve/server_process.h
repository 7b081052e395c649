#pragma once
// Wiring: the one place that knows every part of a server.

#include <memory>
#include <optional>

#include "app/config/config.h"
#include "app/serve/data_dir.h"
#include "control/api/api.h"
#include "control/api/launch_engine.h"
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

  // Opens the store, starts what `parts` says and listens. On error everything is stopped again.
  Status start();
  // Lets runs finish (worker.drain), then ends everything. Idempotent.
  void stop();

  // To be called every few seconds while it runs: sees to it that the CLI finds a living server.
  void keep_house(httpclient::Transport& transport);

  std::string url() const { return http_->url(); }
  const AdminToken& token() const { return token_; }

 private:
  Status open_store();
  Status start_engine();
  void make_worker();
  Result<http::Router> router();
  Status listen();
  std::optional<std::string> not_ready() const;

  const Config config_;
  const Parts parts_;
  SystemClock clock_;
  SystemRng rng_;
  std::vector<std::string> roots_, forbidden_;  // absolute
  AdminToken token_;
  std::optional<secrets::KeyRing> keys_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<launch::ChildHost> children_;
  std::unique_ptr<launch::EngineClient> engine_client_;
  std::unique_ptr<launch::EngineLauncher> launcher_;
  std::unique_ptr<api::Engine> engine_;
  std::unique_ptr<secrets::EndpointResolver> endpoints_;
  std::unique_ptr<worker::Worker> worker_;
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<http::Server> http_;
};

worker::WorkerOptions worker_options(const Config& config);
// Invalid: a TLS file cannot be read.
Result<http::ServerOptions> http_options(const Config& config);
// What start() says when the address of `options` cannot be had.
Error listen_error(const http::ServerOptions& options, Error cause);

}  // namespace tidegate::app
