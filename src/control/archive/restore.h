#pragma once
// From a file into an empty store: as it was, but nothing runs and every job is paused, because the
// server of the backup may still be at work on the same destinations.

#include <map>
#include <string>
#include <vector>

#include "control/archive/backup.h"
#include "control/archive/file.h"
#include "control/secrets/key_ring.h"
#include "control/store/store.h"

namespace tidegate::archive {

// What a restore makes of the records. Takes them in the archive's order; pure.
class Transform {
 public:
  // `made_at`: when the backup was made; `now`: the time of the restore.
  Transform(Instant made_at, Instant now) : made_at_(made_at), now_(now) {}

  // Runs that were queued or running end as cancelled (`restored`) and count for their job; a job
  // is paused, and what came due since the backup is one record (missed_restored); its fence is at
  // least that of its runs. Invalid: its schedule cannot be read.
  Status apply(store::ArchiveRecord record, std::vector<store::ArchiveRecord>& out);

  std::int64_t ended_runs() const { return ended_; }
  std::int64_t paused_jobs() const { return paused_; }
  std::int64_t missed_slots() const { return missed_; }

 private:
  // What the runs and slot records of a job say, which come before it.
  struct Facts {
    Fence fence{};
    std::optional<Instant> newest_slot;
    std::int64_t ended = 0;
  };
  void end(model::Run& run);
  Status settle(store::ArchivedJob& job, const Facts& facts,
                std::vector<store::ArchiveRecord>& out);

  Instant made_at_, now_;
  std::map<JobId, Facts> facts_;  // of one group of jobs
  std::int64_t ended_ = 0, paused_ = 0, missed_ = 0;
};

// A file that can be restored with these keys; read to its end.
struct CheckedBackup {
  FileReader file;
  FileReader::Frame frame;
};
// Errors of FileReader, Parser and Check.
Result<CheckedBackup> check_backup(const std::string& path, const secrets::KeyRing& keys);

struct RestoreReport {
  Header header;
  Trailer trailer;
  Instant at;  // what the store says it was restored at
  std::int64_t ended_runs = 0, paused_jobs = 0, missed_slots = 0;
};
// Conflict: the store (ArchiveStore::begin_restore), or a server was seen on it. One that was
// interrupted is completed by the same call.
Result<RestoreReport> restore(store::Store& store, CheckedBackup& backup, const Progress& progress);

}  // namespace tidegate::archive
