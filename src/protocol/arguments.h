#pragma once
// The engine's command line in a run. It decides nothing (the request does): it lets an operator's
// `ps`, and a newer attempt that finds a file locked, tell which attempt a process is. World
// readable: never a secret.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "protocol/protocol.h"

namespace tidegate::protocol {

struct AttemptArguments {
  std::string job;
  std::string run;
  std::int64_t fence = 0;

  // `--job JOB --run RUN --fence N`
  std::vector<std::string> encode() const;
  // nullopt: not exactly what encode() makes.
  static std::optional<AttemptArguments> decode(std::span<const std::string> arguments);
  bool operator==(const AttemptArguments&) const = default;
};

AttemptArguments arguments_of(const RunSpec& run);

}  // namespace tidegate::protocol
