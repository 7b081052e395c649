#pragma once
// The PostgreSQL connector: source and destination.

#include "engine/core/registry.h"

namespace tidegate::engine {

const Connector& postgres_connector();

}  // namespace tidegate::engine
