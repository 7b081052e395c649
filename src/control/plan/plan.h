#pragma once
// From due slots to outcomes, as a pure function of (job, its active runs, now):
// docs/scheduling.md. The leader applies the step it returns; the store compares and sets, so a
// step planned from a stale view changes nothing.

#include <cstddef>
#include <functional>
#include <optional>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"
#include "control/store/jobs.h"
#include "control/store/queue.h"

namespace tidegate::plan {

struct PlanLimits {
  // Slots looked at in one step. A job with more due ones (every second, after a long outage) takes
  // several steps; the step's next_slot is then still due.
  std::size_t max_slots = 10'000;
};

using NewRunId = std::function<RunId()>;

// nullopt: nothing is due. Every slot from the job's next_slot up to `now` (within the limits) gets
// exactly one outcome in the step: a run or a place in a record. Invalid: the schedule cannot be
// read.
Result<std::optional<store::PlanStep>> plan(const store::PlanView& view, Instant now,
                                            const PlanLimits& limits, const NewRunId& new_id);

// Whether a change of the spec needs a Reschedule: the schedule changed, or the job was enabled.
bool needs_reschedule(const model::SyncJob& old, const model::JobSpec& spec);

// The job's next slot under the new spec, and a record of what had come due under the old one.
Result<store::Reschedule> reschedule(const model::SyncJob& old, const model::JobSpec& spec,
                                     Instant now);

// After a restore from a backup at `now`: the job's next slot, and a record (missed_restored) of
// what came due since the backup; nothing of a disabled job. `known`: its newest slot that has an
// outcome. Invalid: the schedule cannot be read.
Result<store::Reschedule> after_restore(const model::SyncJob& job,
                                        const std::optional<Instant>& known, Instant now);

// The pause that holds at `now`: one whose `until` has passed does not.
bool is_paused(const model::SyncJob& job, Instant now);

// A queued run that waits for its next attempt.
bool in_backoff(const model::Run& run);

}  // namespace tidegate::plan
