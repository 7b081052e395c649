#include "control/plan/attempt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "control/plan/plan_fixture.h"

namespace tidegate::plan {
namespace {

using model::RunState;
using protocol::EntityOutcome;
using protocol::ExitCode;
using testing::at;
using testing::run_of;

AttemptFacts ended(ExitCode code, std::optional<std::string> kind = {},
                   StopReason stop = StopReason::None) {
  AttemptFacts facts{.stop = stop, .exit_code = static_cast<int>(code)};
  facts.result.emplace();
  facts.result->code = code;
  facts.result->error_kind = std::move(kind);
  facts.result->error = "what happened";
  return facts;
}

model::RetryPolicy exact() { return {.max_attempts = 3, .jitter = false}; }
model::JobSpec spec() {
  model::JobSpec spec;
  spec.retry = exact();
  spec.timeout = Seconds(90);
  return spec;
}

struct EndCase {
  const char* name;
  AttemptFacts facts;
  int retries_used;
  bool cancel_requested;
  RunState next;
  const char* outcome;
  const char* kind;
  bool uses_retry;
};

std::vector<EndCase> end_cases() {
  AttemptFacts no_engine;
  no_engine.not_started = Error{Code::NotFound, "no engine", "engine_missing", {}};
  AttemptFacts unreadable;
  unreadable.not_started = Error{Code::Invalid, "no such request", {}, {}};
  AttemptFacts no_memory;
  no_memory.not_started = Error{Code::Unavailable, "out of processes", {}, {}};
  const auto Q = RunState::Queued, F = RunState::Failed;
  using enum StopReason;
  return {
      {"done", ended(ExitCode::Done), 0, false, RunState::Succeeded, "succeeded", "", false},
      {"done_wins_over_cancel", ended(ExitCode::Done, {}, Cancelled), 0, true, RunState::Succeeded,
       "succeeded", "", false},
      {"done_wins_over_timeout", ended(ExitCode::Done, {}, TimedOut), 0, false, RunState::Succeeded,
       "succeeded", "", false},
      {"configuration", ended(ExitCode::Configuration, "configuration"), 0, false, F, "failed",
       "configuration", false},
      {"permission", ended(ExitCode::Failed, "permission"), 0, false, F, "failed", "permission",
       false},
      {"data", ended(ExitCode::Failed, "data"), 0, false, F, "failed", "data", false},
      {"code_alone_failed", ended(ExitCode::Failed), 0, false, F, "failed", "data", false},
      {"code_alone_configuration", ended(ExitCode::Configuration), 0, false, F, "failed",
       "configuration", false},
      {"transient", ended(ExitCode::Retryable, "transient"), 0, false, Q, "retry", "transient",
       true},
      {"rate_limited", ended(ExitCode::Retryable, "rate_limited"), 1, false, Q, "retry",
       "rate_limited", true},
      {"retries_used_up", ended(ExitCode::Retryable, "transient"), 2, false, F, "failed",
       "transient", false},
      {"unknown_kind", ended(ExitCode::Retryable, "cosmic"), 0, false, Q, "retry", "transient",
       true},
      {"internal", ended(ExitCode::Failed, "internal"), 0, false, Q, "retry", "internal", true},
      {"fenced_by_the_destination", ended(ExitCode::Fenced, "fenced"), 0, false, Q, "retry",
       "fenced", true},
      {"stopped_from_outside", ended(ExitCode::Cancelled, "cancelled"), 0, false, Q, "retry",
       "transient", true},
      {"out_of_memory", {.signal = 9}, 0, false, Q, "retry", "internal", true},
      {"crash_last_attempt", {.signal = 11}, 2, false, F, "failed", "internal", false},
      {"exit_without_result", {.exit_code = 0}, 0, false, Q, "retry", "internal", true},
      {"missing_engine", no_engine, 0, false, Q, "retry", "transient", true},
      {"unreadable_order", unreadable, 0, false, F, "failed", "configuration", false},
      {"no_process", no_memory, 0, false, Q, "retry", "transient", true},
      {"cancelled", ended(ExitCode::Cancelled, "cancelled", Cancelled), 0, true,
       RunState::Cancelled, "cancelled", "cancelled", false},
      {"cancelled_by_kill",
       {.stop = Cancelled, .signal = 9},
       0,
       true,
       RunState::Cancelled,
       "cancelled",
       "cancelled",
       false},
      {"failed_after_cancel_request", ended(ExitCode::Retryable, "transient"), 0, true,
       RunState::Cancelled, "cancelled", "cancelled", false},
      {"timeout",
       {.stop = TimedOut, .signal = 15},
       0,
       false,
       RunState::TimedOut,
       "timed_out",
       "timeout",
       false},
      {"stalled",
       {.stop = Stalled, .signal = 9},
       0,
       false,
       RunState::TimedOut,
       "timed_out",
       "stalled",
       false},
      {"drained", ended(ExitCode::Cancelled, "cancelled", Drained), 2, false, Q, "returned", "",
       false},
      {"drained_by_kill", {.stop = Drained, .signal = 9}, 2, false, Q, "returned", "", false},
      {"drained_and_cancelled",
       {.stop = Drained, .signal = 15},
       0,
       true,
       RunState::Cancelled,
       "cancelled",
       "cancelled",
       false},
  };
}

// The store gives the next attempt a greater fence than the one that refused this.
TEST(AttemptEnd, PassesOnTheFenceThatTheDestinationHolds) {
  SeededRng rng(1);
  AttemptFacts facts = ended(ExitCode::Fenced, "fenced");
  facts.result->fence_found = Fence{77};
  EXPECT_EQ(on_attempt_end({}, {}, facts, rng).fence_found, Fence{77});
}

TEST(AttemptEnd, DeadlinesAreNamed) {
  SeededRng rng(1);
  const model::Run run = run_of("r", RunState::Running);
  const auto error = [&](StopReason why) {
    return on_attempt_end(run, spec(), {.stop = why, .signal = 9}, rng).error;
  };
  EXPECT_THAT(error(StopReason::TimedOut), ::testing::HasSubstr("timeout of 1m30s"));
  EXPECT_THAT(error(StopReason::Stalled), ::testing::HasSubstr("stall timeout of 15m"));
}

TEST(AttemptEnd, Table) {
  for (const EndCase& c : end_cases()) {
    SCOPED_TRACE(c.name);
    SeededRng rng(1);
    model::Run run = run_of("r", RunState::Running);
    run.retries_used = c.retries_used;
    run.cancel_requested = c.cancel_requested;
    const store::AttemptEnd end = on_attempt_end(run, spec(), c.facts, rng);
    EXPECT_EQ(end.next, c.next);
    EXPECT_EQ(end.outcome, c.outcome);
    EXPECT_EQ(end.error_kind, c.kind);
    EXPECT_EQ(end.uses_retry, c.uses_retry);
    const bool silent = c.next == RunState::Succeeded || end.outcome == "returned";
    EXPECT_EQ(end.error.empty(), silent);
    EXPECT_TRUE(model::can_move(RunState::Running, end.next));
    if (end.next == RunState::Queued) {
      EXPECT_EQ(end.wait, c.uses_retry ? Seconds(30 << c.retries_used) : Seconds(0));
    }
  }
}

TEST(AttemptEnd, OnlyFailedEntitiesAreTriedAgain) {
  SeededRng rng(1);
  AttemptFacts facts = ended(ExitCode::Retryable, "transient");
  facts.result->entities = {{.entity = "a", .outcome = EntityOutcome::Succeeded},
                            {.entity = "b", .outcome = EntityOutcome::Failed},
                            {.entity = "c", .outcome = EntityOutcome::Skipped}};
  const model::Run run = run_of("r", RunState::Running);
  auto end = on_attempt_end(run, spec(), facts, rng);
  EXPECT_THAT(end.only_entities, ::testing::ElementsAre("b", "c"));
  EXPECT_EQ(end.entities.size(), 3U);

  facts.result->entities[0].outcome = EntityOutcome::Failed;  // none done: as the job says
  EXPECT_TRUE(on_attempt_end(run, spec(), facts, rng).only_entities.empty());

  model::Run second = run;  // a crash in the second attempt keeps the choice of the first
  second.only_entities = {"b"};
  EXPECT_THAT(on_attempt_end(second, spec(), {.signal = 9}, rng).only_entities,
              ::testing::ElementsAre("b"));
}

TEST(AttemptEnd, AnEntityWorthARetryMakesThePartialSuccessWorthIt) {
  SeededRng rng(1);
  AttemptFacts facts = ended(ExitCode::Failed);
  facts.result->error.reset();
  facts.result->entities = {
      {.entity = "a", .outcome = EntityOutcome::Failed, .error_kind = "data", .error = "bad row"},
      {.entity = "b",
       .outcome = EntityOutcome::Failed,
       .error_kind = "transient",
       .error = "gone"}};
  const auto end = on_attempt_end(run_of("r", RunState::Running), spec(), facts, rng);
  EXPECT_EQ(end.next, RunState::Queued);
  EXPECT_EQ(end.error_kind, "transient");
  EXPECT_EQ(end.error, "a: bad row");
}

TEST(AttemptEnd, RetryAfterIsHonoured) {
  SeededRng rng(1);
  AttemptFacts facts = ended(ExitCode::Retryable, "rate_limited");
  facts.result->retry_after = Seconds(3600);
  const model::Run run = run_of("r", RunState::Running);
  EXPECT_EQ(on_attempt_end(run, spec(), facts, rng).wait, Seconds(3600));
  facts.result->retry_after = Seconds(1);
  EXPECT_EQ(on_attempt_end(run, spec(), facts, rng).wait, Seconds(30));
}

TEST(Backoff, GrowsToItsMaximumAndJitterFillsTheRange) {
  SeededRng rng(7);
  const model::RetryPolicy policy = exact();
  EXPECT_EQ(backoff(policy, 1, rng), Seconds(30));
  EXPECT_EQ(backoff(policy, 2, rng), Seconds(60));
  EXPECT_EQ(backoff(policy, 5, rng), Seconds(480));
  EXPECT_EQ(backoff(policy, 10, rng), Seconds(1800));
  EXPECT_EQ(backoff(policy, 100'000, rng), Seconds(1800));

  model::RetryPolicy jittered = policy;
  jittered.jitter = true;
  Millis least = Millis::max(), most{0}, sum{0};
  for (int i = 0; i < 2000; ++i) {
    const Millis wait = backoff(jittered, 2, rng);
    least = std::min(least, wait);
    most = std::max(most, wait);
    sum += wait;
  }
  EXPECT_GE(least, Millis(0));
  EXPECT_LT(least, Seconds(1));
  EXPECT_LE(most, Seconds(60));
  EXPECT_GT(most, Seconds(59));
  EXPECT_NEAR(static_cast<double>(sum.count()) / 2000, 30'000, 1500);
}

TEST(Orphan, AWorkersDeathUsesNoRetryButThreeInARowEndTheRun) {
  // "After a crash each due run is recorded as failed": it must run again.
  model::Run run = run_of("r", RunState::Running);
  run.fence = Fence{42};
  run.only_entities = {"b"};
  for (int lost = 0; lost < 4; ++lost) {
    run.lost_in_row = lost;
    const store::OrphanDecision decision = on_orphan(run);
    EXPECT_EQ(decision.held.run, run.id);
    EXPECT_EQ(decision.held.fence, run.fence);
    EXPECT_EQ(decision.end.outcome, "worker_lost");
    EXPECT_EQ(decision.end.error_kind, "worker_lost");
    EXPECT_FALSE(decision.end.uses_retry);
    if (lost < 2) {
      EXPECT_EQ(decision.end.next, RunState::Queued);
      EXPECT_EQ(decision.end.wait, Millis(0));
      EXPECT_THAT(decision.end.only_entities, ::testing::ElementsAre("b"));
    } else {
      EXPECT_EQ(decision.end.next, RunState::Failed);
    }
  }
  run.lost_in_row = 0;
  run.cancel_requested = true;
  EXPECT_EQ(on_orphan(run).end.next, RunState::Cancelled);
}

}  // namespace
}  // namespace tidegate::plan
