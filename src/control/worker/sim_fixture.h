#pragma once
// Test only: workers, their store and their children under a virtual clock, on one thread.

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "control/worker/claim_loop.h"
#include "control/worker/faulty_store.h"
#include "control/worker/finisher.h"
#include "control/worker/leader_loop.h"
#include "control/worker/lease_keeper.h"
#include "control/worker/options.h"
#include "control/worker/run_supervisor.h"
#include "control/worker/run_table.h"
#include "control/worker/sim_children_fixture.h"

namespace tidegate::worker::testing {

// One worker process: the loops that worker.h drives with threads.
struct SimWorker {
  SimWorker(FaultyStore& store, VirtualClock& clock, Rng& rng, const ScriptFor& script,
            const EndpointResolver& resolve, const WorkerOptions& worker_options);
  ~SimWorker() { crash(); }
  void step();    // each loop once
  void crash();   // kill -9
  void wake();    // every loop
  int running();  // runs it holds

  // Time is Stage's: passed().
  struct Loop {
    std::function<Millis()> step;
    Millis wake_at{0};
    bool woken = true;
    bool busy = false;  // in a step, which may wait for the store
  };

  WorkerOptions options;
  OwnerId id;
  FakeLauncher launcher;
  RunTable table;
  LeaderLoop leader;
  ClaimLoop claims;
  LeaseKeeper keeper;
  RunSupervisor supervisor;
  Finisher finisher;
  std::unique_ptr<store::Subscription> subscription;
  Loop lead, execute, keep, write_logs;
  bool frozen = false, dead = false;
  bool stops_children = false;  // at the next step: the end of a drain

  std::array<Loop*, 4> loops() { return {&lead, &execute, &write_logs, &keep}; }

 private:
  void on_change(const store::Change& change);
  Millis execute_step();
};

// Lets time pass: timers, children and the loops of workers act when they are due, one after
// another on this thread. What waits within a step (wait_until) lets all others act meanwhile.
class Stage {
 public:
  explicit Stage(VirtualClock& clock) : clock_(clock) {}
  Millis passed() const { return clock_.passed(); }
  SimWorker& add(std::unique_ptr<SimWorker> worker);
  const std::vector<std::unique_ptr<SimWorker>>& workers() const { return workers_; }
  void at(Millis when, std::function<void()> act);
  // What is due before `end` acts. May be called by what acts.
  void run_until(Millis end);
  // After each step of a loop or act of a child.
  std::function<void(SimWorker&)> looks;
  // Something asks to be repeated for ever: nothing acts any more.
  const std::string& stuck() const { return stuck_; }

 private:
  bool act();  // everything that is due, once; false: nothing is
  bool act(SimWorker& worker);
  Millis next_due(Millis end) const;

  VirtualClock& clock_;
  std::vector<std::unique_ptr<SimWorker>> workers_;
  std::multimap<Millis, std::function<void()>> timers_;
  int at_this_instant_ = 0;
  std::string stuck_;
};

// A test with one store, one clock and any number of workers.
class Simulation : public ::testing::Test {
 protected:
  Simulation();

  SimWorker& add_worker() { return add_worker(clock_); }
  // On a machine of its own. REQUIRES: the clock outlives the test.
  SimWorker& add_worker(VirtualClock& clock);
  // Lets time pass; workers and children act when they are due.
  void run_for(Millis span);
  void run_until(Instant end) { run_for(end - clock_.now()); }

  // A job that is due every `interval`, first at start_ + interval.
  JobId add_job(Seconds interval, const std::function<void(model::SyncJob&)>& change = {});
  std::vector<model::Run> runs(const JobId& job);  // oldest first
  model::SyncJob job(const JobId& id);
  std::string outcomes(const JobId& job);  // states of the runs, oldest first, by blanks
  std::vector<model::LedgerEntry> ledger(const JobId& job);  // oldest first
  RunId trigger(const JobId& job);

  Instant start_;
  VirtualClock clock_;
  SeededRng rng_{7};
  FaultyStore store_;
  WorkspaceId ws_;
  ScriptFor script_ = [](const protocol::Request&) { return Script{}; };
  EndpointResolver resolve_;
  WorkerOptions options_;
  Stage stage_{clock_};
  int jobs_ = 0;
};

}  // namespace tidegate::worker::testing
