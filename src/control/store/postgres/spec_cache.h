#pragma once
// The specs of jobs by revision, parsed: a revision never changes, and a job's runs share it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "control/model/job.h"

namespace tidegate::store::postgres {

// Thread-safe.
class SpecCache {
 public:
  using Spec = std::shared_ptr<const model::JobSpec>;
  using Key = std::pair<JobId, std::int64_t>;  // job and revision

  Spec find(const Key& key) const {  // null: not kept
    const std::scoped_lock lock(mutex_);
    const auto it = specs_.find(key);
    return it == specs_.end() ? nullptr : it->second;
  }
  // `bytes`: of its text, which stands for its size.
  void keep(const Key& key, const Spec& spec, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    if (bytes_ + bytes > kMostBytes) {
      specs_.clear();
      bytes_ = 0;
    }
    if (bytes <= kMostBytes && specs_.try_emplace(key, spec).second) bytes_ += bytes;
  }

 private:
  static constexpr std::size_t kMostBytes = 4 << 20;
  mutable std::mutex mutex_;
  std::map<Key, Spec> specs_;
  std::size_t bytes_ = 0;
};

}  // namespace tidegate::store::postgres
