#pragma once
// The MySQL connector, for MariaDB too: source and destination.

#include "engine/core/registry.h"

namespace tidegate::engine {

const Connector& mysql_connector();

}  // namespace tidegate::engine
