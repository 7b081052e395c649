#pragma once
// Which process it is, and which one holds a file's lock, so that a frozen holder can be ended.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace tidegate {

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
// The start time of the process that has this pid now; nullopt: none has.
std::optional<std::uint64_t> process_start(pid_t pid);
bool is_alive(const ProcessIdentity& process);

// Kills exactly that process, through a pidfd, and waits until it is gone. Does nothing when it is
// gone already, runs under another boot, or is this process. Forbidden: not ours to kill.
// Unavailable: still there after `patience`.
Status end_process(const ProcessIdentity& process, Millis patience = Millis(5000));

// Its arguments as anybody may read them (/proc/PID/cmdline); empty: it is gone.
std::vector<std::string> command_line(pid_t pid);

// Another process that holds a POSIX lock on one of `length` bytes from `start` of the file at
// `path`; nullopt: none, or it cannot be told. REQUIRES: this process has that very file open (a
// descriptor opened and closed here would drop this process's own locks on it).
std::optional<pid_t> lock_holder(const std::string& path, off_t start, off_t length);

}  // namespace tidegate
