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

class Attempts {
 public:
  explicit Attempts(std::vector<RunId> runs) : ids_(std::move(runs)) {}

  // Locks the jobs, then the locks of the runs, and reads what these hold then.
  std::vector<Query> looks() const;
  Status learn(std::span<const Rows> rows);
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
  std::vector<RunId> ids_;
  std::map<JobId, JobHead> heads_;
  std::map<JobId, States> states_, changed_states_;
  std::map<RunId, Held> held_;
  std::map<RunId, Result<model::Run>> runs_;
  std::map<RunId, model::Run> ended_;
  std::map<JobId, JobHead> accounted_;
};

// The known states of jobs, for keep_states.
Query states_of(const std::vector<RunId>& runs);
Status learn_states(const Rows& rows, std::map<JobId, States>& states);

}  // namespace tidegate::store::postgres
