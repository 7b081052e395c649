#pragma once
// The reference store: everything in one process's memory, behind one mutex. For tests, simulation
// and as the specification that the contract suite compares the other stores with.

#include <memory>

#include "base/time.h"
#include "control/store/store.h"

namespace tidegate::store {

// Holds the workspace `default`. REQUIRES: clock outlives the store.
std::unique_ptr<Store> make_memory_store(const Clock& clock);

}  // namespace tidegate::store
