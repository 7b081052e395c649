#pragma once
// A process that was frozen inside a write transaction keeps SQLite's write lock for ever. This
// finds it, proves that it is a Tidegate server of this store and ends it.

#include <chrono>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/process.h"
#include "base/time.h"
#include "control/store/sqlite/db.h"
#include "control/store/sqlite/wal_index.h"

namespace tidegate::store::sqlite {

// Judges the refusals of the write lock. Used by the writer's thread only.
class LockPatience {
 public:
  // REQUIRES: index outlives this.
  LockPatience(std::string path, std::string boot_id, Millis patience, const WalIndex& index)
      : path_(std::move(path)), boot_id_(std::move(boot_id)), patience_(patience), index_(index) {}

  void granted() { refused_since_.reset(); }
  // Called after each refusal. Ok: try again. Unavailable: patience is over and the holder could
  // not be ended; the message names it. `reader`: a connection of this store, for the registered
  // processes.
  Status refused(Db& reader);

 private:
  Status end_holder(Db& reader);

  std::string path_, boot_id_;
  Millis patience_;
  const WalIndex& index_;
  std::optional<std::chrono::steady_clock::time_point> refused_since_;
  std::optional<WalIndex::Stamp> stamp_;
};

// The table store_processes: adds this process and forgets those that are gone. In a transaction.
Status register_process(Db& db, const ProcessIdentity& self, Instant now);
Status forget_process(Db& db, const ProcessIdentity& self);

}  // namespace tidegate::store::sqlite
