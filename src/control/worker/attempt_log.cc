#include "control/worker/attempt_log.h"

#include <fmt/format.h>

#include "control/plan/attempt.h"

namespace tidegate::worker {
namespace {

model::RunLogLine line(Instant now, int attempt, LogLevel level, std::string message) {
  return {.seq = 0,
          .at = now,
          .attempt = attempt,
          .level = level,
          .entity = {},
          .message = std::move(message)};
}

}  // namespace

std::vector<model::RunLogLine> another_began(const model::Run& run, Instant now) {
  std::vector<model::RunLogLine> lines;
  if (run.attempt < 2 || run.attempts.size() < 2) return lines;
  const model::Attempt& before = run.attempts[run.attempts.size() - 2];
  // Its own worker could write nothing of it any more.
  if (before.outcome == plan::attempt_outcome::kWorkerLost) {
    lines.push_back(line(now, before.number, LogLevel::Warn,
                         fmt::format("attempt {} on worker {} was lost: {}", before.number,
                                     before.owner.str(), before.error)));
  }
  lines.push_back(
      line(now, run.attempt, LogLevel::Info,
           fmt::format("attempt {} started on worker {}", run.attempt, run.owner.str())));
  return lines;
}

std::optional<model::RunLogLine> another_follows(const model::Run& run,
                                                 const store::AttemptEnd& end, Instant now) {
  if (end.next != model::RunState::Queued) return std::nullopt;
  if (end.outcome == plan::attempt_outcome::kReturned) {
    return line(now, run.attempt, LogLevel::Warn,
                fmt::format("attempt {} was stopped at a checkpoint: its worker is stopping; the "
                            "run goes on as soon as one is free",
                            run.attempt));
  }
  return line(now, run.attempt, LogLevel::Warn,
              fmt::format("attempt {} failed: {}; the next one starts at {}", run.attempt,
                          end.error, format_utc(now + end.wait)));
}

}  // namespace tidegate::worker
