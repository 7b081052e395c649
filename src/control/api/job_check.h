#pragma once
// A job against its data source and destination: what no run of it could do.

#include "base/error.h"
#include "control/api/route.h"
#include "control/model/connection.h"
#include "control/model/job.h"

namespace tidegate::api {

// Invalid with the field of the job that is wrong, when its destination would write into what its
// data source reads, or cannot do what the job wants. By the stored configurations and the links of
// this machine; the engine judges again, with the files that are there. A connection that there is
// not is left to the store.
Status check_endpoints(const Call& call, const model::JobSpec& spec);

// The same for two connections that are there. The paths are judged by `options`.
std::vector<FieldError> endpoint_problems(const model::Connection& source,
                                          const model::Connection& destination,
                                          const model::JobSpec& spec, const ApiOptions& options);

}  // namespace tidegate::api
