#pragma once
// An SQLite VFS that ends or freezes its own process at a chosen write. For forked children only.

#include <cstdint>
#include <functional>

namespace tidegate::crash {

enum class Loss {
  None,      // kill -9: what was written stays in the system's cache
  Unsynced,  // a power cut: what was not synced is gone
  Tail,      // a power cut that caught some: the newest unsynced writes are gone
};

struct CrashPlan {
  std::int64_t at = 0;  // SIGKILL at the at-th write, sync or truncation; 0: never
  Loss loss = Loss::None;
};

// Becomes the default VFS of this process. Call once, before any connection.
void install_crash_vfs(const CrashPlan& plan);
// Writes, syncs and truncations so far.
std::int64_t crash_points();
// From now on the next write to a WAL stops the process (SIGSTOP), inside the commit.
void freeze_at_next_commit();

}  // namespace tidegate::crash
