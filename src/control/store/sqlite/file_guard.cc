#include "control/store/sqlite/file_guard.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace tidegate::store::sqlite {

FileGuard::File FileGuard::look(std::string path) {
  struct stat st{};
  const int error = ::stat(path.c_str(), &st) == 0 ? 0 : errno;
  return {std::move(path), st.st_dev, st.st_ino, error};
}

// What cannot be looked at (a network disk that is away) is left to SQLite, which says why.
bool FileGuard::same(const File& opened) {
  if (opened.error != 0) return true;
  const File now = look(opened.path);
  if (now.error != 0) return now.error != ENOENT && now.error != ENOTDIR;
  return now.device == opened.device && now.inode == opened.inode;
}

FileGuard::FileGuard(std::string path)
    : path_(std::move(path)), files_{look(path_), look(path_ + "-wal"), look(path_ + "-shm")} {}

Status FileGuard::check() {
  const bool replaced = replaced_ || !std::ranges::all_of(files_, same);
  if (!replaced) return {};
  Error error{Code::Unavailable,
              fmt::format("the store {} was deleted, moved or replaced while this server had it "
                          "open (with its -wal and -shm files it is one thing): nothing is written "
                          "any more; stop the server, put the three files or a backup back, and "
                          "start it again",
                          path_),
              "store_replaced",
              {}};
  if (!replaced_.exchange(true)) log::error(error.message);
  return fail(std::move(error));
}

}  // namespace tidegate::store::sqlite
