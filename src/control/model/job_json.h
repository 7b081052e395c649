#pragma once
// Jobs as the API writes them (camelCase names). Pure; thread-safe.

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "control/model/job.h"

namespace tidegate::model {

// Every field that job_spec_from_json reads, defaults spelled out.
boost::json::object to_json(const JobSpec& spec);

// Adds the read-only fields. `nextRunAt` is null while nothing will start by itself: disabled, or
// paused with no end. `status`: see job_status().
boost::json::object to_json(const SyncJob& job);

// Invalid with one detail for every wrong field; absent fields take their defaults. Fields that
// only the server sets (id, revision, nextRunAt, …) are ignored, so an answer can be sent back;
// fields of features that do not exist yet are refused by name. `hash_seed`: cron::hash_seed(job
// id), for `H`. Does not check that the connections exist.
Result<JobSpec> job_spec_from_json(const boost::json::object& o, std::uint64_t hash_seed = 0);

// Null while nothing will start by itself.
boost::json::value next_run_at(const SyncJob& job);

// disabled | paused | manual (no schedule) | scheduled | finished (nothing more will come due).
std::string_view job_status(const SyncJob& job);
inline constexpr std::string_view kJobStatusNames[] = {"disabled", "paused", "manual", "scheduled",
                                                       "finished"};

// What will probably go wrong though it is allowed; sentences. An incremental job with no cursor
// for some entity is one.
std::vector<std::string> job_warnings(const JobSpec& spec);

}  // namespace tidegate::model
