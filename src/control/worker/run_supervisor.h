#pragma once
// Follows the children of this worker's runs: what they say, how they end, and their deadlines.
// Steps over Launcher and Clock: no thread, no sleep, no store.

#include <cstdint>
#include <string>

#include "base/rng.h"
#include "base/time.h"
#include "control/launch/launcher.h"
#include "control/worker/options.h"
#include "control/worker/run_table.h"

namespace tidegate::worker {

struct SupervisorStats {
  std::uint64_t attempts_ended = 0;
  std::uint64_t leases_lost = 0;
};

// From one thread.
class RunSupervisor {
 public:
  // REQUIRES: everything outlives this.
  RunSupervisor(RunTable& table, launch::Launcher& launcher, const Clock& clock, Rng& rng,
                const WorkerOptions& options);

  Millis step();
  // Asks every child to stop at its next checkpoint; its run goes back to the queue, using no
  // retry.
  void drain();
  // Gives up what is still there (after drain() and its deadlines): kills, writes nothing.
  void abandon();

  const SupervisorStats& stats() const { return stats_; }

 private:
  void on_event(ActiveRun& run, protocol::Event event);
  void on_exit(ActiveRun& run, const launch::Exit& exit);
  void add_log(ActiveRun& run, protocol::LogLine line);
  void drop_lost_runs();
  // Ends a child that is over a deadline, in steps; how long until the next one.
  Millis check_deadlines(ActiveRun& run, BootInstant now);
  void stop(ActiveRun& run, plan::StopReason why, BootInstant now);
  std::optional<BootInstant> timeout_at(const ActiveRun& run) const;

  RunTable& table_;
  launch::Launcher& launcher_;
  const Clock& clock_;
  Rng& rng_;
  const WorkerOptions& options_;
  BootInstant next_deadline_;
  SupervisorStats stats_;
};

}  // namespace tidegate::worker
