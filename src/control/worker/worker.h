#pragma once
// The worker service: drives the leader, claim, lease and finish steps with real timers and
// threads, woken by the store's change feed.

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/launch/launcher.h"
#include "control/store/store.h"
#include "control/worker/claim_loop.h"
#include "control/worker/finisher.h"
#include "control/worker/leader_loop.h"
#include "control/worker/lease_keeper.h"
#include "control/worker/loop_thread.h"
#include "control/worker/options.h"
#include "control/worker/run_supervisor.h"
#include "control/worker/run_table.h"
#include "control/worker/store_trouble.h"

namespace tidegate::worker {

// For /readyz.
struct WorkerHealth {
  bool ready = false;
  std::string reason;  // why not
  bool leading = false, draining = false;
  int running = 0, capacity = 0;  // runs
};

// For /metrics; each only grows but for the gauges.
struct WorkerStats {
  PlannerStats planner;
  std::uint64_t attempts_ended = 0;
  std::uint64_t run_leases_lost = 0;
  std::uint64_t rows_pruned = 0;
};

// Thread-safe.
class Worker {
 public:
  // REQUIRES: everything outlives this; the launcher works until stop() has returned.
  Worker(store::Store& store, const Clock& clock, Rng& rng, launch::Launcher& launcher,
         EndpointResolver resolve, WorkerOptions options);
  ~Worker();  // stop()

  // Idempotent. Errors: those of the first heartbeat.
  Status start();
  // Hands leadership over at once, claims nothing more, lets runs finish for options.drain, then
  // stops them at a checkpoint and returns them to the queue, using no retry; joins. Idempotent;
  // bounded by drain + cancel_grace + term_grace + 5 s.
  void stop();

  const OwnerId& id() const { return id_; }
  WorkerHealth health() const;
  WorkerStats stats() const;
  // Sees to a change now instead of at the next hint; for tests and triggers of this process.
  void wake();

 private:
  void on_change(const store::Change& change);
  Millis lead();
  Millis execute();
  Millis keep();
  Millis write_logs();
  Millis prune();
  Status heartbeat();
  bool wait_until_idle(Millis limit);
  std::string store_trouble() const;  // empty: none

  store::Store& store_;
  const Clock& clock_;
  launch::Launcher& launcher_;
  const EndpointResolver resolve_;
  const WorkerOptions options_;
  const OwnerId id_;

  mutable RunTable table_;
  LeaderLoop leader_;
  ClaimLoop claims_;
  LeaseKeeper keeper_;
  RunSupervisor supervisor_;
  Finisher finisher_;

  std::mutex lifecycle_;  // start() and stop()
  bool started_ = false;  // guarded by lifecycle_
  std::unique_ptr<store::Subscription> subscription_;
  LoopThread leader_thread_, executor_thread_, keeper_thread_, log_thread_, prune_thread_;

  std::atomic<bool> running_{false}, draining_{false}, stop_children_{false};
  std::atomic<std::int64_t> executor_wake_at_{0};  // boot ms: the executor is late after it
  std::atomic<std::uint64_t> attempts_ended_{0}, run_leases_lost_{0}, rows_pruned_{0};
  BootInstant heartbeat_at_;
  StoreTrouble trouble_;
  Instant started_at_;

  std::mutex idle_mutex_;
  std::condition_variable idle_;
};

}  // namespace tidegate::worker
