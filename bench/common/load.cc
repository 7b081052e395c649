#include "load.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "base/rng.h"

namespace tidegate::bench {
namespace {

constexpr std::size_t kStepsAtOnce = 200;

}  // namespace

void add_connections(store::Store& s, const WorkspaceId& ws) {
  for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
    model::Connection c;
    c.id = ConnectionId(kind == model::ConnectionKind::Source ? "src" : "dst");
    c.workspace = ws;
    c.kind = kind;
    c.name = "c";
    c.type = "sqlite";
    c.config = {{"path", "data.db"}};
    must(s.create_connection(c, {}));
  }
}

// As new_id makes them, of jobs that were made a minute apart.
JobId job_id(int n) {
  const std::int64_t ms = 1'720'000'000'000 + std::int64_t{60'000} * n;
  return JobId(fmt::format("{:08x}-{:04x}-7000-9000-{:012x}", ms >> 16, ms & 0xFFFF, n));
}

namespace {

model::SyncJob job(const WorkspaceId& ws, int n, Instant slot, Instant now) {
  model::SyncJob j;
  j.id = job_id(n);
  j.workspace = ws;
  j.spec.name = fmt::format("job {:06}", n);
  j.spec.source_id = ConnectionId("src");
  j.spec.destination_id = ConnectionId("dst");
  j.spec.schedule = model::CronSchedule{"0 * * * *", "America/New_York", {}};
  j.spec.entities["orders"].cursor = "updated_at";
  j.spec.entities["orders"].primary_key = {"id"};
  j.spec.labels["team"] = "data";
  j.created_at = j.updated_at = now;
  j.next_slot = slot;
  return j;
}

}  // namespace

void add_jobs(store::Store& s, const WorkspaceId& ws, int count, int threads,
              const std::function<Instant(int)>& slot) {
  const Instant now = SystemClock().now();
  std::vector<std::jthread> writers;
  std::atomic<int> next{0};
  for (int t = 0; t < threads; ++t) {
    writers.emplace_back([&] {
      for (int n = next++; n < count; n = next++) must(s.create_job(job(ws, n, slot(n), now), {}));
    });
  }
}

double plan_runs(store::Store& s, int jobs, int per_job, Instant first) {
  const auto lease = must(s.acquire_leader(OwnerId("leader"), Millis(600'000)));
  const SystemClock clock;
  SystemRng rng;
  const auto start = std::chrono::steady_clock::now();
  for (int r = 0; r < per_job; ++r) {
    const Instant slot = first + Seconds(r);
    std::vector<store::PlanStep> steps;
    for (int n = 0; n < jobs; ++n) {
      steps.push_back(
          {.job = job_id(n),
           .expected_revision = 1,
           .expected_next_slot = slot,
           .next_slot = slot + Seconds(r + 1 < per_job ? 1 : 3600),
           .runs = {{new_id<RunId>(clock, rng), slot, model::Trigger::Schedule, slot}}});
      if (steps.size() < kStepsAtOnce && n + 1 < jobs) continue;
      const auto results = must(s.apply_plan(*lease, steps));
      if (std::ranges::count(results, store::PlanResult::Applied) != std::ssize(steps)) {
        throw std::runtime_error("a step of the plan was stale");
      }
      steps.clear();
    }
  }
  must(s.release_leader(*lease));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int work(store::Store& s, const std::string& owner, std::size_t batch) {
  int done = 0;
  for (;;) {
    const auto claimed = must(s.claim_runs({.owner = OwnerId(owner), .max = batch})).runs;
    if (claimed.empty()) return done;
    std::vector<store::AttemptEnd> ends;
    for (const auto& c : claimed) {
      ends.push_back({.held = {c.run.id, c.run.fence},
                      .next = model::RunState::Succeeded,
                      .outcome = "succeeded"});
    }
    for (const auto& ended : must(s.finish_attempts(ends))) must(ended);
    done += static_cast<int>(claimed.size());
  }
}

}  // namespace tidegate::bench
