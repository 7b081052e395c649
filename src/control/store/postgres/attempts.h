#pragma once
// The ends of attempts, many in one transaction: looked up in one flight, judged, written in
// another.

#include <map>
#include <vector>

#include "control/store/postgres/rows.h"
#include "control/store/postgres/tx.h"
#include "control/store/queue.h"
#include "control/store/rules.h"

namespace tidegate::store::postgres {

// The known states of jobs. What cannot be read is the answer to what needs it, and to nothing
// else.
using KnownStates = std::map<JobId, Result<States>>;
Query states_of(const std::vector<RunId>& runs);
KnownStates states_from(const Rows& rows);
// Of a job without any, the empty ones.
Result<States> states_in(const KnownStates& known, const JobId& job);

class Attempts {
 public:
  // `committing`: those of the runs whose ends bring states.
  Attempts(std::vector<RunId> runs, std::vector<RunId> committing)
      : ids_(std::move(runs)), committing_(std::move(committing)) {}

  // Locks the jobs, then the locks of the runs, and reads what these hold then.
  std::vector<Query> looks() const;
  void learn(std::span<const Rows> rows);
  // True while the run is held under that fence by a lease that has ended by `now`.
  bool is_orphan(const HeldRun& held, Instant now) const;
  // Fenced unless the run is held under that fence; success for a repetition.
  Status end(const AttemptEnd& end, Tx& tx);
  std::vector<Query> writes() const;

 private:
  struct Held {
    Fence fence{};
    Instant expires;
  };
  std::vector<RunId> ids_, committing_;
  std::map<JobId, Result<JobHead>> heads_;
  KnownStates states_;
  std::map<JobId, States> changed_states_;
  std::map<RunId, Held> held_;
  std::map<RunId, Result<model::Run>> runs_;
  std::map<RunId, model::Run> ended_;
  std::map<JobId, JobHead> accounted_;
};

}  // namespace tidegate::store::postgres
