#include "engine/core/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "protocol/protocol.h"

namespace tidegate::engine {

void protect_process() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  // One entity may be thousands of files, all of them open while it is read.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  signal(SIGPIPE, SIG_IGN);
  for (const int fd : {protocol::kRequestFd, protocol::kEventFd}) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace tidegate::engine
