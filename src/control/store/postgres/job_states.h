#pragma once
// The known states of jobs within one write: read under the jobs' locks, added to, written.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/store/postgres/rows.h"

namespace tidegate::store::postgres {

using States = std::map<std::string, protocol::KnownState>;
Query save_states(const std::map<JobId, States>& states);

class JobStates {
 public:
  static Query look(const std::vector<RunId>& runs);  // of their jobs
  // `jobs`: of lock_jobs_of the same runs. What cannot be read is the answer to what needs it, and
  // to nothing else.
  void learn(const Rows& jobs, const Rows& states);
  // REQUIRES: the job is among those learned.
  Status keep(const JobId& job, const rules::Committed& committed);
  std::vector<Query> writes() const;  // none where nothing was kept

 private:
  std::map<JobId, std::int64_t> epochs_;
  std::map<JobId, Result<States>> known_;  // of those that have any
  std::map<JobId, States> changed_;
};

}  // namespace tidegate::store::postgres
