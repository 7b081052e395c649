#pragma once
// Starts one child process the way Tidegate runs its engine: its own process group, a scrubbed
// environment, pipes for the protocol (fd 3 and 4) and for its output, and a pidfd, so that a
// recycled pid is never signalled. Nothing here forks: posix_spawn's vfork costs the same from a
// parent of any size.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace tidegate {

struct SpawnParams {
  std::vector<std::string> argv;  // argv[0]: the path of the program; it is not searched for
  std::vector<std::string> env;   // `NAME=value`; see scrubbed_environment()
  // Lies in the child's fd 3 before it begins, so that no child waits for it; what the pipe does
  // not hold is left to the caller: see Child::request_written.
  std::string_view request = {};
};

struct ExitStatus {
  int code = 0;    // when it exited
  int signal = 0;  // 0: it exited by itself
};

// A running child. Destroying it neither ends nor reaps the process: see kill_group() and reap().
struct Child {
  pid_t pid = -1;                   // also its process group
  UniqueFd pidfd;                   // readable once the process has ended
  UniqueFd request;                 // write end of its fd 3, non-blocking
  UniqueFd events;                  // read end of its fd 4, non-blocking
  UniqueFd out, err;                // read ends of its stdout and stderr, non-blocking
  std::size_t request_written = 0;  // bytes of SpawnParams::request
};

// Thread-safe. A child that asked for PR_SET_PDEATHSIG dies with the *thread* that called this, so
// call it from one that lives as long as the process. stdin is /dev/null; no other descriptor of
// the caller reaches the child; signals are at their defaults. NotFound: no such program;
// Forbidden: not executable; Unavailable: out of processes, descriptors or memory.
Result<Child> spawn(const SpawnParams& params);

// PATH, LANG, LC_ALL, TZ, HOME, TMPDIR and the sanitizers' options of this process; nothing else,
// because everything else may carry a secret.
std::vector<std::string> scrubbed_environment();

// Sends `signal` to the child's whole process group. REQUIRES: the child was not reaped. No error
// when nothing is left of it.
void signal_group(const Child& child, int signal);

// Collects the ended child without waiting; Unavailable while it still runs. Ends what is left of
// its process group first: while the leader is a zombie, the group's number cannot be anybody
// else's.
Result<ExitStatus> reap(const Child& child);

// Raises the soft limit of open descriptors to the hard one (a child costs five). The limit now.
std::size_t raise_descriptor_limit();

}  // namespace tidegate
