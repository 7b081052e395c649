#include "engine/core/lease.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidegate::engine {

void LeaseGuard::renew(BootInstant until) {
  const std::scoped_lock lock(mutex_);
  if (until_ && *until_ < until) until_ = until;
  changed_.notify_all();
}

void LeaseGuard::cancel(std::string why) {
  {
    const std::scoped_lock lock(mutex_);
    if (!cancelled_) cancelled_ = std::move(why);
    changed_.notify_all();
  }
  // Outside the lock: stop callbacks run here and may ask check().
  stop_.request_stop();
}

Status LeaseGuard::cancelled_locked() const {
  if (cancelled_) return fail(Code::Cancelled, *cancelled_);
  return {};
}

Status LeaseGuard::check() const {
  const std::scoped_lock lock(mutex_);
  return cancelled_locked();
}

Status LeaseGuard::before_commit() {
  std::unique_lock lock(mutex_);
  std::optional<BootInstant> lost_since;
  for (;;) {
    TG_CHECK(cancelled_locked());
    const BootInstant now = clock_.boot_now();
    if (!until_ || now < *until_) return {};
    if (!lost_since) lost_since = now;
    const Millis waited = now - *lost_since;
    if (waited >= patience_) {
      return fail(Code::Fenced,
                  fmt::format("the worker's lease on this run was not renewed for {}; nothing more "
                              "was committed. Another worker may have taken over; the next attempt "
                              "goes on from the last commit",
                              format_duration(waited)));
    }
    // The boot clock is not one a condition variable can wait for; a short wait bounds the error.
    changed_.wait_for(lock, std::clamp(patience_ - waited, Millis(1), Millis(100)));
  }
}

}  // namespace tidegate::engine
