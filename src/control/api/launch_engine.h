#pragma once
// The Engine that starts tidegate-sync processes.

#include <memory>

#include "control/api/engine.h"
#include "control/launch/engine_client.h"

namespace tidegate::api {

// REQUIRES: client outlives the result.
std::unique_ptr<Engine> make_launch_engine(launch::EngineClient& client);

}  // namespace tidegate::api
