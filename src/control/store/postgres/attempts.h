#pragma once
// The ends of attempts, many in one transaction: looked up in one flight, judged, written in
// another.

#include <map>
#include <vector>

#include "control/store/postgres/held_runs.h"
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
  // `committing`: those of the runs whose ends bring states. `own`: as their owner; else as whoever
  // finds orphans, which are only those whose lease has ended.
  Attempts(std::vector<HeldRun> held, std::vector<RunId> committing, HeldRuns* own = nullptr);

  // Locks the jobs, takes away the locks of the runs that are held under that fence, and reads what
  // is not known yet.
  std::vector<Query> looks() const;
  void learn(std::span<const Rows> rows);
  bool is_held(const RunId& run) const { return locks_.contains(run); }
  // Fenced unless the run is held under that fence; success for a repetition.
  Status end(const AttemptEnd& end, Tx& tx);
  // Gives back the locks of what could not be ended.
  std::vector<Query> writes() const;

 private:
  struct Lock {
    JobId job;
    OwnerId owner;
    Fence fence{};
    Instant acquired, expires;
    std::string exclusive_key;
    bool allow_overlap = false, cancel_requested = false;
  };
  Query put_back() const;

  std::vector<HeldRun> held_;  // in the order of their ids
  std::vector<RunId> committing_, unknown_;
  const bool orphans_;
  std::map<JobId, Result<JobHead>> heads_;
  KnownStates states_;
  std::map<JobId, States> changed_states_;
  std::map<RunId, Lock> locks_;
  std::map<RunId, Result<model::Run>> runs_;
  std::vector<const model::Run*> ended_;  // of runs_
};

}  // namespace tidegate::store::postgres
