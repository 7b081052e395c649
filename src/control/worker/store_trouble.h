#pragma once
// What a loop says of a store that fails it: once, until the reason changes, and when it is over. A
// line a try would fill the log of an outage.

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::worker {

// Thread-safe.
class StoreTrouble {
 public:
  static constexpr Millis kStale{300'000};

  // REQUIRES: both outlive this.
  StoreTrouble(std::string_view doing, const Clock& clock) : doing_(doing), clock_(clock) {}

  // True: it had something to say.
  bool note(const Status& status);
  // There is nothing to do any more: whether the store still fails it is not known.
  void forget();
  // For /readyz: why, when the store has failed this for `least` or longer without a success, and
  // last within kStale; else empty.
  std::string lasting(Millis least) const;

 private:
  const std::string_view doing_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::string told_;  // the reason; "": all is well
  std::string why_;
  std::optional<BootInstant> since_;
  BootInstant last_;  // failure
};

}  // namespace tidegate::worker
