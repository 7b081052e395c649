#pragma once
// What one step of the store works with: a connection (in a transaction where the server has them),
// the store's time and the changes to tell of.

#include <string>
#include <utility>
#include <vector>

#include "control/store/mongo/client.h"
#include "control/store/types.h"

namespace tidegate::store::mongo {

// Collections, as operators query them.
namespace coll {
inline constexpr std::string_view kJobs = "syncjobs", kRuns = "sync_runs", kLogs = "run_logs",
                                  kRecords = "slot_records", kLocks = "worker_locks",
                                  kSources = "data_sources", kDestinations = "destinations",
                                  kWorkspaces = "workspaces", kTokens = "api_tokens",
                                  kWorkers = "workers", kKeys = "idempotency_keys",
                                  kCounters = "change_counters", kSchema = "schema_migrations",
                                  kSettings = "settings", kSessions = "sessions",
                                  // Views.
    kRunLocks = "job_execution_locks", kSlots = "slots";
}

// Every document that is read, changed and written back counts its writes in `seq`; it is written
// only while `seq` is what was read. In a transaction the server finds such conflicts by itself.
struct Tx {
  Conn& db;
  Instant now;
  std::string_view self;             // this store: `writtenBy` of what it inserts and replaces
  std::vector<Change> changes = {};  // told of after the commit

  void note(ChangeKind kind, std::string id) { changes.push_back({kind, std::move(id)}); }

  // Inserts with seq 1, or replaces the version `seq` by the next one. Losing a race (see
  // Conn::lost_race) is Conflict.
  Status add(std::string_view collection, bj::object document);
  Status put(std::string_view collection, bj::object document, std::int64_t seq);
  Status remove(std::string_view collection, const std::string& id, std::int64_t seq);
  // Writes the document of that id without changing it, so that whoever relied on its old version
  // conflicts. False: there is none.
  Result<bool> touch(std::string_view collection, const std::string& id);
};

std::unexpected<Error> lost_race();

}  // namespace tidegate::store::mongo
