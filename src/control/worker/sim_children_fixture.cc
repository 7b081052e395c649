#include "control/worker/sim_children_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

namespace tidegate::worker::testing {
namespace {

std::uint64_t number(launch::LaunchId id) { return static_cast<std::uint64_t>(id); }

}  // namespace

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
  const Millis first = script.acts ? Millis(0) : script.runs_for;
  children_[id] = {.script = script,
                   .run = request.run,
                   .ends_at = now + first,
                   .progress_at = now + script.progress_every};
  return launch::LaunchId{id};
}

void FakeLauncher::renew(launch::LaunchId id, BootInstant until) { leases_[number(id)] = until; }

void FakeLauncher::cancel(launch::LaunchId id) {
  calls_.push_back(fmt::format("cancel {}", number(id)));
  const auto at = children_.find(number(id));
  if (at == children_.end() || !at->second.script.obeys_cancel) return;
  if (at->second.script.acts) {
    at->second.cancelled = true;
    at->second.ends_at = std::min(at->second.ends_at, clock_.boot_now());
    return;
  }
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

void FakeLauncher::crash() {
  children_.clear();
  events_.clear();
}

bool FakeLauncher::crash_child() {
  if (children_.empty()) return false;
  end(children_.begin()->first, SIGSEGV, std::nullopt);
  return true;
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

void FakeLauncher::act(std::uint64_t id) {
  ChildState& child = children_.at(id);
  const BootInstant now = clock_.boot_now();
  ChildAct act =
      child.script.acts({.now = now, .lease_until = leases_.at(id), .cancelled = child.cancelled});
  for (protocol::Event& event : act.says) {
    events_.push_back({launch::LaunchId{id}, std::move(event)});
  }
  if (act.ends) return end(id, act.signal, std::move(act.result));
  child.ends_at = now + std::max(act.wait, Millis(1));
}

void FakeLauncher::live() {
  const BootInstant now = clock_.boot_now();
  std::vector<std::uint64_t> due;
  for (auto& [id, child] : children_) {
    const Millis every = child.script.progress_every;
    if (every > Millis(0) && child.progress_at <= now && child.ends_at > now) {
      if (child.script.progresses || child.rows == 0) ++child.rows;
      events_.push_back({launch::LaunchId{id}, protocol::Event(protocol::Progress{
                                                   .entity = "a", .rows_read = child.rows})});
      child.progress_at = now + every;
    }
    if (child.ends_at <= now) due.push_back(id);
  }
  for (const std::uint64_t id : due) {
    if (children_.at(id).script.acts) {
      act(id);
      continue;
    }
    const Script script = children_.at(id).script;
    end(id, script.signal,
        script.signal != 0 ? std::nullopt : std::optional<protocol::RunResult>(script.result));
  }
}

std::vector<launch::LaunchEvent> FakeLauncher::poll() {
  if (!frozen) live();
  return std::exchange(events_, {});
}

std::optional<BootInstant> FakeLauncher::next_due() const {
  std::optional<BootInstant> next;
  if (frozen) return next;
  const auto consider = [&](BootInstant at) { next = next ? std::min(*next, at) : at; };
  for (const auto& [id, child] : children_) {
    consider(child.ends_at);
    if (child.script.progress_every > Millis(0)) consider(child.progress_at);
  }
  return next;
}

std::vector<FakeLauncher::Living> FakeLauncher::living() const {
  std::vector<Living> all;
  for (const auto& [id, child] : children_) all.push_back({child.run, leases_.at(id)});
  return all;
}

}  // namespace tidegate::worker::testing
