#pragma once
// The SSE part of a Session. IO thread only, but for WakeState.

#include "control/http/session.h"

namespace tidegate::http {

struct Session::Events {
  std::shared_ptr<EventSource> source;  // shared with a pull() under way
  bool chunked = true;
  bool opened = false;
  bool pulling = false;  // a pull is queued or running
  bool again = false;    // woken meanwhile
  bool starved = false;  // the pool's queue was full; tick() tries again
  bool ending = false;   // after the write in progress
  SteadyTime last_write;
};

// Behind EventSource::Wake; any thread.
struct Session::WakeState {
  std::shared_ptr<Core::Gate> gate;
  std::weak_ptr<Session> session;
  std::atomic<bool> posted = false;  // many wake-ups cost one task
};

}  // namespace tidegate::http
