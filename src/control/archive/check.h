#pragma once
// Whether an archive can be restored: what its records refer to is in it, their schedules can be
// read, their secrets opened.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "control/secrets/key_ring.h"
#include "control/store/archive.h"

namespace tidegate::archive {

// Takes all records in their order. Keeps the ids of workspaces and connections, and of the runs of
// one group of jobs; nothing of the rest.
class Check {
 public:
  // `keys` may be null: secrets are not looked at. REQUIRES: keys outlives this.
  explicit Check(const secrets::KeyRing* keys) : keys_(keys) {}

  void see(const store::ArchiveRecord& record);
  // Invalid with a detail for each of the first faults: `backup_incomplete` when something is not
  // there that others refer to, `secret_unreadable`, `bad_schedule`.
  Status finish();

 private:
  void see_one(const model::Connection& connection);
  void see_one(const model::Run& run);
  void see_one(const store::ArchivedLog& log);
  void see_one(const store::ArchivedJob& job);
  void fault(std::string_view reason, std::string field, std::string message);
  void missing(std::string field, std::string_view what, const std::string& id);

  const secrets::KeyRing* keys_;
  std::set<WorkspaceId> workspaces_;
  std::set<ConnectionId> sources_, destinations_;
  // Of the group of jobs that is being read.
  std::set<JobId> open_jobs_;  // have runs or slot records, and did not come yet
  std::set<RunId> runs_;
  std::string reason_;
  std::vector<FieldError> faults_;
  std::size_t more_ = 0;
};

}  // namespace tidegate::archive
