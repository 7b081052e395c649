#pragma once
// The store's time for readers, without a request to the store each time: asked at most once a
// second, counted on by the boot clock in between. The wall clock of this machine is never looked
// at, so that servers whose clocks differ, or are stepped, give the same answers.

#include <mutex>
#include <optional>

#include "base/time.h"
#include "control/store/store.h"

namespace tidegate::api {

// Thread-safe.
class StoreTime {
 public:
  // REQUIRES: both outlive this.
  StoreTime(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}

  // Counts on while the store is away. Unavailable: it has not answered yet.
  Result<Instant> now();

 private:
  store::Store& store_;
  const Clock& clock_;
  std::mutex mutex_;
  std::optional<Instant> answer_;  // guarded by mutex_, as all below
  BootInstant asked_at_;
};

}  // namespace tidegate::api
