#pragma once
// The connector `file`: CSV, JSON lines and Parquet, as source and destination.

#include "engine/core/registry.h"

namespace tidegate::engine {

const Connector& file_connector();

}  // namespace tidegate::engine
