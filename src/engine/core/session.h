#pragma once
// The child's side of the protocol on two file descriptors (docs/protocol.md).

#include <span>

#include "base/rng.h"
#include "base/time.h"
#include "engine/core/engine.h"
#include "engine/core/registry.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// Reads one request from `in`, answers it with events on `out`, and watches `in` meanwhile:
// renewals, a cancel, or the end of file, after which nothing is committed. Returns the process's
// exit code. Closes neither descriptor. REQUIRES: SIGPIPE is ignored.
protocol::ExitCode serve_session(int in, int out, std::span<const Connector* const> connectors,
                                 const Clock& clock, Rng& rng, const EngineOptions& options = {});

}  // namespace tidegate::engine
