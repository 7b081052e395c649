#pragma once
// What a loop says of a store that fails it: once, until the reason changes, and when it is over. A
// line a try would fill the log of an outage.

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/log.h"

namespace tidegate::worker {

// Used by one thread.
class StoreTrouble {
 public:
  explicit StoreTrouble(std::string_view doing) : doing_(doing) {}

  // True: it had something to say.
  bool note(const Status& status) {
    const std::string now = status ? "" : std::string(status.error().slug());
    if (now == told_) return false;
    told_ = now;
    if (status) {
      log::info("the store answers again", {{"doing", doing_}});
    } else {
      log::warn("the store failed", {{"doing", doing_}, {"error", describe(status.error())}});
    }
    return true;
  }

 private:
  const std::string_view doing_;
  std::string told_;  // the reason; "": all is well
};

}  // namespace tidegate::worker
