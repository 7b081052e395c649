// tidegate-sync: one run of one job. Started by tidegate with a request on fd 3; answers on fd 4.

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/version.h"
#include "engine/connectors/all.h"
#include "engine/core/process.h"
#include "engine/core/session.h"
#include "protocol/arguments.h"
#include "protocol/protocol.h"

namespace {

using tidegate::protocol::ExitCode;

constexpr const char* kHelp =
    "tidegate-sync %.*s copies the data of one run. It is started by `tidegate serve`, `tidegate "
    "worker`\n"
    "and `tidegate sync`, which hand it a request on file descriptor 3 and read its events on 4\n"
    "(docs/protocol.md). To copy data by hand, use:\n\n"
    "  tidegate sync SOURCE DESTINATION [ENTITY…]      for example: tidegate sync 'data/*.csv' "
    "out.db\n\n"
    "Options: --version, --help\n";

void print_help(std::FILE* out) {
  const std::string_view v = tidegate::version();
  std::fprintf(out, kHelp, static_cast<int>(v.size()), v.data());
}

// What stands in a buffer is not yet written.
int written() {
  if (std::fflush(stdout) == 0) return 0;
  std::fprintf(stderr, "tidegate-sync: cannot write to standard output: %s\n",
               std::strerror(errno));
  return static_cast<int>(ExitCode::Failed);
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "";
  if (argument == "--version") {
    const std::string_view v = tidegate::version();
    std::printf("tidegate-sync %.*s\n", static_cast<int>(v.size()), v.data());
    return written();
  }
  if (argument == "--help" || argument == "-h") {
    print_help(stdout);
    return written();
  }
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  const bool known = words.empty() || tidegate::protocol::AttemptArguments::decode(words);
  if (!known || !is_open(tidegate::protocol::kRequestFd) ||
      !is_open(tidegate::protocol::kEventFd)) {
    print_help(stderr);
    return static_cast<int>(ExitCode::Configuration);
  }
  tidegate::engine::protect_process();
  const tidegate::SystemClock clock;
  tidegate::SystemRng rng;
  try {
    return static_cast<int>(tidegate::engine::serve_session(
        tidegate::protocol::kRequestFd, tidegate::protocol::kEventFd,
        tidegate::engine::all_connectors(), clock, rng));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tidegate-sync: %s\n", e.what());
    return static_cast<int>(ExitCode::Failed);
  }
}
