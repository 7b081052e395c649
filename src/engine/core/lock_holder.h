#pragma once
// An attempt that was frozen holds the lock of a destination's file, and what it left in the file
// cannot be read, or was not committed yet. This finds it by its lock and knows it by its command
// line (docs/protocol.md).

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

#include "engine/core/context.h"

namespace tidegate::engine {

// Bytes of a file on which a POSIX lock is asked for. A range answers with one holder, which may be
// an innocent reader.
struct LockBytes {
  std::string path;
  off_t start = 0, length = 1;
};

// Ends every process that holds one of the locks and is an attempt of `job` with an older fence;
// logs what it did. Others are left alone. REQUIRES: as lock_holder() (base/process.h).
void end_older_attempts(std::span<const LockBytes> locks, const std::string& job,
                        std::int64_t fence, const Context& context);

}  // namespace tidegate::engine
