#include "control/worker/run_supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "control/worker/attempt_log.h"

namespace tidegate::worker {
namespace {

constexpr std::size_t kMaxBufferedLines = 5'000;  // of one run while the store does not take them
constexpr std::size_t kMaxEntities = 10'000;      // of one run's progress
constexpr Millis kDeadlineResolution{100};

void mask_end(const secrets::Masker& masker, store::AttemptEnd& end) {
  masker.mask(end.error);
  for (std::string& warning : end.warnings) masker.mask(warning);
  for (protocol::EntityResult& entity : end.entities) {
    if (entity.error) masker.mask(*entity.error);
    for (std::string& warning : entity.warnings) masker.mask(warning);
    for (std::string& change : entity.schema_changes) masker.mask(change);
  }
}

}  // namespace

RunSupervisor::RunSupervisor(RunTable& table, launch::Launcher& launcher, const Clock& clock,
                             Rng& rng, const WorkerOptions& options)
    : table_(table), launcher_(launcher), clock_(clock), rng_(rng), options_(options) {}

Millis RunSupervisor::step() {
  std::vector<launch::LaunchEvent> events = launcher_.poll();
  const std::lock_guard lock(table_.mutex);
  for (launch::LaunchEvent& event : events) {
    const auto at = table_.by_launch.find(static_cast<std::uint64_t>(event.id));
    ActiveRun* run = at == table_.by_launch.end() ? nullptr : table_.find(at->second);
    if (run == nullptr) continue;  // lost: what it still says is nobody's
    if (const auto* exit = std::get_if<launch::Exit>(&event.what)) {
      on_exit(*run, *exit);
    } else {
      on_event(*run, std::move(std::get<protocol::Event>(event.what)));
    }
  }
  const BootInstant now = clock_.boot_now();
  const bool changed = !table_.changed.empty();
  drop_lost_runs();
  if (changed || now >= next_deadline_) {
    Millis next = options_.reread;
    for (auto& [id, run] : table_.runs) next = std::min(next, check_deadlines(run, now));
    next_deadline_ = now + std::max(next, kDeadlineResolution);
  }
  return std::max(next_deadline_ - now, kAtOnce);
}

void RunSupervisor::on_event(ActiveRun& run, protocol::Event event) {
  const BootInstant now = clock_.boot_now();
  if (auto* line = std::get_if<protocol::LogLine>(&event)) return add_log(run, std::move(*line));
  if (auto* result = std::get_if<protocol::RunResult>(&event)) {
    run.result = std::move(*result);
    run.active_at = now;
  } else if (auto* state = std::get_if<protocol::StateCommitted>(&event)) {
    run.committed.emplace_back(std::move(state->entity), std::move(state->state));
    run.active_at = now;
  } else if (std::holds_alternative<protocol::Started>(event)) {
    run.active_at = now;
  } else {
    const auto* planned = std::get_if<protocol::EntityPlanned>(&event);
    const auto* progress = std::get_if<protocol::Progress>(&event);
    const std::string& name = planned ? planned->entity : progress->entity;
    if (run.progress.size() >= kMaxEntities && !run.progress.contains(name)) return;
    model::EntityProgress& entity = run.progress[name];
    const model::EntityProgress before = entity;
    if (planned) {
      entity.total_rows = planned->total_rows;
      run.active_at = now;
    } else {
      entity.rows_read = progress->rows_read;
      entity.rows_written = progress->rows_written;
      entity.bytes = progress->bytes;
      // Saying the same again is no progress: a stalled source does that too.
      if (entity != before) run.active_at = now;
    }
    run.progress_changed = run.progress_changed || entity != before || planned;
  }
}

void RunSupervisor::add_log(ActiveRun& run, protocol::LogLine line) {
  if (run.log.size() >= kMaxBufferedLines) {
    ++run.log_dropped;
    return;
  }
  if (!run.log_since) run.log_since = clock_.boot_now();
  run.masker.mask(line.message);
  run.log.push_back({.seq = 0,
                     .at = run.store_time(clock_.boot_now()),
                     .attempt = run.claimed.run.attempt,
                     .level = line.level,
                     .entity = std::move(line.entity),
                     .message = std::move(line.message)});
}

void RunSupervisor::on_exit(ActiveRun& run, const launch::Exit& exit) {
  plan::AttemptFacts facts{.stop = run.stop,
                           .result = std::move(run.result),
                           .not_started = exit.not_started,
                           .exit_code = exit.code,
                           .signal = exit.signal};
  // A service manager's SIGTERM reaches the children too, perhaps before this worker's own drain.
  if (facts.stop == plan::StopReason::None && table_.draining && !exit.not_started &&
      (exit.signal != 0 || exit.code == static_cast<int>(protocol::ExitCode::Cancelled))) {
    facts.stop = plan::StopReason::Drained;
  }
  run.end = plan::on_attempt_end(run.claimed.run, *run.claimed.spec, facts, rng_);
  run.end->held = run.held();
  run.end->took = clock_.boot_now() - run.started_at;
  mask_end(run.masker, *run.end);
  if (auto line = another_follows(run.claimed.run, *run.end, run.store_time(clock_.boot_now()))) {
    run.log.push_back(std::move(*line));
  }
  ++stats_.attempts_ended;
}

void RunSupervisor::drop_lost_runs() {
  for (const RunId& id : std::exchange(table_.changed, {})) {
    ActiveRun* run = table_.find(id);
    if (run == nullptr || !run->lost) continue;
    log::warn("a run's lease was lost: its process is killed, nothing more is written",
              {{"run", id.str()}, {"job", run->claimed.run.job.str()}});
    ++stats_.leases_lost;
    if (!run->end) launcher_.kill(run->launch);
    table_.remove(id);
  }
}

std::optional<BootInstant> RunSupervisor::timeout_at(const ActiveRun& run) const {
  const auto& timeout = run.claimed.spec->timeout;
  if (!timeout) return std::nullopt;
  return run.started_at + std::max(Millis(0), *timeout - model::run_time(run.claimed.run));
}

Millis RunSupervisor::check_deadlines(ActiveRun& run, BootInstant now) {
  if (run.end) return options_.reread;
  const Millis stall = run.claimed.spec->stall_timeout;
  const auto timeout = timeout_at(run);
  if (run.stop == plan::StopReason::None) {
    if (run.claimed.run.cancel_requested) {
      stop(run, plan::StopReason::Cancelled, now);
    } else if (timeout && now >= *timeout) {
      stop(run, plan::StopReason::TimedOut, now);
    } else if (stall > Millis(0) && now >= run.active_at + stall) {
      stop(run, plan::StopReason::Stalled, now);
    }
  }
  Millis next = options_.reread;
  const auto escalate = [&](BootInstant at) {
    next = std::min(next, at - now);
    return now >= at;
  };
  if (run.stop == plan::StopReason::None) {
    if (timeout) escalate(*timeout);
    if (stall > Millis(0)) escalate(run.active_at + stall);
    return next;
  }
  if (!run.terminated_at && escalate(run.cancelled_at.value_or(now) + options_.cancel_grace)) {
    launcher_.terminate(run.launch);
    run.terminated_at = now;
    next = options_.term_grace;
  }
  if (run.terminated_at && !run.killed && escalate(*run.terminated_at + options_.term_grace)) {
    launcher_.kill(run.launch);
    run.killed = true;
    next = options_.reread;
  }
  return next;
}

void RunSupervisor::stop(ActiveRun& run, plan::StopReason why, BootInstant now) {
  run.stop = why;
  launcher_.cancel(run.launch);
  run.cancelled_at = now;
  // A child over its deadline had its time: no grace before SIGTERM.
  const bool overdue = why == plan::StopReason::TimedOut || why == plan::StopReason::Stalled;
  if (!overdue) return;
  launcher_.terminate(run.launch);
  run.terminated_at = now;
}

void RunSupervisor::drain() {
  const BootInstant now = clock_.boot_now();
  const std::lock_guard lock(table_.mutex);
  for (auto& [id, run] : table_.runs) {
    if (!run.end && run.stop == plan::StopReason::None) stop(run, plan::StopReason::Drained, now);
  }
  next_deadline_ = now;
}

void RunSupervisor::abandon() {
  const std::lock_guard lock(table_.mutex);
  for (auto& [id, run] : table_.runs) {
    if (!run.end) launcher_.kill(run.launch);
  }
  table_.runs.clear();
  table_.by_launch.clear();
}

}  // namespace tidegate::worker
