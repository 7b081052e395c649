#pragma once
// Steps that several operations share: slots, their records, and the ends of runs.

#include <string_view>
#include <vector>

#include "control/store/queue.h"
#include "control/store/sqlite/rows.h"
#include "control/store/sqlite/writer.h"

namespace tidegate::store::sqlite {

// True when the slot has a run or lies within a record.
Result<bool> slot_known(Db& db, const JobId& job, Instant slot);
// Extends the newest record where rules::extends and no run lies between.
Status add_record(Db& db, const JobId& job, const model::SlotRecord& record);

// Queued and running ones, oldest first.
Result<std::vector<model::Run>> active_runs(Db& db, const JobId& job);
// queued → cancelled; running → cancel_requested. The caller saves `head`.
Status cancel_run(Tx& tx, model::Run& run, JobHead& head);

// Fenced unless the lease is still the leader's. REQUIRES: inside a write transaction.
Status check_leader(Db& db, const LeaderLease& lease);

}  // namespace tidegate::store::sqlite
