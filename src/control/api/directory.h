#pragma once
// Tokens and workspaces as every request needs them, kept for at most a second and dropped at once
// when the store says that one changed.

#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>

#include "base/time.h"
#include "control/api/store_time.h"
#include "control/model/connection.h"
#include "control/store/store.h"

namespace tidegate::api {

// Thread-safe.
class Directory {
 public:
  // REQUIRES: all outlive this.
  Directory(store::Store& store, const Clock& clock, StoreTime& time);

  // By the token's text; null: unknown. Expiry is the caller's to check.
  Result<std::shared_ptr<const model::Token>> token(std::string_view text);
  // False: revoked or expired since a request was let in with it.
  Result<bool> still_valid(const std::string& token_hash);
  // NotFound.
  Result<std::shared_ptr<const model::Workspace>> workspace(std::string_view id_or_name);

 private:
  template <class T>
  struct Entry {
    std::shared_ptr<const T> value;
    BootInstant until;
  };
  template <class T>
  using Map = std::unordered_map<std::string, Entry<T>>;
  template <class T>
  std::shared_ptr<const T> find(const Map<T>& map, const std::string& key) const;
  template <class T>
  void keep(Map<T>& map, const std::string& key, std::shared_ptr<const T> value,
            std::uint64_t generation);
  std::uint64_t generation() const;
  Result<std::shared_ptr<const model::Token>> token_of_hash(const std::string& hash);

  store::Store& store_;
  const Clock& clock_;
  StoreTime& time_;
  mutable std::shared_mutex mutex_;
  Map<model::Token> tokens_;          // by hash; guarded by mutex_, as all below
  Map<model::Workspace> workspaces_;  // by id or name
  std::uint64_t generation_ = 0;      // grows with each invalidation
  std::unique_ptr<store::Subscription> subscription_;
};

}  // namespace tidegate::api
