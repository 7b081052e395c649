#pragma once
// The server's wall clock, asked at most once a second: in between it goes on with CLOCK_BOOTTIME,
// so that a step of this machine's wall clock changes nothing. It is late by up to one round trip
// rather than early: a lease is never taken over too soon. A round trip that took longer than half
// a second (this process was frozen, the network slow) does not count, as a lease that is written
// with a late clock ends before its holder believes so.

#include <functional>
#include <mutex>
#include <optional>

#include "base/time.h"

namespace tidegate::store::mongo {

// Thread-safe.
class ServerClock {
 public:
  using Ask = std::function<Result<Instant>()>;
  // REQUIRES: clock outlives this.
  ServerClock(Ask ask, const Clock& clock) : ask_(std::move(ask)), clock_(clock) {}

  // Unavailable: no answer came quickly enough.
  Result<Instant> now();
  // After a failure another server may be the primary.
  void forget();

 private:
  struct Known {
    Instant server;
    BootInstant at;
  };
  const Ask ask_;
  const Clock& clock_;
  std::mutex mutex_;
  std::optional<Known> known_;  // guarded by mutex_
};

}  // namespace tidegate::store::mongo
