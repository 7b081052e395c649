#pragma once
// Values read since the last commit of any process: what every API request asks for (its token, its
// workspace, a job) costs no statement while nothing changes. Exact, not timed: an entry counts
// only under the WAL index stamp that was taken before it was read. Thread-safe.

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/store/sqlite/wal_index.h"

namespace tidegate::store::sqlite {

template <class T>
class StampedMap {
 public:
  explicit StampedMap(std::size_t most) : most_(most) {}

  // The value under `key`, from load() -> Result<optional<T>> when it is not known; an absent thing
  // is not kept.
  template <class F>
  Result<std::optional<T>> get(const WalIndex& index, const std::string& key, F&& load) {
    const auto stamp = index.stamp();
    if (stamp) {
      const std::scoped_lock lock(mutex_);
      if (stamp_ == stamp) {
        if (const auto it = values_.find(key); it != values_.end()) return it->second;
      }
    }
    TG_TRY(std::optional<T> value, load());
    if (stamp && value) {
      const std::scoped_lock lock(mutex_);
      if (stamp_ != stamp || values_.size() >= most_) values_.clear();
      stamp_ = stamp;
      values_.insert_or_assign(key, *value);
    }
    return value;
  }

 private:
  const std::size_t most_;
  std::mutex mutex_;
  std::optional<WalIndex::Stamp> stamp_;
  std::unordered_map<std::string, T> values_;
};

struct ReadCache {
  StampedMap<model::SyncJob> jobs{256};
  StampedMap<model::Token> tokens{64};
  StampedMap<model::Workspace> workspaces{64};
};

}  // namespace tidegate::store::sqlite
