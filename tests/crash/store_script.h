#pragma once
// A scripted leader and worker over any Store, and what must hold of the store at every moment.

#include <functional>
#include <map>
#include <string>

#include "control/store/contract/contract.h"
#include "control/store/store.h"

namespace tidegate::crash {

// What the script was told to be done; each line is true for ever.
struct Acknowledged {
  std::int64_t leader_fence = 0, run_fence = 0;
  std::map<std::string, std::int64_t> planned;    // job → newest slot, ms
  std::map<std::string, std::int64_t> revisions;  // job → revision
  std::map<std::string, std::string> ended;       // run → state's name

  void add(const std::string& line);  // as Script writes it
};

class Script {
 public:
  // Repeats every write that answers Unavailable, after calling `unavailable` (which may replace
  // the store). `acknowledge` gets a line for each thing done.
  struct Hooks {
    std::function<store::Store&()> store;
    std::function<void()> unavailable = [] {};
    std::function<void(const std::string&)> acknowledge = [](const std::string&) {};
  };
  Script(Hooks hooks, store::contract::ManualClock& clock)
      : hooks_(std::move(hooks)), clock_(clock) {}

  // Connections, jobs, five minutes of slots with successes, retries, failures, skips, cancels,
  // changes of jobs and logs.
  void run();
  // Ends whatever is active, as a new leader and worker would.
  void drain();

 private:
  template <class F>
  auto insist(F f);
  void set_up();
  void lead();
  void plan(int minute);
  void work(int minute);
  void change(int minute);
  void administer();
  std::vector<store::ClaimedRun> claim();
  void end(const store::ClaimedRun& run, model::RunState state);
  void say(const std::string& line) { hooks_.acknowledge(line); }

  Hooks hooks_;
  store::contract::ManualClock& clock_;
  std::string owner_ = "worker-1";
  store::LeaderLease lease_;
};

// The clock's start, for every script.
Instant script_start();

// Fails the running test when an invariant does not hold. Reads only.
void check_invariants(store::Store& store, const Acknowledged& told);
// Also takes the leader lease and claims, to see that fences grow. The clock must be past all
// leases.
void check_fences_grow(store::Store& store, const Acknowledged& told);

}  // namespace tidegate::crash
