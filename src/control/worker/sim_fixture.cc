#include "control/worker/sim_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "control/store/memory/memory_store.h"

namespace tidegate::worker::testing {
namespace {

std::uint64_t number(launch::LaunchId id) { return static_cast<std::uint64_t>(id); }

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

// ---- FakeLauncher

launch::LaunchId FakeLauncher::start(const protocol::Request& request) {
  const std::uint64_t id = ++last_;
  Script script = script_(request);
  requests_.push_back(request);
  calls_.push_back(fmt::format("start {}", id));
  leases_[id] = request.run.lease_until.value_or(BootInstant{});
  if (script.not_started) {
    events_.push_back({launch::LaunchId{id}, launch::Exit{.not_started = script.not_started}});
    return launch::LaunchId{id};
  }
  const BootInstant now = clock_.boot_now();
  events_.push_back({launch::LaunchId{id}, protocol::Event(protocol::Started{})});
  for (const protocol::Event& event : script.says) events_.push_back({launch::LaunchId{id}, event});
  children_[id] = {.script = script,
                   .ends_at = now + script.runs_for,
                   .progress_at = now + script.progress_every};
  return launch::LaunchId{id};
}

void FakeLauncher::renew(launch::LaunchId id, BootInstant until) { leases_[number(id)] = until; }

void FakeLauncher::cancel(launch::LaunchId id) {
  calls_.push_back(fmt::format("cancel {}", number(id)));
  const auto at = children_.find(number(id));
  if (at == children_.end() || !at->second.script.obeys_cancel) return;
  protocol::RunResult result;
  result.code = protocol::ExitCode::Cancelled;
  result.error_kind = "cancelled";
  end(number(id), 0, result);
}

void FakeLauncher::terminate(launch::LaunchId id) {
  calls_.push_back(fmt::format("term {}", number(id)));
  const auto at = children_.find(number(id));
  if (at != children_.end() && at->second.script.obeys_term) end(number(id), SIGTERM, std::nullopt);
}

void FakeLauncher::kill(launch::LaunchId id) {
  calls_.push_back(fmt::format("kill {}", number(id)));
  if (children_.contains(number(id))) end(number(id), SIGKILL, std::nullopt);
}

void FakeLauncher::end(std::uint64_t id, int signal, std::optional<protocol::RunResult> result) {
  int code = 0;
  if (result) {
    code = static_cast<int>(result->code);
    events_.push_back({launch::LaunchId{id}, protocol::Event(std::move(*result))});
  }
  events_.push_back({launch::LaunchId{id}, launch::Exit{.code = code, .signal = signal}});
  children_.erase(id);
}

std::vector<launch::LaunchEvent> FakeLauncher::poll() {
  const BootInstant now = clock_.boot_now();
  std::vector<std::uint64_t> ended;
  for (auto& [id, child] : children_) {
    const Millis every = child.script.progress_every;
    if (every > Millis(0) && child.progress_at <= now && child.ends_at > now) {
      if (child.script.progresses || child.rows == 0) ++child.rows;
      events_.push_back({launch::LaunchId{id}, protocol::Event(protocol::Progress{
                                                   .entity = "a", .rows_read = child.rows})});
      child.progress_at = now + every;
    }
    if (child.ends_at <= now) ended.push_back(id);
  }
  for (const std::uint64_t id : ended) {
    const Script script = children_.at(id).script;
    end(id, script.signal,
        script.signal != 0 ? std::nullopt : std::optional<protocol::RunResult>(script.result));
  }
  return std::exchange(events_, {});
}

std::optional<BootInstant> FakeLauncher::next_event() const {
  std::optional<BootInstant> next;
  const auto consider = [&](BootInstant at) { next = next ? std::min(*next, at) : at; };
  if (!events_.empty()) consider(clock_.boot_now());
  for (const auto& [id, child] : children_) {
    consider(child.ends_at);
    if (child.script.progress_every > Millis(0)) consider(child.progress_at);
  }
  return next;
}

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
      finisher(store, table, clock, options),
      wake_at(clock.boot_now()) {
  subscription = store.watch([this](const store::Change& change) {
    hinted = true;
    claims.hint();
    if (change.kind == store::ChangeKind::Run) keeper.hint(change.id);
  });
}

void SimWorker::crash() {
  dead = true;
  subscription.reset();
  launcher.crash();
}

Millis SimWorker::step() {
  hinted = false;
  Millis wait = options.plans ? leader.step() : options.reread;
  wait = std::min(wait, supervisor.step());
  wait = std::min(wait, finisher.log_step().wait);
  wait = std::min(wait, finisher.finish_step().wait);
  wait = std::min(wait, claims.step());
  const LeaseKeeper::Step kept = keeper.step();
  return kept.changed ? kAtOnce : std::min(wait, kept.wait);
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

SimWorker& Simulation::add_worker() {
  workers_.push_back(
      std::make_unique<SimWorker>(store_, clock_, rng_, script_, resolve_, options_));
  return *workers_.back();
}

void Simulation::run_until(Instant end) {
  int at_this_instant = 0;
  while (clock_.now() < end) {
    const BootInstant now = clock_.boot_now();
    BootInstant next = now + (end - clock_.now());
    for (const auto& worker : workers_) {
      if (worker->dead) continue;
      const auto child = worker->launcher.next_event();
      if (worker->frozen) continue;
      if (worker->hinted || worker->wake_at <= now || (child && *child <= now)) {
        worker->wake_at = now + worker->step();
      }
      next = std::min(next, worker->wake_at);
      if (worker->hinted) next = now;
      if (const auto later = worker->launcher.next_event()) next = std::min(next, *later);
    }
    // A step that asks to be repeated for ever would hang the server too.
    if (next > now) {
      clock_.advance(next - now);
      at_this_instant = 0;
    } else if (++at_this_instant > 10'000) {
      FAIL() << "a step repeats itself without end at " << format_utc(clock_.now());
    }
  }
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
