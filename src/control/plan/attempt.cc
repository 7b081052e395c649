#include "control/plan/attempt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <string>
#include <utility>

namespace tidegate::plan {
namespace {

namespace kind = model::error_kind;
using model::RunState;
using store::AttemptEnd;

struct Failure {
  std::string_view kind;
  std::string message;
};

constexpr std::string_view kKinds[] = {kind::kConfiguration, kind::kPermission,  kind::kData,
                                       kind::kTransient,     kind::kRateLimited, kind::kInternal,
                                       kind::kFenced};

// The kind as this server knows it; a newer engine may use another word.
std::optional<std::string_view> known_kind(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  const auto at = std::ranges::find(kKinds, std::string_view(*text));
  return at == std::end(kKinds) ? std::nullopt : std::optional(*at);
}

std::string_view kind_of_code(protocol::ExitCode code) {
  switch (code) {
    case protocol::ExitCode::Configuration:
      return kind::kConfiguration;
    case protocol::ExitCode::Retryable:
    case protocol::ExitCode::Cancelled:  // by somebody else than us: a service manager, a person
      return kind::kTransient;
    case protocol::ExitCode::Fenced:
      return kind::kFenced;
    default:
      return kind::kData;  // 1: not worth a retry
  }
}

// A partial success says it in its entities: one that is worth a retry makes the run worth it.
std::optional<std::string_view> kind_of_entities(const protocol::RunResult& result) {
  std::optional<std::string_view> found;
  for (const auto& entity : result.entities) {
    if (entity.outcome != protocol::EntityOutcome::Failed) continue;
    const auto known = known_kind(entity.error_kind);
    if (known && (!found || is_retryable(*known))) found = known;
  }
  return found;
}

std::string message_of(const protocol::RunResult& result) {
  if (result.error) return *result.error;
  for (const auto& entity : result.entities) {
    if (entity.error) return fmt::format("{}: {}", entity.entity, *entity.error);
  }
  return fmt::format("the engine failed with code {} and gave no reason",
                     static_cast<int>(result.code));
}

Failure failure_of(const AttemptFacts& facts) {
  if (facts.not_started) {
    // An engine that is missing or may not be executed is so on this worker, and until it is
    // installed.
    constexpr Code kOfThisWorker[] = {Code::Unavailable, Code::Cancelled, Code::NotFound,
                                      Code::Forbidden};
    const bool passes =
        std::ranges::find(kOfThisWorker, facts.not_started->code) != std::end(kOfThisWorker);
    return {passes ? kind::kTransient : kind::kConfiguration, facts.not_started->message};
  }
  if (facts.result) {
    const auto& result = *facts.result;
    auto found = known_kind(result.error_kind);
    if (!found) found = kind_of_entities(result);
    return {found.value_or(kind_of_code(result.code)), message_of(result)};
  }
  if (facts.signal != 0) {
    return {kind::kInternal,
            fmt::format("the engine was ended by signal {}{}", facts.signal,
                        facts.signal == SIGKILL ? " (out of memory, or killed by hand)" : "")};
  }
  const bool fenced = facts.exit_code == static_cast<int>(protocol::ExitCode::Fenced);
  return {fenced ? kind::kFenced : kind::kInternal,
          fmt::format("the engine exited with code {} and reported no result", facts.exit_code)};
}

// The entities another attempt has to do: those that did not succeed, when some did.
std::vector<std::string> left_to_do(const model::Run& run, const AttemptFacts& facts) {
  if (!facts.result) return run.only_entities;
  std::vector<std::string> left;
  for (const auto& entity : facts.result->entities) {
    if (entity.outcome != protocol::EntityOutcome::Succeeded) left.push_back(entity.entity);
  }
  const bool some_done = left.size() < facts.result->entities.size();
  return some_done && !left.empty() ? left : run.only_entities;
}

void terminal(AttemptEnd& end, RunState state, std::string_view error_kind, std::string message) {
  end.next = state;
  end.outcome = model::kRunStateNames[static_cast<std::size_t>(state)];
  end.error_kind = error_kind;
  end.error = std::move(message);
}

void again(AttemptEnd& end, std::string_view outcome, bool uses_retry, Millis wait) {
  end.next = RunState::Queued;
  end.outcome = outcome;
  end.uses_retry = uses_retry;
  end.wait = wait;
}

void retry_or_fail(AttemptEnd& end, const model::Run& run, const model::RetryPolicy& policy,
                   const AttemptFacts& facts, Rng& rng) {
  Failure failure = failure_of(facts);
  const bool left = run.retries_used + 1 < policy.max_attempts;
  if (!left || !is_retryable(failure.kind)) {
    return terminal(end, RunState::Failed, failure.kind, std::move(failure.message));
  }
  Millis wait = backoff(policy, run.retries_used + 1, rng);
  if (facts.result && facts.result->retry_after) wait = std::max(wait, *facts.result->retry_after);
  again(end, attempt_outcome::kRetry, true, wait);
  end.error_kind = failure.kind;
  end.error = std::move(failure.message);
  end.only_entities = left_to_do(run, facts);
}

}  // namespace

Millis backoff(const model::RetryPolicy& policy, int n, Rng& rng) {
  const double grown = static_cast<double>(policy.initial.count()) * std::pow(policy.factor, n - 1);
  const double most = static_cast<double>(policy.max.count());
  // Negated, so that a NaN or an infinity takes the upper bound too.
  const auto bound = static_cast<std::int64_t>(!(grown < most) ? most : grown);
  if (!policy.jitter) return Millis(bound);
  return Millis(static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(bound) + 1)));
}

bool is_retryable(std::string_view error_kind) {
  return error_kind == kind::kTransient || error_kind == kind::kRateLimited ||
         error_kind == kind::kInternal || error_kind == kind::kFenced;
}

AttemptEnd on_attempt_end(const model::Run& run, const model::JobSpec& spec,
                          const AttemptFacts& facts, Rng& rng) {
  AttemptEnd end;
  if (facts.result) {
    end.entities = facts.result->entities;
    end.warnings = facts.result->warnings;
    end.fence_found = facts.result->fence_found;
    if (facts.result->code == protocol::ExitCode::Done) {
      terminal(end, RunState::Succeeded, "", "");
      return end;
    }
  }
  switch (facts.stop) {
    case StopReason::Cancelled:
      terminal(end, RunState::Cancelled, kind::kCancelled, "cancelled by request");
      break;
    case StopReason::TimedOut:
      terminal(end, RunState::TimedOut, kind::kTimeout,
               fmt::format("the run took longer than its timeout of {}",
                           format_duration(spec.timeout.value_or(Millis(0)))));
      break;
    case StopReason::Stalled:
      terminal(end, RunState::TimedOut, kind::kStalled,
               fmt::format("no rows, bytes or pages arrived within the stall timeout of {}",
                           format_duration(spec.stall_timeout)));
      break;
    case StopReason::Drained:
      again(end, attempt_outcome::kReturned, false, Millis(0));
      end.only_entities = left_to_do(run, facts);
      break;
    case StopReason::None:
      retry_or_fail(end, run, spec.retry, facts, rng);
      break;
  }
  // Whoever asked for the end of the run does not want another attempt.
  if (end.next == RunState::Queued && run.cancel_requested) {
    terminal(end, RunState::Cancelled, kind::kCancelled, "cancelled by request");
    end.uses_retry = false;
    end.only_entities.clear();
  }
  return end;
}

store::OrphanDecision on_orphan(const model::Run& run) {
  store::OrphanDecision decision{.held = {run.id, run.fence}, .end = {}};
  AttemptEnd& end = decision.end;
  end.held = decision.held;
  if (run.cancel_requested) {
    terminal(end, RunState::Cancelled, kind::kCancelled,
             "cancelled by request; its worker is gone");
  } else if (run.lost_in_row + 1 >= kMaxLostInRow) {
    terminal(end, RunState::Failed, kind::kWorkerLost,
             fmt::format("{} workers in a row were lost while this run made no progress",
                         run.lost_in_row + 1));
  } else {
    again(end, attempt_outcome::kWorkerLost, false, Millis(0));
    end.error_kind = kind::kWorkerLost;
    end.error = "the worker stopped renewing its lease: killed, frozen or cut off";
    end.only_entities = run.only_entities;
  }
  end.outcome = attempt_outcome::kWorkerLost;
  return decision;
}

}  // namespace tidegate::plan
