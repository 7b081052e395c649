#include "tests/crash/store_script.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

// The linker takes some of the suite's objects for what they have besides cases.
namespace tidegate::store::contract {
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreContract);
}

namespace tidegate::crash {

using namespace std::chrono_literals;
using model::ConnectionKind;
using model::RunState;
using store::AttemptEnd;
using store::ClaimedRun;
using store::PlanResult;
using store::PlanStep;
using store::contract::held;
using store::contract::known;
using store::contract::must;

namespace {

constexpr int kMinutes = 5;
constexpr const char* kJobs[] = {"a", "b", "c"};

store::Page everything() {
  store::Page page;
  page.limit = 1000;
  return page;
}

}  // namespace

Instant script_start() { return from_ms(1'767'225'600'000); }

void Acknowledged::add(const std::string& line) {
  std::istringstream in(line);
  std::string what, name;
  std::int64_t n = 0;
  in >> what >> name;
  if (what == "ended") {
    in >> ended[name];
    return;
  }
  in >> n;
  if (what == "leader") leader_fence = n;
  if (what == "claimed") run_fence = std::max(run_fence, n);
  if (what == "planned") planned[name] = n;
  if (what == "revision") revisions[name] = n;
}

// Until it is not Unavailable; every write may be repeated safely.
template <class F>
auto Script::insist(F f) {
  for (int i = 0; i < 100; ++i) {
    auto result = f(hooks_.store());
    if (result || result.error().code != Code::Unavailable) return result;
    hooks_.unavailable();
  }
  throw std::runtime_error("a write was unavailable a hundred times");
}

void Script::set_up() {
  const auto ws = must(insist([](store::Store& s) { return s.find_workspace("default"); })).id;
  for (const auto& [id, kind] :
       {std::pair{"src", ConnectionKind::Source}, {"dst", ConnectionKind::Destination}}) {
    model::Connection c;
    c.id = ConnectionId(id);
    c.workspace = ws;
    c.kind = kind;
    c.name = id;
    must(insist([&](store::Store& s) { return s.create_connection(c, {}); }));
  }
  for (const char* id : kJobs) {
    model::SyncJob job;
    job.id = JobId(id);
    job.workspace = ws;
    job.spec.name = id;
    job.spec.source_id = ConnectionId("src");
    job.spec.destination_id = ConnectionId("dst");
    job.created_at = job.updated_at = clock_.now();
    job.next_slot = script_start();
    must(insist(
        [&](store::Store& s) { return s.create_job(job, store::Idempotency{"s", id, "h"}); }));
    say(fmt::format("revision {} 1", id));
  }
}

void Script::lead() {
  const auto lease = must(
      insist([&](store::Store& s) { return s.acquire_leader(OwnerId(owner_), Millis(8000)); }));
  if (!lease) throw std::runtime_error("the lease is another's");
  lease_ = *lease;
  say(fmt::format("leader - {}", value(lease_.fence)));
  must(insist([&](store::Store& s) { return s.renew_leader(lease_); }));
}

// One step a job: a run, or for c in even minutes a skip.
void Script::plan(int minute) {
  const Instant slot = script_start() + std::chrono::minutes(minute);
  std::vector<PlanStep> steps;
  for (const char* id : kJobs) {
    const auto job =
        must(insist([&](store::Store& s) { return s.get_job(WorkspaceId(), JobId(id)); }));
    PlanStep step;
    step.job = job.id;
    step.expected_revision = job.revision;
    step.expected_next_slot = job.next_slot;
    if (job.next_slot != slot) continue;  // planned before a restart
    step.next_slot = slot + 1min;
    if (id[0] == 'c' && minute % 2 == 0) {
      step.records.push_back(
          {.job = job.id, .first = slot, .last = slot, .reason = "paused", .recorded_at = slot});
    } else {
      step.runs.push_back(
          {RunId(fmt::format("{}-{}", id, minute)), slot, model::Trigger::Schedule, slot});
    }
    steps.push_back(std::move(step));
  }
  const auto results = must(insist([&](store::Store& s) { return s.apply_plan(lease_, steps); }));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    // Stale: an earlier try had been committed.
    say(fmt::format("planned {} {}", steps[i].job.str(), to_ms(slot)));
  }
}

std::vector<ClaimedRun> Script::claim() {
  auto claimed = must(
      insist([&](store::Store& s) { return s.claim_runs({.owner = OwnerId(owner_), .max = 10}); }));
  for (const auto& c : claimed.runs) {
    say(fmt::format("claimed {} {}", c.run.id.str(), value(c.run.fence)));
  }
  return std::move(claimed.runs);
}

void Script::end(const ClaimedRun& run, RunState state) {
  AttemptEnd end = store::contract::end_of(run, state);
  end.committed = {{"orders", known(0, value(run.run.fence))}};
  const auto result =
      must(insist([&](store::Store& s) { return s.finish_attempts({&end, 1}); })).at(0);
  if (result && state != RunState::Queued) {
    say(fmt::format("ended {} {}", run.run.id.str(),
                    model::kRunStateNames[static_cast<std::size_t>(state)]));
  }
}

void Script::work(int minute) {
  for (const auto& run : claim()) {
    const model::RunLogLine line{.at = clock_.now(), .message = "working"};
    (void)insist([&](store::Store& s) { return s.append_log(held(run), {&line, 1}, 10'000); });
    const store::Renewal renewal{.held = held(run),
                                 .progress = {{"orders", {1, 1, 1, {}}}},
                                 .committed = {{"orders", known(0, value(run.run.fence))}}};
    must(insist([&](store::Store& s) {
      return s.renew_runs(OwnerId(owner_), Millis(12'000), {&renewal, 1});
    }));
    const bool retries = run.run.job == JobId("b") && minute % 2 == 1;
    end(run, retries ? RunState::Queued : RunState::Succeeded);
  }
  for (const auto& run : claim()) end(run, RunState::Failed);
}

void Script::change(int minute) {
  const JobId id("a");
  const auto revision = [&](const Result<model::SyncJob>& job) {
    if (job) say(fmt::format("revision a {}", job->revision));
  };
  auto job = must(insist([&](store::Store& s) { return s.get_job(WorkspaceId(), id); }));
  if (minute == 1) {
    store::JobStore::UpdateJob u{.workspace = job.workspace,
                                 .id = id,
                                 .if_revision = {},
                                 .spec = job.spec,
                                 .reschedule = {},
                                 .at = clock_.now()};
    u.spec.description = "changed";
    revision(insist([&](store::Store& s) { return s.update_job(u); }));
  }
  if (minute == 2) {
    const model::Pause pause{"note", {}, clock_.now(), "ann"};
    revision(
        insist([&](store::Store& s) { return s.set_pause(job.workspace, id, {}, pause, {}); }));
    revision(insist([&](store::Store& s) { return s.set_pause(job.workspace, id, {}, {}, {}); }));
  }
  if (minute == 3) {
    revision(insist([&](store::Store& s) { return s.reset_job(job.workspace, id, {}, {}); }));
    const store::TriggerRun t{.workspace = job.workspace, .job = id, .run = RunId("manual")};
    // Refused while a claim whose reply was lost still holds a run of the job.
    (void)insist([&](store::Store& s) { return s.trigger_run(t); });
    (void)insist([&](store::Store& s) { return s.request_cancel(job.workspace, t.run, {}); });
    must(insist([&](store::Store& s) { return s.heartbeat({.id = OwnerId(owner_)}); }));
  }
}

// Every other write method once; a repetition may find its own work done (Conflict, NotFound).
void Script::administer() {
  const auto ws = must(insist([](store::Store& s) { return s.find_workspace("default"); })).id;
  const WorkspaceId team("team");
  must(insist([&](store::Store& s) {
    return s.create_workspace({.id = team, .name = "team", .created_at = clock_.now()}, {});
  }));
  (void)insist([&](store::Store& s) { return s.delete_workspace(team, {}); });
  const model::Token token{.id = TokenId("t"), .name = "t", .hash = "h"};
  (void)insist([&](store::Store& s) { return s.create_token(token); });
  (void)insist([&](store::Store& s) { return s.delete_token(token.id); });
  model::Connection extra;
  extra.id = ConnectionId("extra");
  extra.workspace = ws;
  extra.name = "extra";
  must(insist([&](store::Store& s) { return s.create_connection(extra, {}); }));
  extra.type = "file";
  must(insist([&](store::Store& s) { return s.update_connection(extra, {}); }));
  (void)insist([&](store::Store& s) { return s.delete_connection(ws, extra.kind, extra.id, {}); });
  model::SyncJob brief = must(insist([&](store::Store& s) { return s.get_job(ws, JobId("a")); }));
  brief.id = JobId("brief");
  brief.spec.name = "brief";
  brief.run_count = 0;
  brief.next_slot = script_start();
  must(insist([&](store::Store& s) { return s.create_job(brief, {}); }));
  (void)insist([&](store::Store& s) { return s.delete_job(ws, brief.id, {}); });
  must(insist([&](store::Store& s) { return s.keep_setting("setting", "old"); }));
  must(insist([&](store::Store& s) { return s.replace_setting("setting", "old", "new"); }));
  must(insist([&](store::Store& s) { return s.forget_worker(OwnerId(owner_)); }));
  must(insist([&](store::Store& s) { return s.prune({}, clock_.now()); }));
}

void Script::run() {
  set_up();
  for (int minute = 0; minute < kMinutes; ++minute) {
    lead();
    plan(minute);
    work(minute);
    change(minute);
    clock_.advance(1min);
  }
  administer();
  must(insist([&](store::Store& s) { return s.release_leader(lease_); }));
}

void Script::drain() {
  owner_ = "worker-2";
  clock_.advance(1h);  // past every lease
  lead();
  for (int round = 0; round < 10; ++round) {
    const auto lost = must(insist([&](store::Store& s) { return s.expired_runs(100); }));
    std::vector<store::OrphanDecision> decisions;
    for (const auto& run : lost) {
      store::OrphanDecision d{held(run), store::contract::end_of(run, RunState::Queued)};
      d.end.outcome = "worker_lost";
      decisions.push_back(d);
    }
    must(insist([&](store::Store& s) { return s.release_orphans(lease_, decisions); }));
    for (const auto& run : claim()) end(run, RunState::Succeeded);
  }
}

void check_invariants(store::Store& s, const Acknowledged& told) {
  std::map<std::string, std::int64_t> ended_by_job;
  const auto runs = must(s.list_runs({.page = everything()})).items;
  std::set<std::string> running_jobs;
  for (const auto& run : runs) {
    const bool ended = model::is_terminal(run.state);
    EXPECT_EQ(ended, run.finished_at.has_value()) << run.id.str();
    EXPECT_EQ(run.state == RunState::Running, !run.owner.empty()) << run.id.str();
    EXPECT_LE(value(run.fence), run.attempt == 0 ? 0 : INT64_MAX);
    if (ended) ++ended_by_job[run.job.str()];
    if (run.state == RunState::Running) EXPECT_TRUE(running_jobs.insert(run.job.str()).second);
  }
  for (const auto& [id, state] : told.ended) {
    const auto run = must(s.get_run(WorkspaceId(), RunId(id)));
    EXPECT_EQ(model::kRunStateNames[static_cast<std::size_t>(run.state)], state)
        << id << " was lost";
  }
  for (const auto& job : must(s.list_jobs({.page = everything()})).items) {
    const std::string id = job.id.str();
    EXPECT_EQ(job.run_count, ended_by_job[id]) << id;
    if (told.planned.contains(id))
      EXPECT_GT(to_ms(job.next_slot.value()), told.planned.at(id)) << id;
    if (told.revisions.contains(id)) EXPECT_GE(job.revision, told.revisions.at(id)) << id;
    // Every slot up to the next one has exactly one outcome.
    Instant slot = script_start();
    auto slots = must(s.list_slots({.workspace = job.workspace,
                                    .job = job.id,
                                    .since = {},
                                    .until = {},
                                    .page = everything()}))
                     .items;
    for (auto it = slots.rbegin(); it != slots.rend(); ++it) {
      EXPECT_EQ(it->first, slot) << id;
      slot = it->last + 1min;
    }
    EXPECT_EQ(job.next_slot, slot) << id << ": the plan was applied in part";
  }
  EXPECT_TRUE(told.revisions.empty() ||
              must(s.list_jobs({.page = everything()})).total >= std::ssize(told.revisions));
}

void check_fences_grow(store::Store& s, const Acknowledged& told) {
  const auto lease = must(s.acquire_leader(OwnerId("checker"), Millis(8000)));
  ASSERT_TRUE(lease);
  EXPECT_GT(value(lease->fence), told.leader_fence);
  for (const auto& c : must(s.claim_runs({.owner = OwnerId("checker"), .max = 10})).runs) {
    EXPECT_GT(value(c.run.fence), told.run_fence);
    const auto back = store::contract::end_of(c, RunState::Failed);
    EXPECT_TRUE(must(s.finish_attempts({&back, 1})).at(0));
  }
  must(s.release_leader(*lease));
}

}  // namespace tidegate::crash
