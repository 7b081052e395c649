#include "control/store/mongo/server_clock.h"

namespace tidegate::store::mongo {
namespace {

constexpr Millis kTrusted{1000};
constexpr Millis kRoundTrip{500};  // below the margin that holders of leases keep
constexpr int kTries = 3;

}  // namespace

Result<Instant> ServerClock::now() {
  {
    const std::scoped_lock lock(mutex_);
    const BootInstant here = clock_.boot_now();
    if (known_ && here - known_->at < kTrusted) return known_->server + (here - known_->at);
  }
  for (int i = 0; i < kTries; ++i) {
    const BootInstant before = clock_.boot_now();
    TG_TRY(const Instant server, ask_());
    const BootInstant after = clock_.boot_now();
    if (after - before > kRoundTrip) continue;
    const std::scoped_lock lock(mutex_);
    known_ = Known{server, after};
    return server;
  }
  return fail(Code::Unavailable,
              "the store's server needs more than half a second to say what time it is; it is "
              "tried again, look for what slows the server or the network",
              "store_unavailable");
}

void ServerClock::forget() {
  const std::scoped_lock lock(mutex_);
  known_.reset();
}

}  // namespace tidegate::store::mongo
