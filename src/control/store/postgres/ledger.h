#pragma once
// Steps that several operations share: slots, their records, the ends of runs.

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "control/store/postgres/rows.h"
#include "control/store/postgres/tx.h"
#include "control/store/queue.h"

namespace tidegate::store::postgres {

using Slots = std::set<std::pair<JobId, Instant>>;
// Those of the slots that have a run or lie within a record: job and slot.
Query known_slots(const Slots& slots);
Slots slots_from(const Rows& rows);

// Adds records of any number of jobs; one that continues the job's newest record extends it
// (rules::extends) unless a run lies between.
class RecordWriter {
 public:
  // What has to be known first of the jobs and of where the records begin.
  static Query look(const Slots& firsts);
  Status learn(const Rows& rows);
  void add_run(const JobId& job, Instant slot) { runs_[job].insert(slot); }  // of this transaction
  // REQUIRES: learned; the slot is not known.
  void add(const JobId& job, const model::SlotRecord& record);
  std::vector<Query> writes() const;

 private:
  struct Newest {
    model::SlotRecord record;
    bool stored = false;  // false: will be inserted
  };
  bool run_between(const JobId& job, Instant last, Instant first) const;
  void put(const JobId& job, const Newest& done);

  std::map<JobId, Newest> newest_;
  std::map<std::pair<JobId, Instant>, Instant> run_before_;  // the newest run before that slot
  std::map<JobId, std::set<Instant>> runs_;
  std::vector<model::SlotRecord> inserted_, extended_;
};

Query request_cancels(const std::vector<RunId>& running);
// queued → cancelled, and what the job learns from it; running → cancel_requested. REQUIRES: the
// job's row is locked.
Status cancel_run(Tx& tx, model::Run& run);

// No row: Fenced, the lease the leader's any more. Else it is held to the end of the transaction,
// so that nobody takes over in between.
Query hold_leader(const LeaderLease& lease);

}  // namespace tidegate::store::postgres
