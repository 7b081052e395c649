#pragma once
// Takes queued runs from the store, as many as there are free places, and starts their children.
// Steps over Store, Clock and Launcher: no thread, no sleep.

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/ids.h"
#include "base/time.h"
#include "control/launch/launcher.h"
#include "control/store/store.h"
#include "control/worker/options.h"
#include "control/worker/run_table.h"
#include "control/worker/store_trouble.h"

namespace tidegate::worker {

// step() from one thread; the rest from any.
class ClaimLoop {
 public:
  // REQUIRES: everything outlives this. `may_execute`: false while another server is to do it.
  ClaimLoop(store::Store& store, RunTable& table, launch::Launcher& launcher, const Clock& clock,
            OwnerId owner, const EndpointResolver& resolve, std::function<bool()> may_execute,
            const WorkerOptions& options);

  Millis step();
  // Something may have been queued: look at the next step instead of at the next re-read.
  void hint() { hinted_.store(true); }
  const StoreTrouble& trouble() const { return trouble_; }

 private:
  std::size_t take_places();  // marks the table as claiming when there are any
  Millis claim(std::size_t places);
  void begin(store::ClaimedRun claimed, BootInstant sent);

  store::Store& store_;
  RunTable& table_;
  launch::Launcher& launcher_;
  const Clock& clock_;
  const OwnerId owner_;
  const EndpointResolver& resolve_;
  const std::function<bool()> may_execute_;
  const WorkerOptions& options_;
  std::atomic<bool> hinted_{true};
  std::size_t free_before_ = 0;  // at the last look; more of them now: look again
  BootInstant look_at_;
  StoreTrouble trouble_;
};

}  // namespace tidegate::worker
