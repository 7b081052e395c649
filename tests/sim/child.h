#pragma once
// A child of the simulation: claims the fence in the destination, commits while it holds the lease,
// and fails now and then.

#include <functional>

#include "base/rng.h"
#include "control/worker/sim_children_fixture.h"
#include "tests/sim/destination.h"

namespace tidegate::sim {

struct ChildWorld {
  Rng& rng;
  Report& report;
  Destination& destination;
  std::function<Millis()> passed;
  int fails_in_100 = 0;        // attempts that go wrong by themselves
  Millis longest_work{3'000};  // between two commits
};

// The lane of a run: of its job, unless its runs may overlap.
std::string lane_of(const protocol::RunSpec& run);
// REQUIRES: `world` outlives the child.
worker::testing::Script child_script(ChildWorld& world, const protocol::Request& request);

}  // namespace tidegate::sim
