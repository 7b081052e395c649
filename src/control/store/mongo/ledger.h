#pragma once
// Steps that several operations share: slots, their records, and new and cancelled runs.

#include <set>
#include <vector>

#include "control/store/mongo/rows.h"
#include "control/store/queue.h"

namespace tidegate::store::mongo {

model::SlotRecord record_from(const bj::object& document);
bj::object record_document(const JobId& job, const model::SlotRecord& record);

// Those of the slots that have a run or lie within a record.
Result<std::set<Instant>> known_slots(Conn& db, const JobId& job, const std::set<Instant>& slots);
// Extends the newest record where rules::extends and no run lies between.
Status add_record(Tx& tx, const JobId& job, const model::SlotRecord& record);

// queued → cancelled; running → cancel_requested. The caller accounts an ended one to its job.
Status cancel_run(Tx& tx, RunRow& row);

}  // namespace tidegate::store::mongo
