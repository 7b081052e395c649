#include "control/store/sqlite/lock_holder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "base/log.h"

namespace tidegate::store::sqlite {
namespace {

// SQLite's lock bytes in the -shm file: eight from 120 on, the first is the write lock
// (sqlite.org/walformat.html, 2.2).
constexpr off_t kWalWriteLock = 120;

std::unexpected<Error> locked_by(const std::string& path, pid_t pid, std::string_view why) {
  return fail(
      Code::Unavailable,
      fmt::format("the store {} is locked by process {}, which does not go on; {}", path, pid, why),
      "store_locked");
}

}  // namespace

Status LockPatience::refused(Db& reader) {
  const auto now = std::chrono::steady_clock::now();
  const auto stamp = index_.stamp();
  // Somebody commits: the lock moves, we were only unlucky.
  if (!refused_since_ || !stamp || stamp != stamp_) {
    refused_since_ = refused_since_ && !stamp ? refused_since_ : now;
    stamp_ = stamp;
  }
  if (now - *refused_since_ < patience_) return {};
  TG_CHECK(end_holder(reader));
  refused_since_.reset();
  return {};
}

Status LockPatience::end_holder(Db& reader) {
  const auto pid = lock_holder(path_ + "-shm", kWalWriteLock, 1);
  if (!pid) {
    return fail(Code::Unavailable,
                fmt::format("the store {} has been locked for {} by a process that cannot be "
                            "determined; find it with: fuser -v {}",
                            path_, format_duration(patience_), path_),
                "store_locked");
  }
  const auto start = process_start(*pid);
  if (!start || *pid == getpid()) return {};  // it ended just now
  TG_TRY(
      const bool known,
      reader.exists("SELECT 1 FROM store_processes WHERE boot_id = ?1 AND pid = ?2 AND pid_start "
                    "= ?3 UNION ALL SELECT 1 FROM workers WHERE boot_id = ?1 AND pid = ?2 AND "
                    "pid_start = ?3",
                    boot_id_, static_cast<std::int64_t>(*pid), static_cast<std::int64_t>(*start)));
  if (!known) {
    return locked_by(path_, *pid,
                     "it is not a registered Tidegate server, so it is left alone: "
                     "end its transaction or the process");
  }
  log::warn("ending a process that is frozen inside a transaction of the store",
            {{"pid", static_cast<std::int64_t>(*pid)}, {"store", path_}});
  Status ended = end_process({read_boot_id(), *pid, *start});
  if (!ended) return fail(Code::Unavailable, std::move(ended).error().message, "store_locked");
  return {};
}

Status register_process(Db& db, const ProcessIdentity& self, Instant now) {
  std::vector<ProcessIdentity> gone;
  TG_CHECK(db.each("SELECT boot_id, pid, pid_start FROM store_processes", [&](const Row& r) {
    const ProcessIdentity p{r.text(0), static_cast<pid_t>(r.integer(1)),
                            static_cast<std::uint64_t>(r.integer(2))};
    if (p.boot_id != self.boot_id || process_start(p.pid) != p.start_ticks) gone.push_back(p);
  }));
  for (const auto& p : gone) TG_CHECK(forget_process(db, p));
  return db.exec("INSERT OR REPLACE INTO store_processes VALUES (?, ?, ?, ?)", self.boot_id,
                 static_cast<std::int64_t>(self.pid), static_cast<std::int64_t>(self.start_ticks),
                 now);
}

Status forget_process(Db& db, const ProcessIdentity& self) {
  return db.exec("DELETE FROM store_processes WHERE boot_id = ? AND pid = ? AND pid_start = ?",
                 self.boot_id, static_cast<std::int64_t>(self.pid),
                 static_cast<std::int64_t>(self.start_ticks));
}

}  // namespace tidegate::store::sqlite
