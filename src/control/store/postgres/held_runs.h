#pragma once
// Runs as this process has claimed them. Their fence keeps everybody else from writing them, so
// whoever ends one need not read it again.

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "control/model/run.h"

namespace tidegate::store::postgres {

// Thread-safe.
class HeldRuns {
 public:
  void keep(const model::Run& run) {
    const std::scoped_lock lock(mutex_);
    if (runs_.size() >= kMost) runs_.clear();  // of runs that were lost, mostly
    runs_.insert_or_assign(run.id, run);
  }
  // Once: after an answer that got lost the store knows better. nullopt: not kept, or of another
  // attempt.
  std::optional<model::Run> take(const RunId& id, Fence fence) {
    const std::scoped_lock lock(mutex_);
    const auto found = runs_.extract(id);
    if (found.empty() || found.mapped().fence != fence) return std::nullopt;
    return std::move(found.mapped());
  }
  void forget(const RunId& id) {
    const std::scoped_lock lock(mutex_);
    runs_.erase(id);
  }

 private:
  static constexpr std::size_t kMost = 10'000;
  std::mutex mutex_;
  std::map<RunId, model::Run> runs_;
};

}  // namespace tidegate::store::postgres
