#pragma once
// Answers one request: spec, check, discover or run.

#include <span>

#include "engine/core/context.h"
#include "engine/core/events.h"
#include "engine/core/lease.h"
#include "engine/core/registry.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

struct EngineOptions {
  std::int64_t checkpoint_rows = 250'000;
};

// Always returns a result with the exit code that fits; sends the events of a run on the way. The
// result itself is not sent.
protocol::RunResult answer(const protocol::Request& request,
                           std::span<const Connector* const> connectors, const Context& context,
                           LeaseGuard& lease, EventSink& events, const EngineOptions& options = {});

}  // namespace tidegate::engine
