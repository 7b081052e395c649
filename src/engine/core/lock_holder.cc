#include "engine/core/lock_holder.h"

#include <fmt/format.h>

#include <set>

#include "base/process.h"
#include "protocol/arguments.h"

namespace tidegate::engine {
namespace {

bool is_older_attempt(pid_t pid, const std::string& job, std::int64_t fence) {
  const auto words = command_line(pid);
  if (words.empty()) return false;
  const auto other = protocol::AttemptArguments::decode(std::span(words).subspan(1));
  return other && other->job == job && other->fence < fence;
}

}  // namespace

void end_older_attempts(std::span<const LockBytes> locks, const std::string& job,
                        std::int64_t fence, const Context& context) {
  std::set<pid_t> holders;
  for (const LockBytes& bytes : locks) {
    if (const auto pid = lock_holder(bytes.path, bytes.start, bytes.length)) holders.insert(*pid);
  }
  for (const pid_t pid : holders) {
    // The start time first: what is ended is what was looked at, whoever has the pid later.
    const auto start = process_start(pid);
    if (!start || !is_older_attempt(pid, job, fence)) continue;
    const Status ended = end_process({read_boot_id(), pid, *start});
    context.log(LogLevel::Warn,
                ended ? fmt::format("process {} of an older attempt kept the destination locked "
                                    "and was ended",
                                    pid)
                      : ended.error().message);
  }
}

}  // namespace tidegate::engine
