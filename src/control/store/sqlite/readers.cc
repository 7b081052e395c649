#include "control/store/sqlite/readers.h"

#include <sqlite3.h>

namespace tidegate::store::sqlite {
namespace {

constexpr int kBusyMs = 5000;

}  // namespace

Result<Readers::Lease> Readers::take() {
  std::unique_lock lock(mutex_);
  returned_.wait(lock, [&] { return !idle_.empty() || open_ < most_; });
  if (!idle_.empty()) {
    auto db = std::move(idle_.back());
    idle_.pop_back();
    return Lease(this, std::move(db));
  }
  ++open_;
  lock.unlock();
  const auto give_up = [&](Error error) {
    const std::scoped_lock relock(mutex_);
    --open_;
    returned_.notify_one();
    return fail(std::move(error));
  };
  auto db = Db::open(path_, SQLITE_OPEN_READWRITE);
  if (!db) return give_up(db.error());
  // Else it would show another store's content beside this one's.
  if (auto same = guard_.check(); !same) return give_up(same.error());
  sqlite3_busy_timeout(db->raw(), kBusyMs);
  // A small cache: the pages are in the system's one anyway, and an idle server stays small.
  if (auto s = db->script("PRAGMA query_only = 1; PRAGMA cache_size = -512"); !s) {
    return give_up(s.error());
  }
  return Lease(this, std::make_unique<Db>(std::move(*db)));
}

void Readers::give_back(std::unique_ptr<Db> db) {
  const std::scoped_lock lock(mutex_);
  idle_.push_back(std::move(db));
  returned_.notify_one();
}

}  // namespace tidegate::store::sqlite
