#include "control/worker/store_trouble.h"

#include <fmt/format.h>

#include "base/log.h"

namespace tidegate::worker {

bool StoreTrouble::note(const Status& status) {
  const std::lock_guard lock(mutex_);
  const std::string now = status ? "" : std::string(status.error().slug());
  if (!status) {
    why_ = status.error().message;
    last_ = clock_.boot_now();
    if (!since_) since_ = last_;
  } else {
    since_.reset();
  }
  if (now == told_) return false;
  told_ = now;
  if (status) {
    log::info("the store answers again", {{"doing", doing_}});
  } else {
    log::warn("the store failed", {{"doing", doing_}, {"error", describe(status.error())}});
  }
  return true;
}

void StoreTrouble::forget() {
  const std::lock_guard lock(mutex_);
  told_.clear();
  since_.reset();
}

std::string StoreTrouble::lasting(Millis least) const {
  const std::lock_guard lock(mutex_);
  const BootInstant now = clock_.boot_now();
  if (!since_ || now - *since_ < least || now - last_ > kStale) return {};
  return fmt::format("cannot {}: {}", doing_, why_);
}

}  // namespace tidegate::worker
