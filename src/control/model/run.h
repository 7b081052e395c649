#pragma once
// A run: the execution of one slot (or of a manual trigger) in one or more attempts. The ledger.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "protocol/protocol.h"

namespace tidegate::model {

enum class RunState : std::uint8_t { Queued, Running, Succeeded, Failed, Cancelled, TimedOut };
inline constexpr std::string_view kRunStateNames[] = {"queued", "running",   "succeeded",
                                                      "failed", "cancelled", "timed_out"};
constexpr bool is_terminal(RunState s) { return s >= RunState::Succeeded; }
// The only table of legal transitions; every store refuses the others.
//   queued → running | cancelled | failed(expired);  running → terminal | queued (retry or orphan)
bool can_move(RunState from, RunState to);

enum class Trigger : std::uint8_t {
  Schedule,
  Catchup,
  Manual,
  Retry /* POST /retry of a failed run */
};
inline constexpr std::string_view kTriggerNames[] = {"schedule", "catchup", "manual", "retry"};

// What kind of failure, which decides whether a retry is worth it.
//   configuration, permission, data: no.  transient, rate_limited, internal: yes.
//   worker_lost: three in a row with no new state.  stalled, timeout: the deadlines.
//   superseded: queued runs that never started.
//   restored: queued or running when the backup was made that the store was restored from.
namespace error_kind {
inline constexpr std::string_view kConfiguration = "configuration", kPermission = "permission",
                                  kData = "data", kTransient = "transient",
                                  kRateLimited = "rate_limited", kInternal = "internal",
                                  kWorkerLost = "worker_lost", kStalled = "stalled",
                                  kTimeout = "timeout", kSuperseded = "superseded",
                                  kFenced = "fenced", kCancelled = "cancelled",
                                  kRestored = "restored";
}

struct EntityProgress {
  std::int64_t rows_read = 0, rows_written = 0, bytes = 0;
  std::optional<std::int64_t> total_rows;
  bool operator==(const EntityProgress&) const = default;
};

struct Attempt {
  int number = 1;
  OwnerId owner;
  Fence fence{};
  Instant started_at;
  std::optional<Instant> finished_at;
  // By a clock that never steps, from the answer to the claim to the end of the child; none while
  // it runs and where its worker was lost.
  std::optional<Millis> took;
  std::string
      outcome;  // "" while running, a terminal state's name, "retry", "returned" or "worker_lost"
  std::string error_kind, error;
};

struct Run {
  RunId id;
  WorkspaceId workspace;
  JobId job;
  std::int64_t job_revision = 1;         // the spec it executes
  std::optional<Instant> scheduled_for;  // the slot; none for a run without one
  Trigger trigger = Trigger::Schedule;
  std::string triggered_by;  // the token's name, for Manual and Retry
  RunState state = RunState::Queued;
  int attempt = 0;  // the current or last one, from 1; 0 before the first
  int retries_used = 0;
  int lost_in_row = 0;  // workers lost since state was last committed
  Instant created_at;
  Instant not_before;                 // queued: may start then (jitter, backoff)
  std::optional<Instant> started_at;  // of the first attempt
  std::optional<Instant> finished_at;
  OwnerId owner;  // while running
  Fence fence{};  // of the current or last attempt
  bool cancel_requested = false;
  std::string error_kind, error;           // of the last attempt; empty on success
  std::vector<std::string> only_entities;  // a retry of the failed ones; empty: as the job says
  bool take_over = false;  // also tables that another job owns, such as a deleted one's
  std::vector<protocol::EntityResult> entities;  // outcomes so far, one per entity
  std::map<std::string, EntityProgress> progress;
  std::vector<Attempt> attempts;  // the newest 20
  std::vector<std::string> warnings;
  std::string exclusive_key;  // resource held while running, see Connection
};

// How long an attempt took; one whose worker was lost, by the store's clock. None while it runs.
std::optional<Millis> run_time(const Attempt& attempt);
// All its attempts that ended (the newest 20). The time in the queue does not count.
Millis run_time(const Run& run);

// Why a slot has no run. A stretch of consecutive slots with one reason is one record.
enum class SlotOutcome : std::uint8_t {
  Skipped,
  Missed,
  MissedRestored /* due before a restore from a backup: what became of it is not known here */
};
inline constexpr std::string_view kSlotOutcomeNames[] = {"skipped", "missed", "missed_restored"};
namespace skip_reason {
inline constexpr std::string_view kOverlap = "overlap", kPaused = "paused", kDisabled = "disabled",
                                  kCatchupWindow = "catchup_window", kSuperseded = "superseded",
                                  kScheduleChanged = "schedule_changed", kDown = "down",
                                  kRestored = "restored";
}
struct SlotRecord {
  JobId job;
  Instant first, last;     // slots, inclusive
  std::int64_t count = 1;  // slots in the stretch
  SlotOutcome outcome = SlotOutcome::Skipped;
  std::string reason;
  Instant recorded_at;
};

// One row of the ledger as a reader sees it: a run's slot or a SlotRecord.
struct LedgerEntry {
  Instant first, last;
  std::int64_t count = 1;
  std::string outcome;  // planned, or the name of a terminal run state or of a SlotOutcome
  std::string reason;
  RunId run;  // empty where there was none
};

struct RunLogLine {
  std::int64_t seq = 0;  // grows within a run, from 1
  Instant at;
  int attempt = 1;
  LogLevel level = LogLevel::Info;
  std::string entity, message;
};

}  // namespace tidegate::model
