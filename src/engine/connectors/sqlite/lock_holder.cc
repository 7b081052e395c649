#include "engine/connectors/sqlite/lock_holder.h"

#include <vector>

#include "engine/core/lock_holder.h"

namespace tidegate::engine::sqlite {

void end_older_attempt(const std::string& path, const std::string& job, std::int64_t fence,
                       const Context& context) {
  const std::string index = path + "-shm";
  const std::vector<LockBytes> locks{
      {path, 0x40000000, 1},    // PENDING (sqlite.org/lockingv3.html; os_unix.c)
      {path, 0x40000001, 1},    // RESERVED
      {path, 0x40000002, 510},  // SHARED; all of it: EXCLUSIVE
      {index, 120, 1},          // the WAL's write lock (sqlite.org/walformat.html, 2.2)
      {index, 121, 1},          // checkpoint
      {index, 122, 1},          // recovery
  };
  end_older_attempts(locks, job, fence, context);
}

}  // namespace tidegate::engine::sqlite
