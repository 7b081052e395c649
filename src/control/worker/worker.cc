#include "control/worker/worker.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/process.h"

namespace tidegate::worker {
namespace {

constexpr Millis kExecutorGap{5};       // children's events come one by one; steps take many
constexpr Millis kPruneGap{200};        // between two batches: room for the slots' writes
constexpr Millis kAbandonAfter{5'000};  // beyond the graces of a child that was killed

}  // namespace

Worker::Worker(store::Store& store, const Clock& clock, Rng& rng, launch::Launcher& launcher,
               EndpointResolver resolve, WorkerOptions options)
    : store_(store),
      clock_(clock),
      launcher_(launcher),
      resolve_(std::move(resolve)),
      options_(std::move(options)),
      id_(new_id<OwnerId>(clock, rng)),
      leader_(store, clock, rng, id_, options_),
      claims_(
          store, table_, launcher, clock, id_, resolve_,
          [this] { return options_.executors == Executors::All || leader_.leading(); }, options_),
      keeper_(store, table_, launcher, clock, id_, options_),
      supervisor_(table_, launcher, clock, rng, options_),
      finisher_(store, table_, clock, options_),
      trouble_("tell of this server", clock) {}

Worker::~Worker() { stop(); }

Status Worker::start() {
  const std::lock_guard lifecycle(lifecycle_);
  if (started_) return {};
  TG_TRY(started_at_, store_.now());
  TG_CHECK(heartbeat());
  started_ = true;
  running_ = true;
  draining_ = stop_children_ = false;
  table_.draining = false;
  executor_wake_at_ = clock_.boot_now().time_since_epoch().count();
  subscription_ = store_.watch([this](const store::Change& change) { on_change(change); });
  launcher_.on_ready([this] { executor_thread_.wake(); });
  if (options_.plans) leader_thread_.start("tg-leader", [this] { return lead(); });
  executor_thread_.start("tg-executor", [this] { return execute(); }, kExecutorGap);
  keeper_thread_.start("tg-keeper", [this] { return keep(); });
  log_thread_.start("tg-log", [this] { return write_logs(); });
  if (options_.plans) prune_thread_.start("tg-prune", [this] { return prune(); });
  return {};
}

void Worker::stop() {
  const std::lock_guard lifecycle(lifecycle_);
  if (!started_) return;
  started_ = false;
  draining_ = true;
  leader_thread_.stop();
  if (options_.plans) leader_.release();
  {
    const std::lock_guard lock(table_.mutex);
    table_.draining = true;
  }
  if (!wait_until_idle(options_.drain)) {
    log::info("the drain time is over: runs stop at a checkpoint and go back to the queue");
    stop_children_ = true;
    executor_thread_.wake();
    wait_until_idle(options_.cancel_grace + options_.term_grace + kAbandonAfter);
  }
  executor_thread_.stop();
  launcher_.on_ready({});
  keeper_thread_.stop();
  log_thread_.stop();
  prune_thread_.stop();
  subscription_.reset();
  supervisor_.abandon();
  running_ = false;
  if (const Status gone = store_.forget_worker(id_); !gone) {
    log::warn("this worker could not sign off", {{"error", describe(gone.error())}});
  }
}

bool Worker::wait_until_idle(Millis limit) {
  std::unique_lock lock(idle_mutex_);
  return idle_.wait_for(lock, limit, [this] {
    const std::lock_guard table(table_.mutex);
    return table_.idle();
  });
}

// ---- the threads' steps

Millis Worker::lead() { return leader_.step(); }

Millis Worker::execute() {
  if (stop_children_.exchange(false)) supervisor_.drain();
  Millis wait = supervisor_.step();
  const Finisher::Step finished = finisher_.finish_step();
  wait = std::min({wait, finished.wait, claims_.step()});
  attempts_ended_ = supervisor_.stats().attempts_ended;
  run_leases_lost_ = supervisor_.stats().leases_lost;
  bool logs = false, idle = false;
  {
    const std::lock_guard lock(table_.mutex);
    idle = table_.idle();
    for (const auto& [id, run] : table_.runs) logs = logs || (run.end && !run.log.empty());
  }
  if (logs) log_thread_.wake();
  if (idle && draining_) {
    const std::lock_guard lock(idle_mutex_);
    idle_.notify_all();
  }
  executor_wake_at_ = (clock_.boot_now() + wait).time_since_epoch().count();
  return wait;
}

Millis Worker::keep() {
  // The leases first: a heartbeat may wait for a connection that leads nowhere.
  const LeaseKeeper::Step step = keeper_.step();
  if (step.changed) executor_thread_.wake();
  if (const BootInstant now = clock_.boot_now(); now >= heartbeat_at_) {
    heartbeat_at_ = now + options_.heartbeat;
    trouble_.note(heartbeat());
  }
  return std::clamp(heartbeat_at_ - clock_.boot_now(), kAtOnce, step.wait);
}

Millis Worker::write_logs() {
  const Finisher::Step step = finisher_.log_step();
  if (step.changed) executor_thread_.wake();
  return step.wait;
}

// One bounded batch at a time, by the leader. On a thread that nothing waits for: the end of a run
// waits for its log, and a removal may take long.
Millis Worker::prune() {
  if (!leader_.leading()) return options_.prune_interval;
  auto wall = store_.now();
  auto removed =
      wall ? store_.prune(options_.retention, *wall) : Result<std::size_t>(fail(wall.error()));
  if (!removed) {
    log::warn("old runs could not be removed", {{"error", describe(removed.error())}});
    return options_.prune_interval;
  }
  rows_pruned_ += *removed;
  return *removed > 0 ? kPruneGap : options_.prune_interval;
}

Status Worker::heartbeat() {
  static const auto pid_start = static_cast<std::int64_t>(process_start(getpid()).value_or(0));
  static const std::string boot_id = read_boot_id();
  const WorkerHealth now = health();
  model::WorkerInfo info;
  info.id = id_;
  info.host = options_.host;
  info.boot_id = boot_id;
  info.pid = getpid();
  info.pid_start = pid_start;
  info.version = options_.version;
  info.leader = now.leading;
  info.draining = now.draining;
  info.running = now.running;
  info.capacity = now.capacity;
  info.started_at = started_at_;
  info.secret_keys = options_.secret_keys;
  return store_.heartbeat(info);
}

// ---- changes

void Worker::on_change(const store::Change& change) {
  if (change.kind == store::ChangeKind::Job) {
    leader_thread_.wake();
    claims_.hint();  // a pause may have ended
    executor_thread_.wake();
  } else if (change.kind == store::ChangeKind::Run) {
    claims_.hint();
    executor_thread_.wake();
    bool held = change.id.empty();
    if (!held) {
      const std::lock_guard lock(table_.mutex);
      held = table_.runs.contains(RunId(change.id));
    }
    if (!held) return;
    keeper_.hint(change.id);
    keeper_thread_.wake();
  }
}

void Worker::wake() {
  claims_.hint();
  leader_thread_.wake();
  executor_thread_.wake();
  keeper_thread_.wake();
}

// A store that answers but takes nothing from this worker.
std::string Worker::store_trouble() const {
  for (const StoreTrouble* trouble :
       {&claims_.trouble(), &keeper_.trouble(), &finisher_.trouble(), &trouble_}) {
    if (std::string why = trouble->lasting(options_.frozen_after); !why.empty()) return why;
  }
  return {};
}

WorkerHealth Worker::health() const {
  WorkerHealth health{.draining = draining_, .capacity = options_.max_concurrent_runs};
  {
    const std::lock_guard lock(table_.mutex);
    health.running = static_cast<int>(table_.runs.size());
  }
  const PlannerHealth planner = leader_.health();
  health.leading = options_.plans && planner.leading;
  const BootInstant executor_at{Millis(executor_wake_at_.load())};
  if (!running_) {
    health.reason = "the worker is not running";
  } else if (draining_) {
    health.reason = "the worker is draining";
  } else if (options_.plans && !planner.ready) {
    health.reason = planner.reason;
  } else if (clock_.boot_now() - executor_at > options_.frozen_after) {
    health.reason = "the executor gives no sign of life";
  } else {
    health.reason = store_trouble();
    health.ready = health.reason.empty();
  }
  return health;
}

WorkerStats Worker::stats() const {
  return {.planner = leader_.stats(),
          .attempts_ended = attempts_ended_,
          .run_leases_lost = run_leases_lost_,
          .rows_pruned = rows_pruned_};
}

}  // namespace tidegate::worker
