#pragma once
// What a claimed run is for the engine.

#include "base/error.h"
#include "control/secrets/masker.h"
#include "control/store/queue.h"
#include "control/worker/options.h"
#include "protocol/protocol.h"

namespace tidegate::worker {

// Opens the connections and fills `masker` with their secrets. Fails when one cannot be opened.
Result<protocol::Request> run_request(const store::ClaimedRun& claimed, BootInstant lease_until,
                                      const EndpointResolver& resolve, const WorkerOptions& options,
                                      secrets::Masker& masker);

// The end of an attempt that could not begin because its configuration is wrong.
store::AttemptEnd configuration_failure(const store::HeldRun& held, const Error& error);

}  // namespace tidegate::worker
