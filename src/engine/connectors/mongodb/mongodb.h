#pragma once
// The MongoDB connector: source and destination.

#include "engine/core/registry.h"

namespace tidegate::engine {

const Connector& mongodb_connector();

}  // namespace tidegate::engine
