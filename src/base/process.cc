#include "base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>

namespace tidegate {
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

// This process's own descriptor of the file; -1: none.
int own_descriptor(const std::string& path) {
  struct stat wanted{};
  if (stat(path.c_str(), &wanted) != 0) return -1;
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return -1;
  int found = -1;
  while (const dirent* entry = readdir(dir)) {
    int fd = -1;
    struct stat is{};
    if (parse(std::string_view(entry->d_name), fd) && fstat(fd, &is) == 0 &&
        is.st_dev == wanted.st_dev && is.st_ino == wanted.st_ino) {
      found = fd;
      break;
    }
  }
  closedir(dir);
  return found;
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

std::optional<std::uint64_t> process_start(pid_t pid) {
  const auto stat = read_stat(pid);
  if (!stat) return std::nullopt;
  return stat->start_ticks;
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
               fmt::format("process {} may not be ended by this user ({}); end it with: kill -9 {}",
                           process.pid, std::strerror(errno), process.pid));
    } else {
      pollfd p{fd, POLLIN, 0};
      int ready = 0;
      do {
        ready = poll(&p, 1, static_cast<int>(patience.count()));
      } while (ready < 0 && errno == EINTR);
      if (ready == 0) {
        status =
            fail(Code::Unavailable, fmt::format("process {} was killed but has not ended after "
                                                "{}; it may be blocked on a disk",
                                                process.pid, format_duration(patience)));
      }
    }
  }
  close(fd);
  return status;
}

std::vector<std::string> command_line(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/cmdline", pid));
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(in, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

std::optional<pid_t> lock_holder(const std::string& path, off_t start, off_t length) {
  const int fd = own_descriptor(path);
  if (fd < 0) return std::nullopt;
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0) {
    return std::nullopt;
  }
  return lock.l_pid;
}

}  // namespace tidegate
