#pragma once
// The DuckDB connector: source and destination.

#include "engine/core/registry.h"

namespace tidegate::engine {

const Connector& duckdb_connector();

}  // namespace tidegate::engine
