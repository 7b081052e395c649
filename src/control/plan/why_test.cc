#include "control/plan/why.h"

#include <gtest/gtest.h>

#include <functional>

#include "control/plan/plan_fixture.h"

namespace tidegate::plan {
namespace {

using model::RunState;
using testing::at;
using testing::backoff_run;
using testing::every;
using testing::run_of;

const Instant kNow = at("2026-11-23T12:00:00Z");

TEST(Why, EveryKindOfWaitingHasACodeAndASentence) {
  struct Case {
    const char* code;
    const char* mentions;
    std::function<void(store::PlanView&)> change;
  };
  const Case cases[] = {
      {"scheduled", "2026-11-23T12:01:00Z", [](auto&) {}},
      {"overdue", "11:59:00", [](auto& v) { v.job.next_slot = kNow - Seconds(60); }},
      {"disabled", "disabled", [](auto& v) { v.job.spec.enabled = false; }},
      {"paused", "ann until 2026-11-23T13:00:00Z: night",
       [](auto& v) { v.job.pause = model::Pause{"night", kNow + Seconds(3600), kNow, "ann"}; }},
      {"scheduled", "12:01",
       [](auto& v) { v.job.pause = model::Pause{"", kNow, kNow - Seconds(9), ""}; }},
      {"no_schedule", "by hand",
       [](auto& v) {
         v.job.spec.schedule = std::monostate{};
         v.job.next_slot.reset();
       }},
      {"schedule_over", "nothing more", [](auto& v) { v.job.next_slot.reset(); }},
      {"running", "run r is running (attempt 1)",
       [](auto& v) { v.active = {run_of("r", RunState::Running)}; }},
      {"retry_backoff", "connection refused",
       [](auto& v) { v.active = {backoff_run("b", kNow + Seconds(9))}; }},
      {"jitter", "12:00:09",
       [](auto& v) {
         v.active = {run_of("q", RunState::Queued)};
         v.active[0].not_before = kNow + Seconds(9);
       }},
      {"disabled", "enabled",
       [](auto& v) {
         v.active = {backoff_run("b", kNow + Seconds(9))};
         v.job.spec.enabled = false;
       }},
      {"paused", "ann",
       [](auto& v) {
         v.active = {run_of("q", RunState::Queued)};
         v.job.pause = model::Pause{"", {}, kNow, "ann"};
       }},
      {"no_free_worker", "free place",
       [](auto& v) {
         v.active = {run_of("q", RunState::Queued)};
         v.active[0].trigger = model::Trigger::Manual;
         v.job.pause = model::Pause{"", {}, kNow, "ann"};
       }},
      {"no_free_worker", "free place", [](auto& v) { v.active = {run_of("q", RunState::Queued)}; }},
  };
  for (const Case& c : cases) {
    store::PlanView view{every(Seconds(60), kNow + Seconds(60)), {}};
    c.change(view);
    const Why why = why_waiting(view, kNow);
    EXPECT_EQ(why.code, c.code);
    EXPECT_NE(why.text.find(c.mentions), std::string::npos) << why.text;
  }
}

TEST(Why, AQueuedRunBehindARunningOneNamesIt) {
  const store::PlanView view{every(Seconds(60), kNow),
                             {run_of("r", RunState::Running), run_of("q", RunState::Queued)}};
  const Why why = why_queued(view.active[1], view, kNow);
  EXPECT_EQ(why.code, "job_running");
  EXPECT_NE(why.text.find("run r "), std::string::npos);
}

TEST(Why, EverySkipReasonHasASentence) {
  namespace skip = model::skip_reason;
  for (const std::string_view reason :
       {skip::kOverlap, skip::kPaused, skip::kDisabled, skip::kCatchupWindow, skip::kSuperseded,
        skip::kScheduleChanged, skip::kDown}) {
    model::LedgerEntry entry;
    entry.outcome = reason == skip::kDown ? "missed" : "skipped";
    entry.reason = reason;
    const Why why = why_not_run(entry);
    EXPECT_EQ(why.code, reason);
    EXPECT_GT(why.text.size(), entry.outcome.size() + 2 + reason.size()) << why.text;
  }
  model::LedgerEntry ran;
  ran.run = RunId("r");
  ran.outcome = "failed";
  ran.reason = "configuration";
  EXPECT_EQ(why_not_run(ran).code, "configuration");
}

}  // namespace
}  // namespace tidegate::plan
