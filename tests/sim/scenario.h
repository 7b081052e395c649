#pragma once
// What a seed decides before the life begins: how much of everything.

#include "base/rng.h"
#include "base/time.h"
#include "control/model/job.h"
#include "control/worker/options.h"

namespace tidegate::sim {

// Of 1,000 calls of the store so many. Of each kind some seeds have none.
struct CallFaults {
  int before = 0, after = 0, late = 0, delay = 0, pause = 0;
};

struct Scenario {
  Millis lasts{0};                        // while faults come; then they stop
  int workers = 1, jobs = 1, people = 0;  // people: what they do
  CallFaults calls;
  int outages = 0, worker_crashes = 0, child_crashes = 0, pauses = 0, drains = 0, steps = 0;
  int lost = 0, twice = 0, late = 0;  // of 1,000 watch events
  int child_failures = 0;             // of 100 attempts
  bool skewed = false;
  worker::WorkerOptions options;
};

inline std::int64_t between(Rng& rng, std::int64_t least, std::int64_t most) {
  return least + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(most - least + 1)));
}
inline bool one_in(Rng& rng, std::uint64_t n) { return rng.below(n) == 0; }
inline Millis span(Rng& rng, Millis least, Millis most) {
  return Millis(between(rng, least.count(), most.count()));
}

Scenario make_scenario(Rng& rng);
// All but name, connections and next_slot. `anchor`: of its interval.
model::JobSpec make_spec(Rng& rng, Instant anchor);
model::Schedule make_schedule(Rng& rng, Instant anchor);

}  // namespace tidegate::sim
