#pragma once
// Goes round all jobs, a stretch at each call: what has to be looked for at every job costs one
// call no more with 10,000 jobs than with a few.

#include <cstddef>
#include <mutex>
#include <vector>

#include "base/ids.h"

namespace tidegate::store {

// Thread-safe.
class JobRound {
 public:
  static constexpr std::size_t kStretch = 200;

  // The next stretch are the kStretch jobs whose ids follow this one.
  JobId after() const {
    const std::lock_guard lock(mutex_);
    return after_;
  }
  // Those that were found; fewer than kStretch: the round begins anew.
  void found(const std::vector<JobId>& stretch) {
    const std::lock_guard lock(mutex_);
    after_ = stretch.size() < kStretch ? JobId() : stretch.back();
  }

 private:
  mutable std::mutex mutex_;
  JobId after_;
};

}  // namespace tidegate::store
