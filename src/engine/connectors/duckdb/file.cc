#include "engine/connectors/duckdb/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/unique_fd.h"

namespace tidegate::engine::duckdb {
namespace {

// The log; what takes its place during a checkpoint and after one that was cut off.
constexpr const char* kLogs[] = {".wal", ".wal.checkpoint", ".wal.recovery"};

std::unexpected<Error> system_error(const std::string& path, std::string_view what, int number) {
  const bool denied = number == EACCES || number == EPERM || number == EROFS;
  return fail(denied             ? Code::Forbidden
              : number == ENOENT ? Code::NotFound
                                 : Code::Unavailable,
              fmt::format("'{}' {}: {}", path, what, std::strerror(number)));
}

// With DuckDB's lock, which ends with the descriptor; none: `errno` says why.
// REQUIRES: this process does not have the file open.
UniqueFd locked(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (file && fcntl(file.get(), F_SETLK, &lock) != 0) return {};
  return file;
}

Status remove_if_empty(const std::string& path) {
  const UniqueFd file = locked(path);
  // None, or about to be written: the open that follows meets the lock.
  if (!file && (errno == ENOENT || errno == EAGAIN || errno == EACCES)) return {};
  struct stat is{};
  if (!file || fstat(file.get(), &is) != 0) return system_error(path, "cannot be opened", errno);
  if (!S_ISREG(is.st_mode) || is.st_size != 0) return {};
  if (unlink(path.c_str()) != 0) return system_error(path, "cannot be replaced", errno);
  return {};
}

}  // namespace

FileId file_id(const std::string& path) {
  struct stat is{};
  if (stat(path.c_str(), &is) != 0) return {};
  return {.device = is.st_dev, .inode = is.st_ino};
}

bool holds_something(const std::string& path) {
  struct stat is{};
  return stat(path.c_str(), &is) == 0 && !(S_ISREG(is.st_mode) && is.st_size == 0);
}

Status check_places(const std::string& path) {
  struct stat is{};
  const auto refuse = [](const std::string& place, std::string_view what) {
    return fail(Code::Forbidden,
                fmt::format("'{}' {}; DuckDB would use it: remove it, and run again", place, what),
                "path_forbidden");
  };
  if (lstat(path.c_str(), &is) == 0 && S_ISLNK(is.st_mode))
    return refuse(path, "became a symbolic link after it was looked up");
  for (const char* log : kLogs) {
    const std::string place = path + log;
    if (lstat(place.c_str(), &is) == 0 && !S_ISREG(is.st_mode))
      return refuse(place, "is no file but a symbolic link or something else");
  }
  const std::string spill = path + ".tmp";
  if (lstat(spill.c_str(), &is) != 0) return {};
  if (!S_ISDIR(is.st_mode)) return refuse(spill, "is no folder but a symbolic link or a file");
  if (is.st_uid != geteuid()) return refuse(spill, "is a folder of another user");
  return {};
}

Status sync_folder(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: a file system that has no such thing.
  if (fd && (fsync(fd.get()) == 0 || errno == EINVAL)) return {};
  return system_error(folder, "cannot be made to last (fsync)", errno);
}

Result<std::string> fresh_name(const std::string& path) {
  std::string name = path + ".new-XXXXXX";
  const UniqueFd file(mkostemp(name.data(), O_CLOEXEC));
  if (!file) return system_error(path, "cannot be created", errno);
  unlink(name.c_str());
  return name;
}

Status put_in_place(const std::string& made, const std::string& path) {
  TG_CHECK(remove_if_empty(path));
  // Until the logs of a file that is gone are too, nobody may write one.
  const UniqueFd lock = locked(made);
  if (!lock || fsync(lock.get()) != 0) return system_error(path, "cannot be created", errno);
  int done = renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
  // Some file systems cannot but replace.
  if (done != 0 && errno == EINVAL) done = rename(made.c_str(), path.c_str());
  if (done != 0 && errno == EEXIST) return {};
  if (done != 0) return system_error(path, "cannot be created", errno);
  for (const char* log : kLogs) unlink((path + log).c_str());
  return sync_folder(path);
}

}  // namespace tidegate::engine::duckdb
