#pragma once
// The default store: one SQLite file (WAL, synchronous=FULL) that several processes of one host may
// share. docs: README.md beside this file.

#include <memory>
#include <string>

#include "base/time.h"
#include "control/store/store.h"

namespace tidegate::store {

struct SqliteOptions {
  std::string path;                      // created (0600) with its folders (0700) when absent
  std::string boot_id = read_boot_id();  // leases of another boot are expired
  // How long another process may hold the write lock without a commit before it is taken for frozen
  // and, when it is a registered Tidegate process, ended. Not below the leader lease's TTL.
  Millis lock_patience{8000};
  Millis poll_interval{200};  // for changes of other processes
};

// Opens, creates and migrates. Invalid: a newer schema, or a database of something else (nothing is
// written then); Internal: damaged, not a database, cannot be opened; Unavailable: locked,
// read-only, full disk. Messages name the path and the remedy. REQUIRES: clock outlives the store.
Result<std::unique_ptr<Store>> open_sqlite_store(const SqliteOptions& options, const Clock& clock);

// The version of what lies at the path; nothing is written. Errors as open_sqlite_store.
Result<SchemaState> sqlite_schema(const std::string& path);

}  // namespace tidegate::store
