#pragma once
// The SQLite connector: source and destination.

#include "engine/core/registry.h"

namespace tidegate::engine {

const Connector& sqlite_connector();

}  // namespace tidegate::engine
