#pragma once
// Tells the service manager how the server is: the protocol of sd_notify(3), without libsystemd.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "base/unique_fd.h"

namespace tidegate::app {

// Not thread-safe. Started by nobody who listens, it says nothing. A message that cannot be sent is
// lost: the service manager has its own time-outs.
class Notifier {
 public:
  // From NOTIFY_SOCKET (a path, or `@name` in the abstract namespace), WATCHDOG_USEC and
  // WATCHDOG_PID, which are gone from the environment afterwards: nobody but this process may speak
  // for the service. REQUIRES: no other thread yet.
  static Notifier from_environment();

  bool listening() const { return static_cast<bool>(socket_); }
  // How often alive() is due: half of what the service manager waits; nullopt: it does not.
  std::optional<Millis> watchdog_interval() const { return watchdog_interval_; }

  // The start goes on and ends within `limit`.
  void starting(std::string_view status, Millis limit);
  // The server is up; also the end of what reloading() began.
  void ready(std::string_view status);
  void reloading();
  void alive();  // the server is well; the watchdog waits again
  // The end comes within `limit`, whatever the unit's TimeoutStopSec says.
  void stopping(std::string_view status, Millis limit);

 private:
  void send(std::string_view message);

  UniqueFd socket_;  // connected
  std::optional<Millis> watchdog_interval_;
};

}  // namespace tidegate::app
