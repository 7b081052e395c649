#pragma once
// The order in which every store gives its archive, over pages that each reads in its own way.

#include <memory>
#include <utility>
#include <vector>

#include "control/store/archive.h"

namespace tidegate::store {

// Where a list goes on; empty ids: at its beginning.
struct SlotAfter {
  JobId job;
  Instant first;
};
struct RunAfter {
  JobId job;
  Instant created_at;
  RunId id;
};
struct LogAfter {
  RunId run;
  std::int64_t seq = 0;
};

// Each page has as many items as its store likes; an empty one is the end of its list.
class ArchivePages {
 public:
  virtual ~ArchivePages() = default;
  virtual bool is_snapshot() const = 0;
  virtual Result<std::vector<ArchiveRecord>> head() = 0;  // workspaces, tokens, the leader's fence
  virtual Result<std::vector<model::Connection>> connections(
      const ConnectionId& after) = 0;                                     // by id
  virtual Result<std::vector<ArchivedJob>> jobs(const JobId& after) = 0;  // by id
  // Of the jobs of one page: by job and first slot; by job, creation and id.
  virtual Result<std::vector<model::SlotRecord>> slots(const std::vector<JobId>& jobs,
                                                       const SlotAfter& after) = 0;
  virtual Result<std::vector<model::Run>> runs(const std::vector<JobId>& jobs,
                                               const RunAfter& after) = 0;
  // Of the runs of one page, in any order of runs, each log in order.
  virtual Result<std::vector<ArchivedLog>> logs(const std::vector<RunId>& runs,
                                                const LogAfter& after) = 0;
};

std::unique_ptr<ArchiveReader> walk_archive(std::unique_ptr<ArchivePages> pages);

}  // namespace tidegate::store
