#pragma once
// Every connector of tidegate-sync: the one list to add a name to.

#include <span>

#include "engine/core/registry.h"

namespace tidegate::engine {

std::span<const Connector* const> all_connectors();

}  // namespace tidegate::engine
