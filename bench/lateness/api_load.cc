#include "api_load.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "httpclient/http_client.h"

namespace tidegate::bench {
namespace {

constexpr const char* kToken = "tg_lateness_bench_0123456789abcdefghijklmnopqrstuvwxyz";

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "lateness_bench: %s\n", describe(result.error()).c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace

// No request of the load needs it.
class ApiLoad::NoEngine final : public api::Engine {
 public:
  Result<std::shared_ptr<const boost::json::value>> spec() override { return none(); }
  Result<boost::json::value> check(protocol::Endpoint, bool) override { return none(); }
  Result<boost::json::value> discover(protocol::Endpoint, bool) override { return none(); }

 private:
  static std::unexpected<Error> none() {
    return fail(Code::Unavailable, "this benchmark has no engine");
  }
};

ApiLoad::ApiLoad(store::Store& store, const Clock& clock, Rng& rng, std::vector<std::string> jobs,
                 int per_second)
    : engine_(std::make_unique<NoEngine>()),
      keys_(must(secrets::KeyRing::from_text(std::string(64, '7')))),
      jobs_(std::move(jobs)),
      gap_(1'000'000 / per_second) {
  must(api::ensure_admin_token(store, kToken, "", clock, rng));
  api_ = std::make_unique<api::Api>(api::ApiDeps{store, *engine_, keys_, clock, rng},
                                    api::ApiOptions{});
  server_ = std::make_unique<http::Server>(http::ServerOptions{.listen = "127.0.0.1:0"},
                                           must(api_->router()), clock, rng);
  must(server_->start());
  client_ = std::thread([this] { ask(); });
}

ApiLoad::~ApiLoad() {
  if (client_.joinable()) stop();
}

ApiLoadResult ApiLoad::stop() {
  stopping_ = true;
  client_.join();
  server_->stop();
  api_->stop();
  return std::move(result_);
}

void ApiLoad::ask() {
  static constexpr std::array<std::pair<const char*, const char*>, 10> kMix{{
      {"GET", "/sync-jobs/{}"},
      {"GET", "/sync-jobs/{}/status"},
      {"GET", "/sync-jobs?limit=50"},
      {"GET", "/sync-jobs/{}"},
      {"GET", "/sync-jobs/{}/history"},
      {"GET", "/runs?limit=50"},
      {"GET", "/sync-jobs/{}"},
      {"GET", "/sync-jobs/{}/status"},
      {"GET", "/sync-jobs/{}/history"},
      {"PATCH", "/sync-jobs/{}"},
  }};
  httpclient::Client client;
  httpclient::Request request;
  request.headers = {{"Authorization", fmt::format("Bearer {}", kToken)},
                     {"Content-Type", "application/json"}};
  auto due = std::chrono::steady_clock::now();
  for (std::size_t n = 0; !stopping_; ++n, due += gap_) {
    std::this_thread::sleep_until(due);
    const auto& [method, path] = kMix[n % kMix.size()];
    request.method = method;
    request.body =
        request.method == "PATCH" ? fmt::format(R"({{"labels":{{"asked":"{}"}}}})", n) : "";
    request.url = server_->url() + "/api/workspaces/default" +
                  fmt::format(fmt::runtime(path), jobs_[n * 7 % jobs_.size()]);
    const auto answer = client.send(request);
    // A late answer delays the requests behind it; they count from when they were due.
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - due;
    result_.ms.push_back(took.count());
    if (!answer || answer->status >= 300) {
      if (result_.refused++ > 0) continue;
      std::fprintf(stderr, "lateness_bench: %s %s: %s\n", method, request.url.c_str(),
                   answer ? answer->body.c_str() : describe(answer.error()).c_str());
    }
  }
}

}  // namespace tidegate::bench
