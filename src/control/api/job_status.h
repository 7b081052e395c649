#pragma once
// The answer to "how is this job?".

#include <boost/json/object.hpp>

#include "base/error.h"
#include "control/model/job.h"
#include "control/store/store.h"

namespace tidegate::api {

// Current run and progress, health, next slots, what it waits for, and why it last did not run.
Result<boost::json::object> job_status_json(store::Store& store, const model::SyncJob& job);

// disabled | paused | late (a slot is due and no run of it exists) | failing (the newest run
// failed) | new (no run has ended) | healthy. The first that holds.
inline constexpr std::string_view kHealthNames[] = {"disabled", "paused", "late",
                                                    "failing",  "new",    "healthy"};
std::string_view job_health(const model::SyncJob& job, bool active, Instant now);

}  // namespace tidegate::api
