#include "tests/sim/scenario.h"

namespace tidegate::sim {

Scenario make_scenario(Rng& rng) {
  // Half of the kinds of faults in each life: all together would hide each other.
  const auto some = [&](std::int64_t most) {
    return one_in(rng, 2) ? 0 : static_cast<int>(between(rng, 1, most));
  };
  Scenario s;
  s.lasts = Seconds(between(rng, 120, 480));
  s.workers = static_cast<int>(between(rng, 1, 4));
  s.jobs = static_cast<int>(between(rng, 1, 6));
  s.people = static_cast<int>(between(rng, 0, 20));
  s.calls = {.before = some(60),
             .after = some(60),
             .late = some(40),
             .delay = some(150),
             .pause = some(3)};
  s.outages = some(5);
  s.worker_crashes = some(6);
  s.child_crashes = some(10);
  s.pauses = some(8);
  s.drains = some(3);
  s.steps = some(4);
  s.lost = some(300);
  s.twice = some(200);
  s.late = some(300);
  s.child_failures = some(40);
  s.skewed = one_in(rng, 2);
  s.options.max_concurrent_runs = static_cast<int>(between(rng, 1, 4));
  s.options.patience = Seconds(between(rng, 5, 60));
  s.options.plan_batch = static_cast<std::size_t>(between(rng, 1, 8));
  s.options.plan_limits.max_slots = static_cast<std::size_t>(between(rng, 1, 100));
  return s;
}

model::Schedule make_schedule(Rng& rng, Instant anchor) {
  switch (rng.below(8)) {
    case 0:
      return model::CronSchedule{.expression = "*/10 * * * * *"};
    case 1:
      return model::CronSchedule{.expression = "* * * * *", .timezone = "Asia/Kathmandu"};
    case 2:
      return model::AtSchedule{anchor + Seconds(between(rng, 5, 120))};
    default:
      return model::EverySchedule{Seconds(between(rng, 2, 60)), anchor};
  }
}

model::JobSpec make_spec(Rng& rng, Instant anchor) {
  model::JobSpec spec;
  spec.schedule = make_schedule(rng, anchor);
  spec.overlap = static_cast<model::Overlap>(rng.below(5));
  spec.mode = rng.below(2) ? protocol::SyncMode::Incremental : protocol::SyncMode::Full;
  if (spec.overlap == model::Overlap::Allow) spec.mode = protocol::SyncMode::FullAppend;
  spec.catchup = static_cast<model::Catchup>(rng.below(3));
  spec.max_catchup = static_cast<int>(between(rng, 0, 10));
  spec.misfire_grace = Seconds(between(rng, 2, 60));
  spec.catchup_window = Seconds(between(rng, 10, 600));
  if (one_in(rng, 3)) spec.jitter = Seconds(between(rng, 1, 5));
  spec.retry.max_attempts = static_cast<int>(between(rng, 1, 4));
  spec.retry.initial = Seconds(between(rng, 1, 10));
  spec.retry.max = Seconds(15);
  spec.retry.jitter = one_in(rng, 2);
  if (one_in(rng, 3)) spec.timeout = Seconds(between(rng, 10, 60));
  spec.stall_timeout = Seconds(between(rng, 10, 40));
  return spec;
}

}  // namespace tidegate::sim
