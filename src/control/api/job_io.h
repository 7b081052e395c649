#pragma once
// What the job routes share.

#include <functional>

#include "control/api/route.h"
#include "control/model/job.h"

namespace tidegate::api {

std::string job_location(const model::SyncJob& job);

// As answers show it: a pause is over at its end, also before the planner's next step clears it.
model::SyncJob shown(model::SyncJob job, Instant now);

// Reads the job, lets `change` make the new spec of it, and writes it with what becomes of its
// planning. Without If-Match a write that lost a race is made again from the newer job.
Result<model::SyncJob> change_job(
    const Call& call, const std::optional<store::Idempotency>& once,
    const std::function<Result<model::JobSpec>(const model::SyncJob&)>& change);

}  // namespace tidegate::api
