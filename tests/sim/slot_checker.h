#pragma once
// The slot checker: every due slot has exactly one distinct outcome, and nothing else has one.
// Pure.

#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "control/model/job.h"
#include "control/model/run.h"

namespace tidegate::sim {

// A stretch of a job's life under one schedule: its slots are those after `after`, up to and with
// `until`. Eras may overlap (a change of the schedule while the leader planned); a slot of both is
// one slot.
struct Era {
  model::Schedule schedule;
  Instant after, until;
};

// What is wrong, as sentences; empty: nothing. `ledger` is the job's whole one, in any order.
// Invalid: a schedule that cannot be read.
Result<std::vector<std::string>> check_slots(const JobId& job, std::span<const Era> eras,
                                             std::span<const model::LedgerEntry> ledger);

}  // namespace tidegate::sim
