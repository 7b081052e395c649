#pragma once
// One-shot questions to the engine for the API and the CLI: which connectors are there, does a
// connection work, what does it offer.

#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <stop_token>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "control/launch/child_host.h"
#include "protocol/protocol.h"

namespace tidegate::launch {

struct EngineClientOptions {
  Millis spec_limit{30'000};
  Millis check_limit{30'000};
  Millis discover_limit{120'000};
  // Waiting for one of the places; the caller's thread is taken from other requests meanwhile.
  Millis queue_limit{200};
  std::vector<std::string> path_roots, forbidden_paths;  // see protocol::Request
};

// Thread-safe; every question blocks the caller, within the limits above, until stop(). Errors:
// RateLimited while four others run; Unavailable: no answer in time, or stopped; Internal: the
// engine is missing or broken; otherwise what the engine answered.
class EngineClient {
 public:
  static constexpr int kAtOnce = 4;

  // REQUIRES: host is started and outlives this.
  explicit EngineClient(ChildHost& host, EngineClientOptions options = {});
  ~EngineClient();

  // {connectors: [{name, title, roles, spec}]}. Kept until the engine's file changes, which is
  // asked of the file system and not of a new process.
  Result<std::shared_ptr<const boost::json::value>> spec();
  // {ok, message}. A connection that does not work is an answer, not an error.
  Result<boost::json::value> check(protocol::Endpoint endpoint, bool source);
  // {entities: […]}. Invalid: the connection does not work or its configuration is wrong.
  Result<boost::json::value> discover(protocol::Endpoint endpoint, bool source);
  // Ends what is being asked, and whatever will be. Idempotent.
  void stop() { stop_.request_stop(); }

 private:
  struct Call;
  Result<protocol::RunResult> ask(const protocol::Request& request, Millis limit);

  ChildHost& host_;
  const EngineClientOptions options_;
  std::counting_semaphore<kAtOnce> places_{kAtOnce};
  std::stop_source stop_;

  mutable std::mutex mutex_;
  std::mutex spec_mutex_;  // one caller asks for specs, the others wait for its answer
  std::string spec_of_;    // the file's identity; guarded by mutex_
  std::shared_ptr<const boost::json::value> spec_;  // guarded by mutex_
};

}  // namespace tidegate::launch
