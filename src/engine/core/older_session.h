#pragma once
// The process of an older attempt that still holds a destination.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/core/context.h"

namespace tidegate::engine {

// What a writer leaves in the destination while it works.
struct StoredSession {
  std::string session;  // `BOOT:PID:START/NUMBER`, see writer_session()
  std::int64_t fence = 0;
};

// The text of this process's writer `number`.
std::string writer_session(int number);

// A frozen writer never finishes, so it is ended. It is known by boot id, pid and start time, and
// must be one of the same job's entity. Not when it is no older than `fence`: then the claim
// decides. Without a server nobody knows which of the two is meant: Unavailable, naming `place`
// ("this folder").
Status end_older_session(const StoredSession& stored, std::int64_t fence, bool serverless,
                         std::string_view place, const Context& context);

}  // namespace tidegate::engine
