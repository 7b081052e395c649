#include "control/store/sqlite/lock_holder.h"

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
#include <sstream>
#include <vector>

#include "base/log.h"

namespace tidegate::store::sqlite {
namespace {

// SQLite's lock bytes in the -shm file: eight from 120 on, the first is the write lock
// (sqlite.org/walformat.html, 2.2).
constexpr off_t kWalWriteLock = 120;
constexpr int kEndTimeoutMs = 5000;

std::unexpected<Error> locked_by(const std::string& path, pid_t pid, std::string_view why) {
  return fail(
      Code::Unavailable,
      fmt::format("the store {} is locked by process {}, which does not go on; {}", path, pid, why),
      "store_locked");
}

// This process's own descriptor of the file. Opening and closing another one would drop the POSIX
// locks that SQLite holds on it.
int own_descriptor(const std::string& file) {
  struct stat wanted{};
  if (stat(file.c_str(), &wanted) != 0) return -1;
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return -1;
  int found = -1;
  while (const dirent* entry = readdir(dir)) {
    int fd = -1;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, fd).ec != std::errc()) continue;
    struct stat is{};
    if (fstat(fd, &is) == 0 && is.st_dev == wanted.st_dev && is.st_ino == wanted.st_ino) {
      found = fd;
      break;
    }
  }
  closedir(dir);
  return found;
}

class Pidfd {
 public:
  explicit Pidfd(pid_t pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  Pidfd(const Pidfd&) = delete;
  Pidfd& operator=(const Pidfd&) = delete;
  ~Pidfd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::optional<std::int64_t> process_start(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  // The name (field 2) may hold spaces and brackets: count from its last bracket, which ends
  // field 2.
  const auto end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(end_of_name + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  std::int64_t start = 0;
  const auto [end, ec] = std::from_chars(field.data(), field.data() + field.size(), start);
  if (ec != std::errc()) return std::nullopt;
  return start;
}

ProcessIdentity this_process(const std::string& boot_id) {
  return {boot_id, getpid(), process_start(getpid()).value_or(0)};
}

std::optional<pid_t> write_lock_holder(const std::string& path) {
  const int fd = own_descriptor(path + "-shm");
  if (fd < 0) return std::nullopt;
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kWalWriteLock;
  lock.l_len = 1;
  if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || lock.l_pid <= 0) {
    return std::nullopt;
  }
  return lock.l_pid;
}

Status end_process(const ProcessIdentity& who) {
  const Pidfd fd(who.pid);
  const auto refuse = [&](std::string_view what) {
    return fail(Code::Unavailable,
                fmt::format("process {} could not be ended ({}: {}); end it with: kill -9 {}",
                            who.pid, what, strerror(errno), who.pid),
                "store_locked");
  };
  if (fd.get() < 0) {
    if (errno == ESRCH) return {};  // gone by itself
    return refuse("pidfd_open");
  }
  // The descriptor now pins the process: a start time that still fits proves that the pid was not
  // given to another one meanwhile.
  if (process_start(who.pid) != who.start) return {};
  if (syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return refuse("pidfd_send_signal");
  }
  pollfd gone{.fd = fd.get(), .events = POLLIN, .revents = 0};
  for (;;) {
    const int n = poll(&gone, 1, kEndTimeoutMs);
    if (n > 0) return {};
    if (n < 0 && errno == EINTR) continue;
    errno = ETIMEDOUT;
    return refuse("poll");
  }
}

Status LockPatience::refused(Db& reader) {
  const auto now = std::chrono::steady_clock::now();
  const auto stamp = index_.stamp();
  // Somebody commits: the lock moves, we were only unlucky.
  if (!refused_since_ || !stamp || stamp != stamp_) {
    refused_since_ = refused_since_ && !stamp ? refused_since_ : now;
    stamp_ = stamp;
  }
  if (now - *refused_since_ < patience_) return {};
  TG_CHECK(end_holder(reader));
  refused_since_.reset();
  return {};
}

Status LockPatience::end_holder(Db& reader) {
  const auto pid = write_lock_holder(path_);
  if (!pid) {
    return fail(Code::Unavailable,
                fmt::format("the store {} has been locked for {} by a process that cannot be "
                            "determined; find it with: fuser -v {}",
                            path_, format_duration(patience_), path_),
                "store_locked");
  }
  const auto start = process_start(*pid);
  if (!start || *pid == getpid()) return {};  // it ended just now
  TG_TRY(
      const bool known,
      reader.exists("SELECT 1 FROM store_processes WHERE boot_id = ?1 AND pid = ?2 AND pid_start "
                    "= ?3 UNION ALL SELECT 1 FROM workers WHERE boot_id = ?1 AND pid = ?2 AND "
                    "pid_start = ?3",
                    boot_id_, static_cast<std::int64_t>(*pid), *start));
  if (!known) {
    return locked_by(path_, *pid,
                     "it is not a registered Tidegate server, so it is left alone: "
                     "end its transaction or the process");
  }
  log::warn("ending a process that is frozen inside a transaction of the store",
            {{"pid", static_cast<std::int64_t>(*pid)}, {"store", path_}});
  return end_process({boot_id_, *pid, *start});
}

Status register_process(Db& db, const ProcessIdentity& self, Instant now) {
  std::vector<ProcessIdentity> gone;
  TG_CHECK(db.each("SELECT boot_id, pid, pid_start FROM store_processes", [&](Row r) {
    const ProcessIdentity p{r.text(0), static_cast<pid_t>(r.integer(1)), r.integer(2)};
    if (p.boot_id != self.boot_id || process_start(p.pid) != p.start) gone.push_back(p);
  }));
  for (const auto& p : gone) TG_CHECK(forget_process(db, p));
  return db.exec("INSERT OR REPLACE INTO store_processes VALUES (?, ?, ?, ?)", self.boot_id,
                 static_cast<std::int64_t>(self.pid), self.start, now);
}

Status forget_process(Db& db, const ProcessIdentity& self) {
  return db.exec("DELETE FROM store_processes WHERE boot_id = ? AND pid = ? AND pid_start = ?",
                 self.boot_id, static_cast<std::int64_t>(self.pid), self.start);
}

}  // namespace tidegate::store::sqlite
