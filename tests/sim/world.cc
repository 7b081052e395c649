#include "tests/sim/world.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/store/memory/memory_store.h"

namespace tidegate::sim {

using worker::testing::SimWorker;
using worker::testing::VirtualClock;

namespace {

const Instant kStart = *parse_rfc3339("2026-11-23T12:00:00Z");

model::Connection connection(const WorkspaceId& ws, model::ConnectionKind kind,
                             const std::string& name, std::string exclusive_key) {
  model::Connection c;
  c.workspace = ws;
  c.kind = kind;
  c.name = name;
  c.id = ConnectionId(name);
  c.type = "file";
  c.exclusive_key = std::move(exclusive_key);
  c.created_at = c.updated_at = kStart;
  return c;
}

}  // namespace

World::World(std::uint64_t seed)
    : rng_(seed),
      scenario_(make_scenario(rng_)),
      clock_(kStart),
      destination_(report_),
      children_{.rng = rng_,
                .report = report_,
                .destination = destination_,
                .passed = [this] { return passed(); },
                .fails_in_100 = scenario_.child_failures},
      store_(std::make_shared<RecordingStore>(
          store::make_memory_store(clock_), report_, [this] { return passed(); },
          [this](const RunId& run, Fence fence) { return destination_.completed(run, fence); })),
      people_(store_),
      resolve_([](const model::Connection& c) -> Result<protocol::Endpoint> {
        return protocol::Endpoint{c.type, {{"path", "/data"}}};
      }) {}

void World::violation(const std::string& what) {
  report_.violation(fmt::format("at {}: {}", format_duration(passed()), what));
}

void World::build() {
  ws_ = store_->find_workspace("default")->id;
  using Kind = model::ConnectionKind;
  for (const auto& c : {connection(ws_, Kind::Source, "source", ""),
                        connection(ws_, Kind::Destination, "shared", ""),
                        connection(ws_, Kind::Destination, "one-writer", "sqlite:/data/out.db")}) {
    (void)store_->create_connection(c, {});
  }
  people_.set_gate([this](std::string_view) { return people_gate(); });
  stage_.looks = [this](SimWorker& worker) { look(worker); };
  for (int i = 0; i < scenario_.jobs; ++i) add_job();
  for (int i = 0; i < scenario_.workers; ++i) {
    const Millis skew = scenario_.skewed ? some(Seconds(-5'400), Seconds(5'400)) : Millis(0);
    start_process(VirtualClock(clock_, skew, some(Millis(0), Seconds(100'000))));
  }
}

void World::start_process(const VirtualClock& at) {
  Process& p = processes_.emplace_back(store_, at);
  p.view.set_gate([this, &p](std::string_view method) { return gate(p, method); });
  p.view.set_answer([this, &p](std::string_view method) { return answer(p, method); });
  p.view.set_later([this](Act effect) {
    stage_.at(std::min(passed() + some(Millis(1), Seconds(15)), faults_end_), std::move(effect));
  });
  p.view.set_feed([this](const store::Change& change, const store::ChangeHandler& handler) {
    feed(change, handler);
  });
  p.script = [this](const protocol::Request& request) { return child_script(children_, request); };
  p.worker = &stage_.add(
      std::make_unique<SimWorker>(p.view, p.clock, rng_, p.script, resolve_, scenario_.options));
}

// What an onlooker sees of a worker and its children.
void World::look(SimWorker& worker) {
  const auto mine = worker.launcher.living();
  if (std::ssize(mine) > worker.options.max_concurrent_runs) {
    violation(fmt::format("worker {} has {} children", worker.id.str(), mine.size()));
  }
  const auto ends_at = [this](const SimWorker& of, const worker::testing::FakeLauncher::Living& c) {
    return passed() + (c.lease_until - of.launcher.boot_now());
  };
  for (const auto& child : mine) {
    const Millis trusted = ends_at(worker, child);
    if (trusted > store_->lease_of(child.run.run_id, child.run.fence)) {
      violation(
          fmt::format("the child of run {} was told that its lease is good until {}, and the "
                      "store's ends before",
                      child.run.run_id.str(), format_duration(trusted)));
    }
    if (trusted <= passed()) continue;
    for (const auto& other : stage_.workers()) {
      for (const auto& theirs : other->launcher.living()) {
        const bool same =
            theirs.run.run_id == child.run.run_id && theirs.run.fence == child.run.fence;
        if (same || lane_of(theirs.run) != lane_of(child.run)) continue;
        if (ends_at(*other, theirs) <= passed()) continue;
        violation(fmt::format("two children of {} hold a lease that is good", lane_of(child.run)));
      }
    }
  }
}

void World::live_until(Millis end) { stage_.run_until(end); }

// Whatever is stopped goes on; who is dead stays so; somebody lives.
void World::quieten() {
  away_until_ = passed();
  children_.fails_in_100 = 0;
  bool anybody = false;
  for (Process& p : processes_) {
    SimWorker& worker = *p.worker;
    worker.frozen = worker.launcher.frozen = false;
    worker.wake();
    const std::lock_guard lock(worker.table.mutex);
    anybody = anybody || (!worker.dead && !worker.table.draining);
  }
  if (!anybody) start_process(clock_);
}

Report World::live() {
  build();
  faults_end_ = scenario_.lasts;
  plan_faults();
  anywhen(scenario_.people, [this] { do_something(); });
  live_until(faults_end_);
  quieten();
  live_until(faults_end_ + kLedWithin);
  check_leader();
  live_until(faults_end_ + kPlannedWithin);
  check_planned();
  resolve();
  if (!stage_.stuck().empty()) violation(stage_.stuck());
  check_books();
  return std::move(report_);
}

}  // namespace tidegate::sim
