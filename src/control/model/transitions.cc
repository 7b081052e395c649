#include <algorithm>

#include "control/model/job.h"
#include "control/model/run.h"

namespace tidegate::model {
namespace {

constexpr std::size_t kStates = std::size(kRunStateNames);
// Rows: from; columns: to, both in enum order.
constexpr bool kLegal[kStates][kStates] = {
    //            queued running succeeded failed cancelled timed_out
    /* queued */ {false, true, false, true, true, false},
    /* running */ {true, false, true, true, true, true},
    /* terminal states lead nowhere */ {},
    {},
    {},
    {},
};

}  // namespace

bool can_move(RunState from, RunState to) {
  return kLegal[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

std::optional<Millis> SyncJob::avg_duration() const {
  if (success_durations.empty()) return std::nullopt;
  Millis sum{0};
  for (const Millis d : success_durations) sum += d;
  return sum / static_cast<std::int64_t>(success_durations.size());
}

std::optional<Millis> run_time(const Attempt& attempt) {
  if (!attempt.finished_at) return std::nullopt;
  return attempt.took.value_or(std::max(Millis(0), *attempt.finished_at - attempt.started_at));
}

Millis run_time(const Run& run) {
  Millis sum{0};
  for (const Attempt& attempt : run.attempts) sum += run_time(attempt).value_or(Millis(0));
  return sum;
}

}  // namespace tidegate::model
