// The faults of a life: in calls of the store, of processes, machines and the change feed.

#include <algorithm>
#include <array>

#include "tests/sim/world.h"

namespace tidegate::sim {

using worker::testing::Fault;
using worker::testing::SimWorker;

namespace {

constexpr Millis kOneHour{3'600'000};

bool is_of_leader_loop(std::string_view method) {
  return method == "acquire_leader" || method == "renew_leader" || method == "due_jobs" ||
         method == "apply_plan" || method == "expired_runs";
}

}  // namespace

void World::anywhen(int times, const Act& act) {
  for (int i = 0; i < times; ++i) stage_.at(some(Millis(0), faults_end_ - Millis(1)), act);
}

World::Process* World::any_process() {
  std::vector<Process*> living;
  for (Process& p : processes_) {
    if (!p.worker->dead) living.push_back(&p);
  }
  return living.empty() ? nullptr : living[rng_.below(living.size())];
}

void World::plan_faults() {
  const auto to_any = [this](void (World::*what)(Process&)) {
    return [this, what] {
      if (Process* p = any_process()) (this->*what)(*p);
    };
  };
  anywhen(scenario_.worker_crashes, to_any(&World::crash));
  anywhen(scenario_.drains, to_any(&World::drain));
  anywhen(scenario_.child_crashes, [this] {
    Process* p = any_process();
    if (p != nullptr && p->worker->launcher.crash_child()) report_.bite(FaultKind::ChildCrash);
  });
  anywhen(scenario_.pauses, [this] {
    if (Process* p = any_process()) freeze(*p, !one_in(rng_, 3));
  });
  anywhen(scenario_.steps, [this] {
    Process* p = any_process();
    if (p == nullptr) return;
    p->clock.step_wall(one_in(rng_, 2) ? kOneHour : -kOneHour);
    report_.bite(FaultKind::ClockStep);
  });
  anywhen(scenario_.outages, [this] {
    away_until_ = std::max(away_until_, passed() + some(Millis(200), Seconds(30)));
  });
}

// ---- calls

Fault World::call_fault() {
  const CallFaults& calls = scenario_.calls;
  auto roll = static_cast<int>(rng_.below(1'000));
  const auto hits = [&roll](int rate) { return (roll -= rate) < 0; };
  if (hits(calls.before)) {
    report_.bite(FaultKind::ErrorBefore);
    return Fault::Before;
  }
  if (hits(calls.after)) {
    report_.bite(FaultKind::ErrorAfter);
    return Fault::After;
  }
  if (hits(calls.late)) {
    report_.bite(FaultKind::LateEffect);
    return Fault::Late;
  }
  return Fault::None;
}

Fault World::gate(Process& p, std::string_view method) {
  if (p.worker->dead) return Fault::Before;
  const bool plans = method == "apply_plan" || method == "release_orphans";
  if (plans && store_->lease_of_leader(p.worker->id) <= passed()) {
    violation("a leader sends " + std::string(method) + " although its lease has ended");
  }
  // When it is sent: one that has been under way since before the outage is not the leader's fault.
  if (method == "release_orphans" && passed() < p.no_orphans_before) {
    violation(
        "a leader calls runs orphans right after the store had been away: their workers "
        "could not renew");
  }
  if (method == "claim_runs" && p.clock.now() != clock_.now()) report_.bite(FaultKind::Skew);
  pass_time(p);
  if (p.worker->dead) return Fault::Before;
  Fault fault = Fault::None;
  if (passed() < away_until_) {
    report_.bite(FaultKind::Outage);
    fault = Fault::Before;
  } else if (faulty()) {
    fault = call_fault();
  }
  if (is_of_leader_loop(method)) {
    p.leader_call_fails = fault != Fault::None;
    if (p.leader_call_fails && fault != Fault::After) note_failure(p);
  }
  return fault;
}

// After an outage that lasted, a leader calls nothing an orphan for the time of one lease.
bool World::answer(Process& p, std::string_view method) {
  pass_time(p);
  if (p.worker->dead) return false;
  if (is_of_leader_loop(method)) {
    if (p.leader_call_fails) {  // its answer is lost
      note_failure(p);
      return true;
    }
    if (p.failing_since && passed() - *p.failing_since >= scenario_.options.run_renew) {
      p.no_orphans_before = passed() + scenario_.options.run_ttl;
    }
    p.failing_since.reset();
  } else if (method == "now") {  // perhaps asked by the leader loop
    p.failing_since.reset();
  }
  return true;
}

void World::note_failure(Process& p) {
  if (!p.failing_since) p.failing_since = passed();
}

// On the way to the store, or back.
void World::pass_time(Process& p) {
  if (!faulty()) return;
  if (rng_.below(1'000) < static_cast<std::uint64_t>(scenario_.calls.pause)) {
    report_.bite(FaultKind::PauseInCall);
    freeze(p, one_in(rng_, 2));
  }
  Millis until = passed();
  if (rng_.below(1'000) < static_cast<std::uint64_t>(scenario_.calls.delay)) {
    report_.bite(FaultKind::Delay);
    until += one_in(rng_, 10) ? some(Millis(500), Seconds(9)) : some(Millis(1), Millis(400));
  }
  wait_until(p, until);
}

// All others go on. A worker that is stopped meanwhile gets no answer before it goes on.
void World::wait_until(Process& p, Millis until) {
  until = std::min(until, faults_end_);
  while (passed() < until && stage_.stuck().empty()) stage_.run_until(until);
  while (p.worker->frozen && !p.worker->dead && passed() < faults_end_ && stage_.stuck().empty()) {
    stage_.run_until(std::min(p.thaws_at + Millis(1), faults_end_));
  }
}

// ---- processes

void World::freeze(Process& p, bool children) {
  SimWorker& worker = *p.worker;
  if (worker.frozen || worker.dead) return;
  if (worker.running() > 0) {
    report_.bite(children ? FaultKind::Pause : FaultKind::PauseButNotChild);
  }
  worker.frozen = true;
  worker.launcher.frozen = children;
  // Up to more than twice a lease.
  p.thaws_at = std::min(passed() + some(Millis(100), 2 * scenario_.options.run_ttl + Seconds(6)),
                        faults_end_);
  stage_.at(p.thaws_at, [&worker] {
    worker.frozen = worker.launcher.frozen = false;
    worker.wake();
  });
}

void World::crash(Process& p) {
  if (p.worker->running() > 0) report_.bite(FaultKind::WorkerCrash);
  p.worker->crash();
  if (one_in(rng_, 4)) return;
  stage_.at(passed() + some(Millis(100), Seconds(20)), [this, &p] {
    if (faulty()) start_process(p.clock);
  });
}

// As Worker::stop() does; another process takes its place.
void World::drain(Process& p) {
  SimWorker& worker = *p.worker;
  if (worker.frozen || worker.lead.busy) return;
  if (worker.running() > 0) report_.bite(FaultKind::Drain);
  worker.lead.busy = true;  // the loop has ended
  worker.leader.release();
  {
    const std::lock_guard lock(worker.table.mutex);
    worker.table.draining = true;
  }
  const Millis stops_at = passed() + some(Millis(0), Seconds(10));
  stage_.at(stops_at, [&worker] { worker.stops_children = worker.execute.woken = true; });
  stage_.at(stops_at + Seconds(25), [&worker] { worker.crash(); });
  start_process(p.clock);
}

// ---- the change feed

void World::feed(const store::Change& change, const store::ChangeHandler& handler) {
  if (!faulty()) return handler(change);
  const auto hits = [this](int rate) {
    return rng_.below(1'000) < static_cast<std::uint64_t>(rate);
  };
  if (hits(scenario_.lost)) return report_.bite(FaultKind::WatchLost);
  if (hits(scenario_.twice)) {
    report_.bite(FaultKind::WatchTwice);
    handler(change);
  }
  if (!hits(scenario_.late)) return handler(change);
  report_.bite(FaultKind::WatchLate);
  stage_.at(passed() + some(Millis(1), Seconds(8)), [change, handler] { handler(change); });
}

}  // namespace tidegate::sim
