#include "base/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tidegate {
namespace {

// Ends of pipes lie above the numbers that the child gives to them, or a dup2 in the child would
// overwrite one that is still to be duplicated.
constexpr int kFirstFreeFd = 10;

struct Pipe {
  UniqueFd read, write;
};

Status lift(UniqueFd& fd) {
  if (fd.get() >= kFirstFreeFd) return {};
  const int lifted = fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFreeFd);
  if (lifted < 0) return fail(Code::Unavailable, fmt::format("dup: {}", std::strerror(errno)));
  fd = UniqueFd(lifted);
  return {};
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return fail(Code::Unavailable,
                fmt::format("a pipe could not be made ({}): raise the limit of open files",
                            std::strerror(errno)));
  }
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  TG_CHECK(lift(pipe.read));
  TG_CHECK(lift(pipe.write));
  return pipe;
}

// posix_spawn's two option objects, destroyed whatever happens.
struct SpawnOptions {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;

  SpawnOptions() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnOptions() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  void set(const Pipe& request, const Pipe& events, const Pipe& out, const Pipe& err) {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out.write.get(), 1);
    posix_spawn_file_actions_adddup2(&actions, err.write.get(), 2);
    posix_spawn_file_actions_adddup2(&actions, request.read.get(), 3);
    posix_spawn_file_actions_adddup2(&actions, events.write.get(), 4);
    // Every descriptor of ours is O_CLOEXEC; a library's may not be.
    posix_spawn_file_actions_addclosefrom_np(&actions, 5);
  }
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

Error spawn_error(const std::string& program, int error) {
  const Code code = error == ENOENT                       ? Code::NotFound
                    : error == EACCES || error == ENOEXEC ? Code::Forbidden
                                                          : Code::Unavailable;
  return {code, fmt::format("{} could not be started: {}", program, std::strerror(error)), {}, {}};
}

// REQUIRES: an end of a pipe, which has no other flags.
void set_nonblocking(const UniqueFd& fd) { fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

}  // namespace

Result<Child> spawn(const SpawnParams& params) {
  if (params.argv.empty() || params.argv.front().empty()) {
    return fail(Code::Internal, "spawn without a program");
  }
  TG_TRY(Pipe request, make_pipe());
  TG_TRY(Pipe events, make_pipe());
  TG_TRY(Pipe out, make_pipe());
  TG_TRY(Pipe err, make_pipe());
  for (const UniqueFd* fd : {&request.write, &events.read, &out.read, &err.read}) {
    set_nonblocking(*fd);
  }
  SpawnOptions options;
  options.set(request, events, out, err);

  Child child;
  if (!params.request.empty()) {
    const ssize_t n = write(request.write.get(), params.request.data(), params.request.size());
    if (n > 0) child.request_written = static_cast<std::size_t>(n);
  }
  const std::vector<char*> argv = pointers(params.argv);
  const std::vector<char*> env = pointers(params.env);
  const int error = posix_spawn(&child.pid, argv.front(), &options.actions, &options.attributes,
                                argv.data(), env.data());
  if (error != 0) return fail(spawn_error(params.argv.front(), error));
  // Not reaped yet, so the pid is still this child's.
  child.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0)));
  if (!child.pidfd) {
    const int why = errno;
    kill(-child.pid, SIGKILL);
    waitpid(child.pid, nullptr, 0);
    return fail(spawn_error(params.argv.front(), why));
  }
  child.request = std::move(request.write);
  child.events = std::move(events.read);
  child.out = std::move(out.read);
  child.err = std::move(err.read);
  return child;
}

std::vector<std::string> scrubbed_environment() {
  static constexpr const char* kAllowed[] = {
      "PATH",   "LANG",         "LC_ALL",        "TZ",           "HOME",
      "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "TIDEGATE_DUCKDB_LIBRARY"};
  std::vector<std::string> result;
  for (const char* name : kAllowed) {
    if (const char* value = std::getenv(name)) result.push_back(fmt::format("{}={}", name, value));
  }
  return result;
}

void signal_group(const Child& child, int signal) {
  if (child.pid > 1) kill(-child.pid, signal);
}

Result<ExitStatus> reap(const Child& child) {
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  if (poll(&ended, 1, 0) != 1) {
    return fail(Code::Unavailable, fmt::format("process {} still runs", child.pid));
  }
  signal_group(child, SIGKILL);
  siginfo_t info{};
  int result = 0;
  do {
    result = waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    return fail(Code::Internal, fmt::format("waitid {}: {}", child.pid, std::strerror(errno)));
  }
  if (info.si_code == CLD_EXITED) return ExitStatus{info.si_status, 0};
  return ExitStatus{0, info.si_status};
}

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<std::size_t>(limit.rlim_cur);
}

}  // namespace tidegate
