#pragma once
// The Engine that starts tidegate-sync processes.

#include <memory>

#include "control/api/engine.h"
#include "control/launch/engine_client.h"

namespace tidegate::app {

// REQUIRES: client outlives the result.
std::unique_ptr<api::Engine> make_launch_engine(launch::EngineClient& client);

}  // namespace tidegate::app
