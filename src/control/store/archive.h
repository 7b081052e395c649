#pragma once
// Everything a store holds, out of it and into an empty one, for backups and for moves between
// kinds of stores: workspaces, tokens, connections, jobs, the ledger, runs and their logs. Not:
// leases and workers, which end with their processes, and idempotency keys, which end with the day.

#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/types.h"

namespace tidegate::store {

struct ArchivedJob {
  model::SyncJob job;
  Fence fence{};         // of the newest attempt of any of its runs
  bool deleted = false;  // what is left of it is its history
};
// Consecutive lines of one run; at least one.
struct ArchivedLog {
  RunId run;
  std::vector<model::RunLogLine> lines;
};
// Of the newest leader.
struct ArchivedFence {
  Fence fence{};
};
using ArchiveRecord = std::variant<model::Workspace, model::Token, ArchivedFence, model::Connection,
                                   model::SlotRecord, model::Run, ArchivedLog, ArchivedJob>;

// Used by one thread. REQUIRES: the store outlives it.
class ArchiveReader {
 public:
  virtual ~ArchiveReader() = default;
  // Whether all pages show one moment of the store. False (memory; a MongoDB without snapshots):
  // each page shows its own. A job is read before its runs and the ledger, so they may hold what
  // came after it: slots from its next_slot on, runs that its counters miss, greater fences. What a
  // job refers to may be missing when it was made or changed meanwhile.
  virtual bool is_snapshot() const = 0;
  // The next page, of bounded size; empty: that was all. The first one fails as check_whole() does.
  // Workspaces, tokens, the fence and connections come first, then groups of jobs: their slot
  // records and runs, the logs after the runs they belong to, and at a group's end the jobs
  // themselves.
  virtual Result<std::vector<ArchiveRecord>> next() = 0;
};

// Thread-safe, as the whole store.
class ArchiveStore {
 public:
  virtual ~ArchiveStore() = default;

  virtual Result<std::unique_ptr<ArchiveReader>> read_archive() = 0;

  // Takes the scheduler's lease for good as `restore:<archive>`, so that nobody plans what is not
  // whole, and removes what a start makes (the workspace `default`, admin tokens). The time of the
  // restore: that of the first call, when an interrupted one is repeated. Invalid
  // `store_not_empty`; `other_restore`: it is being filled from another archive. Conflict
  // `store_in_use`: somebody leads.
  virtual Result<Instant> begin_restore(const std::string& archive) = 0;
  // Adds the records in one step, with their ids and times; those that are there already stay as
  // they are. REQUIRES: between begin_restore and end_restore; runs are terminal; what belongs to
  // a job comes before it, a run before its log, a log in the order of its lines.
  virtual Status load_archive(std::span<const ArchiveRecord> records) = 0;
  // Invalid `restore_unfinished`: it is being filled, or was left half full.
  virtual Status check_whole() = 0;
  // Gives the lease back; the next leader's fence is greater than all before. No error when it was
  // given back already.
  virtual Status end_restore(const std::string& archive) = 0;
};

}  // namespace tidegate::store
