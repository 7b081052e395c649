#pragma once
// A process that was frozen inside a write transaction keeps SQLite's write lock for ever. This
// finds it, proves that it is a Tidegate server of this store and ends it.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "control/store/sqlite/db.h"
#include "control/store/sqlite/wal_index.h"

namespace tidegate::store::sqlite {

struct ProcessIdentity {
  std::string boot_id;
  pid_t pid = 0;
  std::int64_t start = 0;  // field 22 of /proc/PID/stat
};
ProcessIdentity this_process(const std::string& boot_id);
std::optional<std::int64_t> process_start(pid_t pid);  // none: no such process

// The process that holds the WAL write lock of the database at `path`; none: nobody else, or it
// cannot be told. REQUIRES: this process has the database open.
std::optional<pid_t> write_lock_holder(const std::string& path);

// SIGKILL by pidfd, after checking that `who` is still that process; waits until it is gone.
// Unavailable naming the pid when that is not allowed or does not happen.
Status end_process(const ProcessIdentity& who);

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
