#pragma once
// A tidegate-sync process of this command's own, for one request at a time.

#include <functional>
#include <string>

#include "cli/terminal.h"
#include "control/launch/child_host.h"
#include "control/launch/engine_launcher.h"
#include "protocol/protocol.h"

namespace tidegate::app {

// Not thread-safe.
class LocalEngine {
 public:
  // `engine`: the path of tidegate-sync.
  explicit LocalEngine(std::string engine) : host_(std::move(engine)), launcher_(host_) {}
  ~LocalEngine() { host_.stop(); }
  LocalEngine(const LocalEngine&) = delete;
  LocalEngine& operator=(const LocalEngine&) = delete;

  Status start() { return host_.start(); }

  // What is told while a request is answered; both may be empty.
  struct Listener {
    std::function<void(const protocol::Event&)> on_event;
    std::function<void()> on_tick;  // some times a second
    std::string on_cancel;          // for the person who pressed Ctrl-C
  };
  // Waits for the result; the first Ctrl-C cancels the request. An engine that cannot be started,
  // or ends without a result, is a result with the error.
  protocol::RunResult call(cli::Context& context, const protocol::Request& request,
                           const Listener& listener);

 private:
  launch::ChildHost host_;
  launch::EngineLauncher launcher_;
};

}  // namespace tidegate::app
