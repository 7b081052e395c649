#pragma once
// What a connector gets from the process it runs in.

#include <functional>
#include <stop_token>
#include <string>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/time.h"
#include "engine/core/path_policy.h"

namespace tidegate::engine {

// Outlives every connector object. `log` is thread-safe and shows the line in the run's log; never
// pass it a secret.
struct Context {
  const Clock& clock;
  Rng& rng;
  const PathPolicy& paths;
  // Requested when the run is cancelled or the parent is gone: a connector leaves long calls with
  // Cancelled.
  std::stop_token stop;
  std::function<void(LogLevel, std::string)> log = [](LogLevel, const std::string&) {};
  // A destination that refuses the attempt's fence says which one it holds. Thread-safe.
  std::function<void(Fence)> fence_found = [](Fence) {};
};

// The two errors that need a remedy other than the code's usual one.
// Data: the rows themselves are wrong; a retry cannot help, a change of settings may.
Error data_error(std::string message);
// The message and its details, each said once: what a run's record shows.
std::string error_text(const Error& error);
// The text of protocol::RunResult::error_kind for an error.
std::string_view error_kind(const Error& error);

}  // namespace tidegate::engine
