#pragma once
// Renews the leases of all of this worker's runs in one statement, with their progress, and brings
// back who was fenced and who is to be cancelled. Steps over Store and Clock: no thread, no sleep.

#include <mutex>
#include <set>
#include <string>

#include "base/ids.h"
#include "base/time.h"
#include "control/launch/launcher.h"
#include "control/store/store.h"
#include "control/worker/options.h"
#include "control/worker/run_table.h"
#include "control/worker/store_trouble.h"

namespace tidegate::worker {

// step() from one thread; the rest from any.
class LeaseKeeper {
 public:
  // REQUIRES: everything outlives this.
  LeaseKeeper(store::Store& store, RunTable& table, launch::Launcher& launcher, const Clock& clock,
              OwnerId owner, const WorkerOptions& options);

  struct Step {
    Millis wait{0};
    bool changed = false;  // the supervisor has something to do
  };
  Step step();
  // A run changed, perhaps by a request to cancel it: it is read at the next step, which is cheaper
  // than to renew and writes nothing, so that hints of own writes cause no writes.
  void hint(const std::string& run);
  const StoreTrouble& trouble() const { return trouble_; }

 private:
  bool renew();
  std::vector<store::Renewal> collect();
  bool take(const std::vector<store::Renewal>& sent,
            const std::vector<store::RenewOutcome>& outcomes, BootInstant sent_at);
  bool look_at_hints();

  store::Store& store_;
  RunTable& table_;
  launch::Launcher& launcher_;
  const Clock& clock_;
  const OwnerId owner_;
  const WorkerOptions& options_;
  BootInstant renew_at_, look_at_;
  StoreTrouble trouble_;

  std::mutex hints_mutex_;
  std::set<std::string> hints_;  // guarded by hints_mutex_; "": any run
};

}  // namespace tidegate::worker
