#pragma once
// Starting and supervising one tidegate-sync process per attempt, as the run supervisor sees it:
// asynchronous, polled, so that the same supervisor runs under a virtual clock with a fake.

#include <cstdint>
#include <functional>
#include <optional>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "protocol/protocol.h"

namespace tidegate::launch {

enum class LaunchId : std::uint64_t {};

// The last event of a launch. Nothing of the child's process group is left when it arrives.
struct Exit {
  std::optional<Error> not_started;  // why there never was a process; the rest is then 0
  int code = 0;                      // when it exited
  int signal = 0;                    // 0: it exited by itself
};

// What the child said, in its order; its stdout and stderr arrive as protocol::LogLine.
struct LaunchEvent {
  LaunchId id{};
  std::variant<protocol::Event, Exit> what;
};

// Thread-safe. No method blocks; an id whose Exit was delivered is ignored by all of them.
class Launcher {
 public:
  virtual ~Launcher() = default;

  // A start that fails arrives as Exit::not_started.
  virtual LaunchId start(const protocol::Request& request) = 0;
  virtual void renew(LaunchId id, BootInstant until) = 0;  // the lease, told to the child
  virtual void cancel(LaunchId id) = 0;     // asks the child to stop at its next checkpoint
  virtual void terminate(LaunchId id) = 0;  // SIGTERM to its process group
  virtual void kill(LaunchId id) = 0;       // SIGKILL to its process group

  // Events since the last call.
  virtual std::vector<LaunchEvent> poll() = 0;
  // `ready` is called from any thread, also under locks of the launcher, when poll() has something;
  // it must not block or call back. An empty function ends the calls.
  virtual void on_ready(std::function<void()> ready) = 0;
};

}  // namespace tidegate::launch
