#pragma once
// What becomes of a run when one of its attempts has ended: pure.

#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/queue.h"
#include "protocol/protocol.h"

namespace tidegate::plan {

// Values of model::Attempt::outcome besides the names of the terminal states.
namespace attempt_outcome {
inline constexpr std::string_view kRetry = "retry", kReturned = "returned",
                                  kWorkerLost = "worker_lost";
}

// Why the supervisor asked the child to end; the first reason counts.
enum class StopReason : std::uint8_t { None, Cancelled, TimedOut, Stalled, Drained };

// What is known of an attempt that has ended.
struct AttemptFacts {
  StopReason stop = StopReason::None;
  std::optional<protocol::RunResult> result;  // the child's last word
  std::optional<Error> not_started;           // there never was a process
  int exit_code = 0;
  int signal = 0;  // 0: it exited by itself
};

// Retry n (from 1): exponential, with full jitter when the policy says so.
Millis backoff(const model::RetryPolicy& policy, int n, Rng& rng);

// transient, rate_limited, internal and fenced are worth another attempt; the rest is not.
bool is_retryable(std::string_view error_kind);

// A commit that was made wins over every reason to stop. `held`, `committed` are the caller's to
// fill.
store::AttemptEnd on_attempt_end(const model::Run& run, const model::JobSpec& spec,
                                 const AttemptFacts& facts, Rng& rng);

// The worker of a running run is gone: another attempt that uses no retry, unless three in a row
// were lost with no newly committed state.
store::OrphanDecision on_orphan(const model::Run& run);
inline constexpr int kMaxLostInRow = 3;

}  // namespace tidegate::plan
