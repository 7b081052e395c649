#pragma once
// What a worker is given: its intervals and limits, and how a connection becomes usable.

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "control/model/connection.h"
#include "control/plan/plan.h"
#include "control/store/history.h"
#include "protocol/protocol.h"

namespace tidegate::worker {

// A connection with its secrets opened. Thread-safe; must not block. What it returns is handed to
// the engine's pipe and to nothing else.
using EndpointResolver = std::function<Result<protocol::Endpoint>(const model::Connection&)>;

// Who executes runs: every worker, or only the one that leads.
enum class Executors : std::uint8_t { All, Leader };

struct WorkerOptions {
  // Leases (docs/scheduling.md). A holder trusts its lease until renewal sent + ttl − margin.
  Millis leader_ttl{8'000}, leader_renew{2'000};
  Millis standby_poll{500};  // how often a standby asks for the lease: twice as often as a slot may
                             // be late after a handover
  Millis run_ttl{12'000}, run_renew{3'000};
  Millis lease_margin{1'000};
  Millis orphan_poll{2'000};
  bool store_was_away = false;  // until this worker started: nobody could renew, and for one
                                // run_ttl no run is an orphan
  Millis retry_store{500};      // after an error of the store
  Millis reread{5'000};         // at the least, whatever the change feed says

  // Wall clock against boot clock: a greater change stops planning until it has held for so long.
  Millis max_drift{5'000}, drift_confirm{30'000};

  bool plans = true;             // false: only executes
  std::size_t plan_batch = 128;  // jobs in one step of the store; the first runs start after it
  plan::PlanLimits plan_limits;

  Executors executors = Executors::All;
  int max_concurrent_runs = 4;
  Millis patience{60'000};      // see protocol::RunSpec::patience
  Millis cancel_grace{10'000};  // from the request to SIGTERM
  Millis term_grace{10'000};    // from SIGTERM to SIGKILL
  Millis drain{30'000};         // stop() lets runs finish for so long

  std::size_t max_log_bytes = 10 << 20;  // of one run
  Millis log_delay{1'000};               // lines are gathered for so long
  store::Retention retention;
  Millis prune_interval{60'000};
  Millis heartbeat{5'000};
  Millis frozen_after{10'000};  // a planner without a sign of life for so long is not ready

  std::vector<std::string> path_roots, forbidden_paths;  // see protocol::Request
  std::string host, version;                             // shown to operators
  std::vector<std::string> secret_keys;                  // ids, see model::WorkerInfo
};

// A step of a loop returns how long nothing needs to be done unless something happens.
inline constexpr Millis kAtOnce{0};

}  // namespace tidegate::worker
