#pragma once
// When a job is due, and what happens around a due time. Plain values; semantics in
// docs/scheduling.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/time.h"
#include "control/cron/cron.h"

namespace tidegate::model {

struct CronSchedule {
  std::string expression;
  std::string timezone = "UTC";  // IANA name
  cron::DstPolicy dst = cron::DstPolicy::Auto;
  bool operator==(const CronSchedule&) const = default;
};
struct EverySchedule {
  Millis every{0};                // whole seconds, ≥ 1 s
  std::optional<Instant> anchor;  // slots are anchor + n × every; none: the Unix epoch
  bool operator==(const EverySchedule&) const = default;
};
struct AtSchedule {
  Instant at;
  bool operator==(const AtSchedule&) const = default;
};
// monostate: started by hand only.
using Schedule = std::variant<std::monostate, CronSchedule, EverySchedule, AtSchedule>;

// A slot that comes due while a run of the job is queued, running or waiting for a retry.
enum class Overlap : std::uint8_t { Skip, QueueOne, QueueAll, CancelRunning, Allow };
inline constexpr std::string_view kOverlapNames[] = {"skip", "queue_one", "queue_all",
                                                     "cancel_running", "allow"};
// Slots older than the misfire grace when the planner gets to them.
enum class Catchup : std::uint8_t { Last, All, None };
inline constexpr std::string_view kCatchupNames[] = {"last", "all", "none"};

// Exponential backoff with full jitter: uniform in [0, min(max, initial × factor^(n−1))] for retry
// n; jitter false: exactly the upper bound.
struct RetryPolicy {
  int max_attempts = 3;  // 1: no retry
  Millis initial{30'000};
  double factor = 2.0;
  Millis max{1'800'000};
  bool jitter = true;
  bool operator==(const RetryPolicy&) const = default;
};

}  // namespace tidegate::model
