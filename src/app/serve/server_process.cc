#include "app/serve/server_process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "app/serve/launch_engine.h"
#include "base/log.h"
#include "base/version.h"
#include "cli/locate.h"

namespace tidegate::app {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

std::vector<std::string> absolute(const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  out.reserve(paths.size());
  std::error_code ec;
  for (const std::string& p : paths)
    out.push_back(std::filesystem::absolute(p, ec).lexically_normal().string());
  return out;
}

// One line of JSON for probes of a process that has no API.
Result<http::Response> small_answer(std::string_view status) {
  http::Response response;
  response.body = fmt::format(R"({{"success":true,"data":{{"status":"{}","version":"{}"}}}})",
                              status, version());
  return response;
}

http::Route health_route() {
  return {http::Method::Get, "/healthz", [](const http::Request&) { return small_answer("ok"); },
          http::Run::Inline};
}

// Between two looks at the store while it is away, at the most; the bound doubles.
constexpr Millis kFirstTry{500}, kLastTry{8'000};
constexpr Millis kHouseInterval{5'000};

}  // namespace

worker::WorkerOptions worker_options(const Config& config) {
  worker::WorkerOptions o;
  o.leader_ttl = config.scheduler_ttl;
  o.leader_renew = config.scheduler_ttl / 4;
  o.standby_poll = std::min(o.standby_poll, config.scheduler_ttl / 8);
  o.run_ttl = config.run_ttl;
  o.run_renew = config.run_ttl / 4;
  o.orphan_poll = std::min(o.orphan_poll, config.run_ttl / 6);
  // What is left of a lease for the answer to a renewal to come late.
  o.lease_margin = std::min(o.lease_margin, std::min(config.scheduler_ttl, config.run_ttl) / 8);
  o.max_concurrent_runs = config.max_concurrent_runs;
  o.executors = config.executors;
  o.drain = config.drain;
  o.max_log_bytes = static_cast<std::size_t>(config.run_log_bytes);
  o.retention.max_age = config.retention_age;
  o.retention.runs_per_job = config.retention_runs;
  o.host = host_name();
  o.version = version();
  return o;
}

Millis stop_limit(const Config& config) {
  const worker::WorkerOptions o = worker_options(config);
  // The worker's own bound has 5 s more, the HTTP server ends within five, and a call to a store
  // that has gone ends by its own time-out.
  return o.drain + o.cancel_grace + o.term_grace + Millis(40'000);
}

Result<http::ServerOptions> http_options(const Config& config) {
  http::ServerOptions options;
  options.listen = config.listen;
  // Checks and discoveries hold a thread while they run: half of the pool is never theirs.
  options.workers = std::size_t{2} * launch::EngineClient::kAtOnce;
  options.tls_cert_file = config.tls_cert;
  options.tls_key_file = config.tls_key;
  for (const auto& [key, path] :
       {std::pair{"tls.cert", config.tls_cert}, {"tls.key", config.tls_key}}) {
    if (path.empty()) continue;
    // OpenSSL does not tell a file that is missing from one that is no PEM.
    if (const auto text = cli::read_text_file(path); !text) {
      return fail(Code::Invalid, fmt::format("{}: {}", key, text.error().message), "bad_tls_file");
    }
  }
  return options;
}

Error listen_error(const http::ServerOptions& options, Error cause) {
  if (cause.code != Code::Unavailable) return cause;
  // The user's to solve, and no retry helps.
  return {Code::Invalid,
          fmt::format("{} is in use: {}. Another server may run there already (`tidegate doctor`); "
                      "stop it, or listen elsewhere with --listen HOST:PORT (port 0 takes a free "
                      "one)",
                      options.listen, cause.message),
          "address_in_use",
          {}};
}

ServerProcess::ServerProcess(Config config, Parts parts)
    : config_(std::move(config)), parts_(parts) {}
ServerProcess::~ServerProcess() { stop(); }

Status ServerProcess::open_store() {
  TG_TRY(store_, app::open_store(config_, store_url_, clock_, rng_, &*keys_));
  TG_CHECK(keep_store_key(*store_, *keys_));
  if (parts_ == Parts::Worker) return {};
  TG_TRY(token_, admin_token(config_, rng_));
  std::string folder;
  if (!token_.file.empty()) {
    TG_TRY(folder, folder_id(config_, rng_));
  }
  return api::ensure_admin_token(*store_, token_.text.reveal(), folder, clock_, rng_);
}

Status ServerProcess::start_engine() {
  look_for_engine();
  children_ = std::make_unique<launch::ChildHost>(config_.engine);
  TG_CHECK(children_->start());
  launch::EngineClientOptions options;
  options.path_roots = roots_;
  options.forbidden_paths = forbidden_;
  engine_client_ = std::make_unique<launch::EngineClient>(*children_, std::move(options));
  return {};
}

void ServerProcess::look_for_engine() {
  const Status found = launch::find_engine(config_.engine);
  std::string fault = found ? "" : found.error().message;
  const std::lock_guard lock(engine_mutex_);
  if (fault == engine_fault_) return;
  if (fault.empty()) {
    log::info("the sync engine is there", {{"path", config_.engine}});
  } else {
    log::warn("runs and checks of connections fail until the sync engine is there",
              {{"error", fault}});
  }
  engine_fault_ = std::move(fault);
}

void ServerProcess::make_worker() {
  worker::WorkerOptions options = worker_options(config_);
  options.path_roots = roots_;
  options.forbidden_paths = forbidden_;
  options.secret_keys = keys_->key_ids();
  {
    const std::lock_guard lock(away_mutex_);
    options.store_was_away = away_.has_value();
  }
  launcher_ = std::make_unique<launch::EngineLauncher>(*children_);
  endpoints_ = std::make_unique<secrets::EndpointResolver>(*keys_);
  worker_ = std::make_unique<worker::Worker>(
      *store_, clock_, rng_, *launcher_,
      [this](const model::Connection& connection) { return endpoints_->open(connection); },
      std::move(options));
}

Status ServerProcess::check_whole() const {
  Status whole = store_->check_whole();
  const bool half = !whole && whole.error().reason == "restore_unfinished";
  if (!whole && !half) return whole;
  if (half_restored_.exchange(half) == half) return whole;
  if (half) {
    log::error("the store is not ready for servers", {{"error", whole.error().message}});
  } else {
    log::info("the restore into this store came to its end");
  }
  return whole;
}

Status ServerProcess::ready() const {
  const auto not_ready = [](std::string why) {
    return fail(Code::Unavailable, std::move(why), "not_ready");
  };
  if (Status there = store_->ping(); !there) {
    // Whatever the store says (its tables may be gone): the probe asks again.
    Error why = std::move(there).error();
    why.code = Code::Unavailable;
    return fail(std::move(why));
  }
  if (worker_) {
    worker::WorkerHealth health = worker_->health();
    if (health.draining) return not_ready("the server is stopping");
    if (!health.ready) return not_ready(std::move(health.reason));
  }
  if (const Status whole = check_whole(); !whole) return not_ready(whole.error().message);
  const std::lock_guard lock(engine_mutex_);
  return engine_fault_.empty() ? Status() : not_ready(engine_fault_);
}

Result<http::Router> ServerProcess::live_routes() {
  if (parts_ != Parts::Worker) {
    engine_ = make_launch_engine(*engine_client_);
    api::ApiOptions options;
    options.path_roots = roots_;
    options.forbidden_paths = forbidden_;
    options.version = version();
    options.ready = [this] { return ready(); };
    api_ = std::make_unique<api::Api>(api::ApiDeps{*store_, *engine_, *keys_, clock_, rng_},
                                      std::move(options));
    return api_->router();
  }
  const auto probe = [this](const http::Request&) -> Result<http::Response> {
    TG_CHECK(ready());
    return small_answer("ready");
  };
  std::vector<http::Route> routes;
  routes.push_back(health_route());
  routes.push_back({http::Method::Get, "/readyz", probe, http::Run::Pool});
  return http::Router::create(std::move(routes));
}

Result<http::Router> ServerProcess::waiting_routes() {
  std::vector<http::Route> routes;
  routes.push_back(health_route());
  return http::Router::create(
      std::move(routes), [this](const http::Request&) -> Result<http::Response> {
        const std::lock_guard lock(away_mutex_);
        if (away_) return fail(*away_);
        return fail(Code::Unavailable, "the server is starting", "starting");
      });
}

Status ServerProcess::listen() {
  TG_TRY(http::Router routes, waiting_routes());
  TG_TRY(http::ServerOptions options, http_options(config_));
  options.on_access = [](const http::Access& a) {
    log::debug("request", {{"method", http::method_name(a.method)},
                           {"route", a.route},
                           {"status", std::int64_t{a.status}},
                           {"micros", static_cast<std::int64_t>(a.duration.count())},
                           {"requestId", a.request_id}});
  };
  http_ = std::make_unique<http::Server>(options, std::move(routes), clock_, rng_);
  const Status started = http_->start();
  if (!started) return fail(listen_error(options, started.error()));
  return {};
}

Status ServerProcess::go_live() {
  const Status done = [&]() -> Status {
    TG_CHECK(open_store());
    // Served all the same, so that /readyz can say it.
    if (const Status whole = check_whole(); !whole && !half_restored_) return whole;
    if (parts_ != Parts::Api) {
      make_worker();
      TG_CHECK(worker_->start());
    }
    TG_TRY(http::Router routes, live_routes());
    http_->replace_routes(std::move(routes));
    return {};
  }();
  live_ = done.has_value();
  if (live_ && parts_ != Parts::Worker) return offer_server_file(config_, url());
  if (live_ || done.error().code != Code::Unavailable) return done;
  worker_.reset();
  endpoints_.reset();
  launcher_.reset();
  store_.reset();
  return done;
}

void ServerProcess::wait_for_store(Error cause) {
  const std::lock_guard lock(away_mutex_);
  if (!away_ || away_->message != cause.message) {
    log::error("the store cannot be reached; trying again until it can",
               {{"store", store_url_.shown}, {"error", cause.message}});
  }
  cause.reason = "store_unavailable";
  away_ = std::move(cause);
  next_try_ = std::clamp(next_try_ * 2, kFirstTry, kLastTry);
}

Status ServerProcess::start() {
  const Status started = [&]() -> Status {
    TG_TRY(store_url_, parse_store_url(config_.store_url));
    TG_CHECK(check_store_folder(config_, store_url_));
    TG_CHECK(prepare_data_dir(config_));
    roots_ = absolute(config_.path_roots);
    forbidden_ = absolute(forbidden_paths(config_, store_url_.path));
    TG_TRY(keys_, key_ring(config_, rng_));
    TG_CHECK(start_engine());
    // The address first: a second server on it must not lead, not even for a moment.
    TG_CHECK(listen());
    Status live = go_live();
    // A file does not come back by waiting.
    const bool waits = store_url_.kind != StoreKind::Sqlite;
    if (live || !waits || live.error().code != Code::Unavailable) return live;
    wait_for_store(std::move(live).error());
    return {};
  }();
  if (!started) stop();
  return started;
}

Result<Millis> ServerProcess::keep_house(httpclient::Transport& transport) {
  look_for_engine();
  if (!live_) {
    Status live = go_live();
    if (!live && live.error().code != Code::Unavailable) return fail(std::move(live).error());
    if (!live) {
      wait_for_store(std::move(live).error());
      // Full jitter: the servers of a store that comes back do not all come at once.
      return Millis(1 + static_cast<std::int64_t>(rng_.below(next_try_.count())));
    }
    log::info("the store can be reached", {{"store", store_url_.shown}});
    return kHouseInterval;
  }
  if (parts_ == Parts::Worker) return kHouseInterval;
  if (const Status offered = offer_server_file(config_, url(), &transport); !offered) {
    log::warn("server.json cannot be written: the CLI may not find this server",
              {{"error", describe(offered.error())}});
  }
  return kHouseInterval;
}

void ServerProcess::stop() {
  // The API answers while runs are being finished.
  if (worker_) worker_->stop();
  if (engine_client_) engine_client_->stop();  // a discovery may take longer than anyone waits
  if (http_) http_->stop();
  if (api_) api_->stop();
  if (children_) children_->stop();
  if (http_ && parts_ != Parts::Worker) remove_server_file(config_);
}

}  // namespace tidegate::app
