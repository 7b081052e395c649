#pragma once
// Notices that the store's files were deleted, moved or replaced under the open connections: they
// would go on writing into a file that nobody can reach, and acknowledge what is lost.

#include <sys/types.h>

#include <array>
#include <atomic>
#include <string>

#include "base/error.h"

namespace tidegate::store::sqlite {

// Thread-safe.
class FileGuard {
 public:
  // REQUIRES: `path` is open in WAL mode, so that its -wal and -shm files are there.
  explicit FileGuard(std::string path);

  // Unavailable `store_replaced`, for ever once it was seen: whatever lies at the path later may
  // have been written by another server meanwhile. Three system calls, about a microsecond.
  Status check();

 private:
  struct File {
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
    int error = 0;  // of looking at it
  };
  static File look(std::string path);
  static bool same(const File& opened);

  const std::string path_;
  std::array<File, 3> files_;
  std::atomic<bool> replaced_ = false;
};

}  // namespace tidegate::store::sqlite
