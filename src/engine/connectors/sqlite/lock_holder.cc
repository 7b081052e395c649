#include "engine/connectors/sqlite/lock_holder.h"

#include <fmt/format.h>

#include <set>
#include <span>

#include "base/process.h"
#include "protocol/arguments.h"

namespace tidegate::engine::sqlite {
namespace {

struct LockBytes {
  const char* suffix;
  off_t start, length;
};
// Asked for one by one: a range answers with one holder, which may be an innocent reader.
constexpr LockBytes kLocks[] = {
    {"", 0x40000000, 1},    // PENDING (sqlite.org/lockingv3.html; os_unix.c)
    {"", 0x40000001, 1},    // RESERVED
    {"", 0x40000002, 510},  // SHARED; all of it: EXCLUSIVE
    {"-shm", 120, 1},       // the WAL's write lock (sqlite.org/walformat.html, 2.2)
    {"-shm", 121, 1},       // checkpoint
    {"-shm", 122, 1},       // recovery
};

bool is_older_attempt(pid_t pid, const std::string& job, std::int64_t fence) {
  const auto words = command_line(pid);
  if (words.empty()) return false;
  const auto other = protocol::AttemptArguments::decode(std::span(words).subspan(1));
  return other && other->job == job && other->fence < fence;
}

}  // namespace

void end_older_attempt(const std::string& path, const std::string& job, std::int64_t fence,
                       const Context& context) {
  std::set<pid_t> holders;
  for (const LockBytes& bytes : kLocks) {
    if (const auto pid = lock_holder(path + bytes.suffix, bytes.start, bytes.length)) {
      holders.insert(*pid);
    }
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

}  // namespace tidegate::engine::sqlite
