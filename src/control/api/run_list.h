#pragma once
// Runs as lists show them: those of a workspace and the history of a job.

#include <functional>
#include <set>
#include <string>

#include "control/api/route.h"
#include "control/store/history.h"

namespace tidegate::api {

// A page of the runs that `query` finds, with only the `wanted` members. What is large is not even
// read unless it is wanted.
Result<http::Response> answer_runs(const Call& call, store::RunQuery query,
                                   const std::set<std::string, std::less<>>& wanted);

}  // namespace tidegate::api
