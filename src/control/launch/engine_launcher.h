#pragma once
// Launcher over real tidegate-sync processes.

#include <atomic>
#include <memory>
#include <mutex>

#include "control/launch/child_host.h"
#include "control/launch/launcher.h"

namespace tidegate::launch {

class EngineLauncher final : public Launcher {
 public:
  // REQUIRES: host is started, and stopped before this is destroyed or outlives every launch.
  explicit EngineLauncher(ChildHost& host);

  LaunchId start(const protocol::Request& request) override;
  void renew(LaunchId id, BootInstant until) override;
  void cancel(LaunchId id) override;
  void terminate(LaunchId id) override;
  void kill(LaunchId id) override;
  std::vector<LaunchEvent> poll() override;
  void on_ready(std::function<void()> ready) override;

 private:
  struct Queue;  // shared with the sinks, which may outlive this object
  ChildHost& host_;
  std::shared_ptr<Queue> queue_;
};

}  // namespace tidegate::launch
