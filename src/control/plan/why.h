#pragma once
// "Why is it waiting?" and "why did it not run?", in a stable code and an English sentence: pure.

#include <string>
#include <string_view>

#include "base/time.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/queue.h"

namespace tidegate::plan {

struct Why {
  std::string code;  // stable, snake_case
  std::string text;  // for people
};

// What the job waits for at `now`: paused, disabled, running, a retry, a worker, its next slot, …
Why why_waiting(const store::PlanView& view, Instant now);

// Why one queued run has not started.
Why why_queued(const model::Run& run, const store::PlanView& view, Instant now);

// Why a slot has no run, or its run no success.
Why why_not_run(const model::LedgerEntry& entry);

}  // namespace tidegate::plan
