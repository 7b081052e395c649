#include "engine/core/process.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>

namespace tidegate::engine {
namespace {

struct Stat {
  char state = '?';
  std::uint64_t start_ticks = 0;
};

// nullopt: no such process.
std::optional<Stat> read_stat(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  // The command in parentheses may itself hold spaces and parentheses.
  std::size_t at = text.rfind(')');
  if (at == std::string::npos || at + 2 >= text.size()) return std::nullopt;
  Stat stat{.state = text[at + 2]};
  for (int field = 3; field < 22; ++field) {
    at = text.find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
  }
  at = text.find_first_not_of(' ', at);
  if (at == std::string::npos) return std::nullopt;
  std::from_chars(text.data() + at, text.data() + text.size(), stat.start_ticks);
  return stat;
}

template <class Int>
bool parse(std::string_view text, Int& out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc{} && end == text.data() + text.size();
}

// A zombie holds no lock and writes nothing.
bool runs(const ProcessIdentity& p) {
  const auto stat = read_stat(p.pid);
  return stat && stat->start_ticks == p.start_ticks && stat->state != 'Z' && stat->state != 'X';
}

}  // namespace

std::string ProcessIdentity::encode() const {
  return fmt::format("{}:{}:{}", boot_id, pid, start_ticks);
}

std::optional<ProcessIdentity> ProcessIdentity::decode(std::string_view text) {
  const std::size_t a = text.find(':');
  const std::size_t b = a == std::string_view::npos ? a : text.find(':', a + 1);
  if (b == std::string_view::npos) return std::nullopt;
  ProcessIdentity p{.boot_id = std::string(text.substr(0, a))};
  if (!parse(text.substr(a + 1, b - a - 1), p.pid) || !parse(text.substr(b + 1), p.start_ticks) ||
      p.pid <= 0) {
    return std::nullopt;
  }
  return p;
}

ProcessIdentity this_process() {
  const pid_t pid = getpid();
  return {read_boot_id(), pid, read_stat(pid).value_or(Stat{}).start_ticks};
}

bool is_alive(const ProcessIdentity& process) {
  return process.boot_id == read_boot_id() && runs(process);
}

Status end_process(const ProcessIdentity& process, Millis patience) {
  if (process.pid == getpid() || !is_alive(process)) return {};
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (fd < 0) {
    if (errno == ESRCH) return {};
    return fail(Code::Internal,
                fmt::format("cannot watch process {}: {}", process.pid, std::strerror(errno)));
  }
  Status status;
  // Compared again now that the pidfd pins the process: between the two the pid may have been
  // reused.
  if (runs(process)) {
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
      status =
          fail(Code::Forbidden,
               fmt::format("process {} of an older attempt still writes and may not be ended by "
                           "this user ({}); end it by hand",
                           process.pid, std::strerror(errno)));
    } else {
      pollfd p{fd, POLLIN, 0};
      int ready = 0;
      do {
        ready = poll(&p, 1, static_cast<int>(patience.count()));
      } while (ready < 0 && errno == EINTR);
      if (ready == 0) {
        status =
            fail(Code::Unavailable,
                 fmt::format("process {} of an older attempt was killed but has not ended after "
                             "{}; it may be blocked on a disk",
                             process.pid, format_duration(patience)));
      }
    }
  }
  close(fd);
  return status;
}

}  // namespace tidegate::engine
