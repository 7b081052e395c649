#pragma once
// A launcher without children.

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "control/launch/launcher.h"

namespace tidegate::bench {

// A child that has done its work as soon as it is started. Thread-safe.
class StubLauncher final : public launch::Launcher {
 public:
  using Stamp = std::chrono::system_clock::time_point;

  launch::LaunchId start(const protocol::Request& request) override {
    const Stamp now = std::chrono::system_clock::now();
    const std::lock_guard lock(mutex_);
    const launch::LaunchId id{++last_};
    started_.emplace_back(request.run.run_id, now);
    events_.push_back({id, protocol::Event(protocol::RunResult{})});
    events_.push_back({id, launch::Exit{}});
    if (ready_) ready_();
    return id;
  }
  void renew(launch::LaunchId, BootInstant) override {}
  void cancel(launch::LaunchId) override {}
  void terminate(launch::LaunchId) override {}
  void kill(launch::LaunchId) override {}
  std::vector<launch::LaunchEvent> poll() override {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }
  void on_ready(std::function<void()> ready) override {
    const std::lock_guard lock(mutex_);
    ready_ = std::move(ready);
  }
  // When each run was started.
  std::vector<std::pair<RunId, Stamp>> started() {
    const std::lock_guard lock(mutex_);
    return started_;
  }

 private:
  std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::vector<std::pair<RunId, Stamp>> started_;
  std::vector<launch::LaunchEvent> events_;
  std::function<void()> ready_;
};

}  // namespace tidegate::bench
