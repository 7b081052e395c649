#pragma once
// The right to commit: the lease the parent renews, and the wish to stop.

#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::engine {

// Thread-safe. The watcher of fd 3 renews and cancels; the writing thread asks before each commit.
class LeaseGuard {
 public:
  // No `until`: there is no lease to lose (serverless).
  LeaseGuard(const Clock& clock, std::optional<BootInstant> until, Millis patience)
      : clock_(clock), until_(until), patience_(patience) {}

  // Never shortens the lease: lines may be read late.
  void renew(BootInstant until);
  // Stop at the next checkpoint and commit nothing after it. `why` becomes the run's error.
  void cancel(std::string why);

  // Waits while the lease is lost, at most the patience. Cancelled after cancel(); Fenced when the
  // lease did not come back: another worker may have started the next attempt.
  Status before_commit();

  // Cancelled with the reason after cancel().
  Status check() const;
  std::stop_token stop_token() const { return stop_.get_token(); }

 private:
  Status cancelled_locked() const;

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<BootInstant> until_;
  const Millis patience_;
  std::optional<std::string> cancelled_;
  std::stop_source stop_;
};

}  // namespace tidegate::engine
