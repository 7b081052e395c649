#pragma once
// A sync job: what to copy, when and how. JobSpec is what a user sets (and what a run is pinned
// to); SyncJob adds what the system keeps.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "control/model/schedule.h"
#include "protocol/protocol.h"

namespace tidegate::model {

struct JobSpec {
  std::string name;  // unique in its workspace, 1–200 bytes
  std::string description;
  ConnectionId source_id;
  ConnectionId destination_id;
  Schedule schedule;
  protocol::SyncMode mode = protocol::SyncMode::Full;
  std::vector<std::string> entity_filter;
  std::map<std::string, protocol::EntityOptions> entities;
  bool enabled = true;
  RetryPolicy retry;
  std::optional<Millis> timeout;  // of the whole run, without queue time; none: no limit
  Millis stall_timeout{900'000};  // no rows, bytes or pages for so long; 0: no limit
  Overlap overlap = Overlap::Skip;
  Catchup catchup = Catchup::Last;
  int max_catchup = 100;  // with Catchup::All
  Millis catchup_window{86'400'000};
  Millis misfire_grace{60'000};
  Millis jitter{0};  // a start is delayed by a stable hash of (job, slot) in [0, jitter)
  protocol::SchemaChange schema_change = protocol::SchemaChange::Evolve;
  std::int64_t max_rejected = 0;  // rows per entity
  std::map<std::string, std::string> labels;

  bool operator==(const JobSpec&) const = default;
};

struct Pause {
  std::string note;
  std::optional<Instant> until;  // resumes by itself
  Instant since;
  std::string by;  // the token's name
  bool holds(Instant now) const { return !until || now < *until; }
  bool operator==(const Pause&) const = default;
};

struct SyncJob {
  JobId id;
  WorkspaceId workspace;
  JobSpec spec;
  std::int64_t revision = 1;  // grows with every change by a user; ETag
  std::string created_by;
  Instant created_at, updated_at;
  std::optional<Pause> pause;

  // Kept by the planner.
  std::optional<Instant> next_slot;

  // Kept by the completion of runs.
  std::optional<Instant> last_run_at;      // start of the newest attempt
  std::optional<Instant> last_success_at;  // end of the newest success
  std::optional<std::string> last_error;   // of the newest terminal run; none after a success
  std::int64_t run_count = 0;              // terminal runs
  int consecutive_failures = 0;
  std::deque<Millis> success_durations;                     // the last 20, oldest first
  std::map<std::string, protocol::KnownState> known_state;  // by entity
  std::int64_t reset_epoch = 0;                             // raised by `reset`

  std::optional<Millis> avg_duration() const;  // mean of success_durations; none before a success
};

inline constexpr std::size_t kDurationsKept = 20;

}  // namespace tidegate::model
