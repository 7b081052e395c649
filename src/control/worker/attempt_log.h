#pragma once
// What a run's log says of its attempts. A run of one attempt says nothing here, and costs no write
// for its log: its record tells all. Pure.

#include <optional>
#include <vector>

#include "control/model/run.h"
#include "control/store/queue.h"

namespace tidegate::worker {

// How the attempt before this one was lost, and where this one runs; nothing for the first.
std::vector<model::RunLogLine> another_began(const model::Run& run, Instant now);
// Why this attempt is not the last; nullopt when it is.
std::optional<model::RunLogLine> another_follows(const model::Run& run,
                                                 const store::AttemptEnd& end, Instant now);

}  // namespace tidegate::worker
