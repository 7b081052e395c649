#pragma once
// Answers to GET of one job, kept as text: building the JSON costs more than all the rest of the
// request. The job is read from the store every time; a text is used only while everything in it
// that can change is as it was.

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "control/model/job.h"

namespace tidegate::api {

// Thread-safe.
class JobBodies {
 public:
  // {"success":true,"data":…} of the job.
  std::string body(const model::SyncJob& job);

 private:
  // A change by a user raises the revision; the end of a run raises run_count; the rest is here.
  struct Version {
    std::int64_t revision = 0, run_count = 0;
    std::optional<Instant> next_slot, last_run_at;
    bool paused = false;  // also ends by time
    bool operator==(const Version&) const = default;
  };
  struct Entry {
    Version version;
    std::string body;
  };
  std::mutex mutex_;
  std::unordered_map<JobId, Entry> entries_;  // guarded by mutex_
};

}  // namespace tidegate::api
