#pragma once
// The runs this worker holds, shared by the steps that start, renew, supervise and finish them.

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "control/launch/launcher.h"
#include "control/plan/attempt.h"
#include "control/secrets/masker.h"
#include "control/store/queue.h"

namespace tidegate::worker {

struct ActiveRun {
  store::ClaimedRun claimed;  // run.cancel_requested is kept current
  secrets::Masker masker;

  launch::LaunchId launch{};  // 0: never started
  BootInstant started_at;     // when the claim was answered
  BootInstant active_at;      // the last rows, bytes, pages or commit

  // Why and how the child was asked to end.
  plan::StopReason stop = plan::StopReason::None;
  std::optional<BootInstant> cancelled_at, terminated_at;
  bool killed = false;

  // For the next renewal.
  std::map<std::string, model::EntityProgress> progress;
  bool progress_changed = false;
  std::vector<std::pair<std::string, protocol::KnownState>> committed;  // not acknowledged yet

  std::deque<model::RunLogLine> log;  // not written yet
  std::size_t log_dropped = 0;
  std::optional<BootInstant> log_since;  // the age of the oldest line in `log`
  bool writing_log = false;

  std::optional<protocol::RunResult> result;  // the child's last word
  std::optional<store::AttemptEnd> end;       // the child is gone; to be written
  bool finishing = false;                     // is being written
  std::optional<BootInstant> refused_since;   // the end, by a store that is there
  bool lost = false;                          // fenced: nothing may be written any more

  // The store's time, whatever this machine's wall clock shows.
  Instant store_time(BootInstant now) const {
    return claimed.run.attempts.back().started_at + (now - started_at);
  }
  store::HeldRun held() const { return {claimed.run.id, claimed.run.fence}; }
};

// Every member is guarded by `mutex`, which nobody holds while calling the store.
struct RunTable {
  std::mutex mutex;
  std::map<RunId, ActiveRun> runs;
  std::unordered_map<std::uint64_t, RunId> by_launch;
  std::vector<RunId> changed;  // new, lost, or asked to cancel, since the supervisor looked
  bool draining = false;       // stop() has begun: nothing new is claimed
  bool claiming = false;       // runs may be on their way from the store into `runs`

  // REQUIRES: mutex is held.
  bool idle() const { return runs.empty() && !claiming; }
  // REQUIRES: mutex is held.
  ActiveRun* find(const RunId& id) {
    const auto at = runs.find(id);
    return at == runs.end() ? nullptr : &at->second;
  }
  void remove(const RunId& id) {
    const auto at = runs.find(id);
    if (at == runs.end()) return;
    by_launch.erase(static_cast<std::uint64_t>(at->second.launch));
    runs.erase(at);
  }
};

}  // namespace tidegate::worker
