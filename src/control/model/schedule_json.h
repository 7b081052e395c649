#pragma once
// Schedules and retry policies as the API writes them. Pure; thread-safe.

#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "control/model/schedule.h"

namespace tidegate::model {

// null for a job that is started by hand only, else
// {cron, timezone, dst} | {every, anchor} | {at}.
boost::json::value to_json(const Schedule& schedule);
boost::json::object to_json(const RetryPolicy& retry);

// The field `key` of `r`: absent or null (monostate), a bare cron string, or an object with exactly
// one of cron, every and at. Cron expressions are compiled with `hash_seed` (cron::hash_seed of the
// job's id) and zones looked up, so what is returned can be planned. Errors go to the reader's
// list, a cron error with the byte position inside the expression.
Schedule read_schedule(json::Reader& r, std::string_view key, std::uint64_t hash_seed,
                       std::vector<FieldError>& errors);
// Absent: the defaults.
RetryPolicy read_retry(json::Reader& r, std::string_view key, std::vector<FieldError>& errors);

}  // namespace tidegate::model
