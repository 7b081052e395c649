#pragma once
// An attempt that was frozen inside its first transaction holds the database's lock and has left no
// claim in it that names it. This finds it by its lock and knows it by its command line.

#include <cstdint>
#include <string>

#include "engine/core/context.h"

namespace tidegate::engine::sqlite {

// Ends every process that holds a lock on the database at `path` (which this process has open) and
// is an attempt of `job` with an older fence; logs what it did. Others are left alone.
void end_older_attempt(const std::string& path, const std::string& job, std::int64_t fence,
                       const Context& context);

}  // namespace tidegate::engine::sqlite
