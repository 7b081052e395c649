#pragma once
// The ends of attempts, many in one transaction: what is not known is looked up in one flight; they
// are judged, and written in another.

#include <map>
#include <vector>

#include "control/store/postgres/held_runs.h"
#include "control/store/postgres/job_states.h"
#include "control/store/postgres/rows.h"
#include "control/store/postgres/tx.h"
#include "control/store/queue.h"
#include "control/store/rules.h"

namespace tidegate::store::postgres {

class Attempts {
 public:
  // `committing`: those of the runs whose ends bring states. `own`: as their owner; else as whoever
  // finds orphans, which are only those whose lease has ended.
  Attempts(std::vector<HeldRun> held, std::vector<RunId> committing, HeldRuns* own = nullptr);

  // Locks the jobs and the locks of what is not known, and reads it.
  std::vector<Query> looks() const;
  void learn(std::span<const Rows> rows);
  bool is_held(const RunId& run) const;
  // Fenced unless the run is held under that fence; success for a repetition.
  Status end(const AttemptEnd& end, Tx& tx);
  // They fail where a run that was known is no longer held as it was; when the transaction is tried
  // again, it is not known any more.
  std::vector<Query> writes() const;

 private:
  struct Found {
    Result<model::Run> run;
    bool held = false;
    bool cancel_requested = false;  // as its lock says
  };

  std::vector<HeldRun> held_;  // in the order of their ids
  std::vector<RunId> committing_, unknown_;
  const bool orphans_;
  JobStates states_;
  std::map<RunId, Found> runs_;
  std::map<RunId, const Found*> ended_;  // of runs_; in their order, as renewals lock them
  std::vector<JobNews> news_;
};

}  // namespace tidegate::store::postgres
