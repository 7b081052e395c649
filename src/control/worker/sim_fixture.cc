#include "control/worker/sim_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/store/memory/memory_store.h"

namespace tidegate::worker::testing {
namespace {

model::Connection connection(const WorkspaceId& ws, model::ConnectionKind kind, Instant now) {
  model::Connection c;
  c.workspace = ws;
  c.kind = kind;
  c.name = model::kConnectionKindNames[static_cast<std::size_t>(kind)];
  c.id = ConnectionId(c.name);
  c.type = "file";
  c.config = {{"path", "/data"}, {"password", {{"$sealed", "v1.x"}}}};
  c.created_at = c.updated_at = now;
  return c;
}

}  // namespace

// ---- SimWorker

SimWorker::SimWorker(FaultyStore& store, VirtualClock& clock, Rng& rng, const ScriptFor& script,
                     const EndpointResolver& resolve, const WorkerOptions& worker_options)
    : options(worker_options),
      id(new_id<OwnerId>(clock, rng)),
      launcher(clock, script),
      leader(store, clock, rng, id, options),
      claims(
          store, table, launcher, clock, id, resolve,
          [this] { return options.executors == Executors::All || leader.leading(); }, options),
      keeper(store, table, launcher, clock, id, options),
      supervisor(table, launcher, clock, rng, options),
      finisher(store, table, clock, options) {
  lead.step = [this] { return options.plans ? leader.step() : options.reread; };
  execute.step = [this] { return execute_step(); };
  keep.step = [this] {
    const LeaseKeeper::Step step = keeper.step();
    execute.woken = execute.woken || step.changed;
    return step.wait;
  };
  write_logs.step = [this] {
    const Finisher::Step step = finisher.log_step();
    execute.woken = execute.woken || step.changed;
    return step.wait;
  };
  subscription = store.watch([this](const store::Change& change) { on_change(change); });
}

// As worker.cc does.
void SimWorker::on_change(const store::Change& change) {
  if (dead) return;
  if (change.kind == store::ChangeKind::Job) {
    lead.woken = execute.woken = true;
    claims.hint();
  } else if (change.kind == store::ChangeKind::Run) {
    claims.hint();
    execute.woken = true;
    const std::lock_guard lock(table.mutex);
    if (!change.id.empty() && !table.runs.contains(RunId(change.id))) return;
    keeper.hint(change.id);
    keep.woken = true;
  }
}

Millis SimWorker::execute_step() {
  if (std::exchange(stops_children, false)) supervisor.drain();
  Millis wait = supervisor.step();
  wait = std::min(wait, finisher.finish_step().wait);
  wait = std::min(wait, claims.step());
  const std::lock_guard lock(table.mutex);
  for (const auto& [run_id, run] : table.runs) {
    if (run.end && !run.log.empty()) write_logs.woken = true;
  }
  return wait;
}

int SimWorker::running() {
  const std::lock_guard lock(table.mutex);
  return static_cast<int>(table.runs.size());
}

void SimWorker::crash() {
  dead = true;
  subscription.reset();
  launcher.crash();
}

void SimWorker::wake() {
  claims.hint();
  for (Loop* loop : loops()) loop->woken = true;
}

void SimWorker::step() {
  for (Loop* loop : loops()) (void)loop->step();
}

// ---- Stage

SimWorker& Stage::add(std::unique_ptr<SimWorker> worker) {
  workers_.push_back(std::move(worker));
  return *workers_.back();
}

void Stage::at(Millis when, std::function<void()> act) {
  timers_.emplace(std::max(when, passed()), std::move(act));
}

bool Stage::act(SimWorker& worker) {
  bool acted = false;
  const auto child = worker.launcher.next_due();
  if (child && *child <= worker.launcher.boot_now()) {
    worker.launcher.live();
    acted = true;
    if (looks) looks(worker);
  }
  if (worker.launcher.has_events()) worker.execute.woken = true;
  for (SimWorker::Loop* loop : worker.loops()) {
    if (worker.frozen || worker.dead) break;
    if (loop->busy || (!loop->woken && loop->wake_at > passed())) continue;
    loop->woken = false;
    loop->busy = true;
    const Millis wait = loop->step();
    loop->busy = false;
    loop->wake_at = passed() + wait;
    acted = true;
    if (looks) looks(worker);
  }
  return acted;
}

bool Stage::act() {
  bool acted = false;
  while (!timers_.empty() && timers_.begin()->first <= passed() && stuck_.empty()) {
    auto timer = timers_.extract(timers_.begin());
    timer.mapped()();
    acted = true;
  }
  // By index: what acts may add a worker.
  for (std::size_t i = 0; i < workers_.size() && stuck_.empty(); ++i) {
    if (!workers_[i]->dead) acted = act(*workers_[i]) || acted;
  }
  return acted;
}

Millis Stage::next_due(Millis end) const {
  Millis next = timers_.empty() ? end : std::min(end, timers_.begin()->first);
  for (const auto& worker : workers_) {
    if (worker->dead) continue;
    if (const auto child = worker->launcher.next_due()) {
      next = std::min(next, passed() + (*child - worker->launcher.boot_now()));
    }
    if (worker->frozen) continue;
    for (const SimWorker::Loop* loop : worker->loops()) {
      if (!loop->busy) next = std::min(next, loop->woken ? passed() : loop->wake_at);
    }
  }
  return next;
}

void Stage::run_until(Millis end) {
  constexpr int kMostAtOnce = 10'000;
  while (passed() < end && stuck_.empty()) {
    if (act()) {
      // It would hang the server too.
      if (++at_this_instant_ > kMostAtOnce) {
        stuck_ = "a step repeats itself without end at " + format_utc(clock_.now());
      }
      continue;
    }
    const Millis next = std::max(next_due(end), passed() + Millis(1));
    at_this_instant_ = 0;
    clock_.advance(std::min(next, end) - passed());
  }
}

// ---- Simulation

Simulation::Simulation()
    : start_(*parse_rfc3339("2026-11-23T12:00:00Z")),
      clock_(start_),
      store_(store::make_memory_store(clock_)),
      resolve_([](const model::Connection& c) -> Result<protocol::Endpoint> {
        return protocol::Endpoint{c.type, {{"path", "/data"}, {"password", "canary-secret"}}};
      }) {
  options_.max_concurrent_runs = 8;
  ws_ = store_.find_workspace("default")->id;
  for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
    EXPECT_TRUE(store_.create_connection(connection(ws_, kind, start_), {}));
  }
}

SimWorker& Simulation::add_worker(VirtualClock& clock) {
  return stage_.add(std::make_unique<SimWorker>(store_, clock, rng_, script_, resolve_, options_));
}

void Simulation::run_for(Millis span) {
  stage_.run_until(stage_.passed() + span);
  EXPECT_EQ(stage_.stuck(), "");
}

JobId Simulation::add_job(Seconds interval, const std::function<void(model::SyncJob&)>& change) {
  model::SyncJob job;
  job.id = JobId(fmt::format("job-{}", ++jobs_));
  job.workspace = ws_;
  job.spec.name = job.id.str();
  job.spec.source_id = ConnectionId("source");
  job.spec.destination_id = ConnectionId("destination");
  job.spec.schedule = model::EverySchedule{interval, clock_.now()};
  job.spec.retry.jitter = false;
  job.created_at = job.updated_at = clock_.now();
  job.next_slot = clock_.now() + interval;
  if (change) change(job);
  auto created = store_.create_job(job, {});
  EXPECT_TRUE(created) << describe(created.error());
  return job.id;
}

std::vector<model::Run> Simulation::runs(const JobId& job) {
  auto listed = store_.list_runs(
      {.workspace = ws_, .job = job, .oldest_first = true, .page = {.limit = 1000}});
  EXPECT_TRUE(listed);
  return listed ? listed->items : std::vector<model::Run>{};
}

model::SyncJob Simulation::job(const JobId& id) {
  auto job = store_.get_job(ws_, id);
  EXPECT_TRUE(job);
  return job.value_or(model::SyncJob{});
}

std::string Simulation::outcomes(const JobId& job) {
  std::string text;
  for (const model::Run& run : runs(job)) {
    if (!text.empty()) text += ' ';
    text += model::kRunStateNames[static_cast<std::size_t>(run.state)];
  }
  return text;
}

std::vector<model::LedgerEntry> Simulation::ledger(const JobId& job) {
  auto listed = store_.list_slots({.workspace = ws_, .job = job, .page = {.limit = 1000}});
  EXPECT_TRUE(listed);
  if (!listed) return {};
  std::ranges::reverse(listed->items);
  return listed->items;
}

RunId Simulation::trigger(const JobId& job) {
  const RunId id = new_id<RunId>(clock_, rng_);
  auto run = store_.trigger_run({.workspace = ws_, .job = job, .run = id, .triggered_by = "test"});
  EXPECT_TRUE(run);
  return id;
}

}  // namespace tidegate::worker::testing
