#pragma once
// Which process writes, so that a newer attempt can end a frozen one that holds a file's lock.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::engine {

// (boot id, pid, start time) names one process for ever: a pid alone is reused.
struct ProcessIdentity {
  std::string boot_id;
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat (proc(5))

  std::string encode() const;  // `boot:pid:start`
  static std::optional<ProcessIdentity> decode(std::string_view text);
  bool operator==(const ProcessIdentity&) const = default;
};

ProcessIdentity this_process();
bool is_alive(const ProcessIdentity& process);

// Kills exactly that process, through a pidfd, and waits until it is gone. Does nothing when it is
// gone already, runs under another boot, or is this process. Forbidden: not ours to kill.
// Unavailable: still there after `patience`.
Status end_process(const ProcessIdentity& process, Millis patience = Millis(5000));

}  // namespace tidegate::engine
