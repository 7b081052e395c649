#include "control/launch/engine_launcher.h"

#include <fmt/format.h>

#include <csignal>
#include <map>
#include <utility>

#include "protocol/arguments.h"

namespace tidegate::launch {
namespace {

// A child that logs without end must not fill the server's memory while nobody polls.
constexpr std::size_t kMaxQueuedLogLines = 20'000;

}  // namespace

struct EngineLauncher::Queue {
  std::mutex mutex;
  std::vector<LaunchEvent> events;            // guarded by mutex
  std::size_t log_lines = 0;                  // in events; guarded by mutex
  std::map<LaunchId, std::uint64_t> dropped;  // log lines by launch; guarded by mutex
  std::function<void()> ready;                // guarded by mutex

  void push(LaunchId id, std::variant<protocol::Event, Exit> what) {
    const std::lock_guard lock(mutex);
    const auto* event = std::get_if<protocol::Event>(&what);
    const bool is_log = event != nullptr && std::holds_alternative<protocol::LogLine>(*event);
    if (is_log && log_lines >= kMaxQueuedLogLines) {
      ++dropped[id];
      return;
    }
    if (is_log) ++log_lines;
    events.push_back({id, std::move(what)});
    if (ready) ready();
  }

  std::vector<LaunchEvent> take() {
    const std::lock_guard lock(mutex);
    std::vector<LaunchEvent> result;
    result.swap(events);
    log_lines = 0;
    for (const auto& [id, lines] : dropped) {
      result.push_back(
          {id, protocol::Event(protocol::LogLine{
                   .level = LogLevel::Warn,
                   .message = fmt::format("{} log lines were dropped: they came faster "
                                          "than they can be kept",
                                          lines),
                   .entity = {}})});
    }
    dropped.clear();
    return result;
  }
};

EngineLauncher::EngineLauncher(ChildHost& host) : host_(host), queue_(std::make_shared<Queue>()) {}

LaunchId EngineLauncher::start(const protocol::Request& request) {
  return host_.launch(protocol::arguments_of(request.run).encode(), protocol::encode(request),
                      [queue = queue_](LaunchId id, std::variant<protocol::Event, Exit> what) {
                        queue->push(id, std::move(what));
                      });
}

void EngineLauncher::renew(LaunchId id, BootInstant until) {
  host_.send(id, protocol::encode(protocol::Control(protocol::LeaseRenewed{until})));
}
void EngineLauncher::cancel(LaunchId id) {
  host_.send(id, protocol::encode(protocol::Control(protocol::CancelRequested{})));
}
void EngineLauncher::terminate(LaunchId id) { host_.signal(id, SIGTERM); }
void EngineLauncher::kill(LaunchId id) { host_.signal(id, SIGKILL); }
std::vector<LaunchEvent> EngineLauncher::poll() { return queue_->take(); }

void EngineLauncher::on_ready(std::function<void()> ready) {
  const std::lock_guard lock(queue_->mutex);
  queue_->ready = std::move(ready);
}

}  // namespace tidegate::launch
