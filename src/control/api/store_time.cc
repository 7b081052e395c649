#include "control/api/store_time.h"

namespace tidegate::api {
namespace {

constexpr Millis kKept{1'000};

}  // namespace

Result<Instant> StoreTime::now() {
  const BootInstant boot = clock_.boot_now();
  {
    const std::lock_guard lock(mutex_);
    if (answer_ && boot - asked_at_ < kKept) return *answer_ + (boot - asked_at_);
  }
  const auto answer = store_.now();
  const std::lock_guard lock(mutex_);
  if (answer) {
    answer_ = *answer;
    asked_at_ = clock_.boot_now();
  } else if (!answer_) {
    return fail(answer.error());
  }
  return *answer_ + (clock_.boot_now() - asked_at_);
}

}  // namespace tidegate::api
