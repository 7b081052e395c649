#include "control/store/mongo/server_clock.h"

namespace tidegate::store::mongo {
namespace {

constexpr Millis kTrusted{1000};

}  // namespace

Result<Instant> ServerClock::now() {
  {
    const std::scoped_lock lock(mutex_);
    const BootInstant here = clock_.boot_now();
    if (known_ && here - known_->at < kTrusted) return known_->server + (here - known_->at);
  }
  TG_TRY(const Instant server, ask_());
  const std::scoped_lock lock(mutex_);
  known_ = Known{server, clock_.boot_now()};
  return server;
}

void ServerClock::forget() {
  const std::scoped_lock lock(mutex_);
  known_.reset();
}

}  // namespace tidegate::store::mongo
