#pragma once
// Where a run tells what happens.

#include "protocol/protocol.h"

namespace tidegate::engine {

// Thread-safe.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void send(const protocol::Event& event) = 0;
};

}  // namespace tidegate::engine
