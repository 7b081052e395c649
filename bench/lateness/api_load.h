#pragma once
// The real API on a worker's store, and one client that asks it all the time.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "control/api/api.h"
#include "control/http/server.h"
#include "control/secrets/key_ring.h"
#include "control/store/store.h"

namespace tidegate::bench {

struct ApiLoadResult {
  std::vector<double> ms;  // of each request, from the moment at which it was due
  std::size_t refused = 0;
};

class ApiLoad {
 public:
  // Serves `store` as `tidegate serve` does, and at once asks it `per_second` times a second over
  // one kept connection: every tenth request is a write. The jobs named are asked in turn.
  // REQUIRES: store, clock and rng outlive this.
  ApiLoad(store::Store& store, const Clock& clock, Rng& rng, std::vector<std::string> jobs,
          int per_second);
  ~ApiLoad();
  ApiLoadResult stop();

 private:
  void ask();

  class NoEngine;
  std::unique_ptr<NoEngine> engine_;
  secrets::KeyRing keys_;
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<http::Server> server_;
  const std::vector<std::string> jobs_;
  const std::chrono::microseconds gap_;
  std::atomic<bool> stopping_{false};
  ApiLoadResult result_;
  std::thread client_;
};

}  // namespace tidegate::bench
