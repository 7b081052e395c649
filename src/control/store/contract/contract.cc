#include "control/store/contract/contract.h"

#include <algorithm>
#include <utility>

namespace tidegate::store::contract {

using model::ConnectionKind;
using model::SyncJob;

void StoreContract::SetUp() {
  harness_ = GetParam().make();
  base_ = now();
  ws_ = must(store().find_workspace("default")).id;
  must(store().create_connection(connection("src", ConnectionKind::Source), std::nullopt));
  must(store().create_connection(connection("dst", ConnectionKind::Destination), std::nullopt));
}

model::Connection StoreContract::connection(const std::string& id, ConnectionKind kind) const {
  model::Connection c;
  c.id = ConnectionId(id);
  c.workspace = ws_;
  c.kind = kind;
  c.name = "name of " + id;
  c.type = "sqlite";
  c.config = {{"path", "out.db"}, {"deep", {{"list", {1, 2, 3}}}}};
  c.created_at = c.updated_at = base_;
  c.created_by = "tester";
  return c;
}

SyncJob StoreContract::job(const std::string& id) const {
  SyncJob j;
  j.id = JobId(id);
  j.workspace = ws_;
  j.spec.name = "name of " + id;
  j.spec.source_id = ConnectionId("src");
  j.spec.destination_id = ConnectionId("dst");
  j.spec.schedule = model::EverySchedule{.every = Millis(60'000), .anchor = std::nullopt};
  j.spec.entities["orders"].cursor = "updated_at";
  j.spec.labels["team"] = "data";
  j.created_by = "tester";
  j.created_at = j.updated_at = base_;
  j.next_slot = base_;
  return j;
}

JobId StoreContract::add(const SyncJob& job) {
  return must(store().create_job(job, std::nullopt)).id;
}

LeaderLease StoreContract::leader() {
  if (!lease_) lease_ = must(store().acquire_leader(OwnerId("leader"), Millis(8000)));
  return *lease_;
}

PlanStep StoreContract::step(const JobId& id) {
  const SyncJob j = reread(id);
  PlanStep s;
  s.job = id;
  s.expected_revision = j.revision;
  s.expected_next_slot = j.next_slot;
  s.next_slot = j.next_slot.value_or(base_) + std::chrono::minutes(1);
  return s;
}

void StoreContract::plan(const JobId& id, std::initializer_list<Instant> slots) {
  for (const Instant slot : slots) {
    PlanStep s = step(id);
    s.next_slot = slot + std::chrono::minutes(1);
    s.runs.push_back(
        {RunId(id.str() + "@" + format_utc(slot)), slot, model::Trigger::Schedule, slot});
    const auto results = must(store().apply_plan(leader(), {&s, 1}));
    ASSERT_EQ(results, std::vector{PlanResult::Applied});
  }
}

RunId StoreContract::trigger(const JobId& id, const std::string& run) {
  TriggerRun t;
  t.workspace = ws_;
  t.job = id;
  t.run = RunId(run);
  t.triggered_by = "tester";
  return must(store().trigger_run(t)).id;
}

std::vector<ClaimedRun> StoreContract::claim(const std::string& owner, std::size_t max) {
  return must(store().claim_runs({.owner = OwnerId(owner), .max = max})).runs;
}

Status StoreContract::finish(const ClaimedRun& run, model::RunState state) {
  const AttemptEnd end = end_of(run, state);
  auto results = store().finish_attempts({&end, 1});
  if (!results) return fail(results.error());
  return results->at(0);
}

model::Run StoreContract::run(const RunId& id) { return must(store().get_run(ws_, id)); }
SyncJob StoreContract::reread(const JobId& id) { return must(store().get_job(ws_, id)); }

ChangeHandler Listener::handler() {
  return [this](const Change& c) {
    const std::scoped_lock lock(mutex_);
    seen_.push_back(c);
    changed_.notify_all();
  };
}

bool Listener::wait_for(ChangeKind kind, const std::string& id) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(20), [&] {
    return std::ranges::any_of(
        seen_, [&](const Change& c) { return c.kind == kind && (c.id == id || c.id.empty()); });
  });
}

std::vector<Change> Listener::take() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(seen_, {});
}

HeldRun held(const ClaimedRun& run) { return {run.run.id, run.run.fence}; }

AttemptEnd end_of(const ClaimedRun& run, model::RunState state) {
  AttemptEnd end;
  end.held = held(run);
  end.next = state;
  end.outcome = state == model::RunState::Queued
                    ? "retry"
                    : std::string(model::kRunStateNames[static_cast<std::size_t>(state)]);
  if (state != model::RunState::Succeeded) {
    end.error_kind = model::error_kind::kTransient;
    end.error = "the source closed the connection";
  }
  return end;
}

protocol::KnownState known(std::int64_t epoch, std::int64_t sequence) {
  return {
      .destination_id = "d1", .epoch = epoch, .sequence = sequence, .state = R"({"cursor":"x"})"};
}

}  // namespace tidegate::store::contract
