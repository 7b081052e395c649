#include "engine/core/older_session.h"

#include <fmt/format.h>

#include "base/process.h"

namespace tidegate::engine {

std::string writer_session(int number) {
  return fmt::format("{}/{}", this_process().encode(), number);
}

Status end_older_session(const StoredSession& stored, std::int64_t fence, bool serverless,
                         std::string_view place, const Context& context) {
  const auto process = ProcessIdentity::decode(stored.session.substr(0, stored.session.find('/')));
  if (!process || *process == this_process() || !is_alive(*process)) return {};
  if (serverless) {
    return fail(Code::Unavailable,
                fmt::format("process {} is syncing the same entity into {}; wait until it has "
                            "finished, or end it",
                            process->pid, place));
  }
  if (stored.fence >= fence) return {};
  context.log(LogLevel::Warn,
              fmt::format("process {} of an older attempt still held the destination and was ended",
                          process->pid));
  return end_process(*process);
}

}  // namespace tidegate::engine
