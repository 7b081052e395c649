#pragma once
// A few connections for reading, opened when they are needed. Thread-safe.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "control/store/sqlite/db.h"
#include "control/store/sqlite/file_guard.h"

namespace tidegate::store::sqlite {

class Readers {
 public:
  // At most so many. REQUIRES: guard outlives this.
  Readers(std::string path, int most, FileGuard& guard)
      : path_(std::move(path)), most_(most), guard_(guard) {}

  // f(Db&) -> Result<T>, several statements over one snapshot.
  template <class F>
  auto snapshot(F&& f) -> std::invoke_result_t<F&, Db&> {
    TG_TRY(Lease lease, take());
    Db& db = *lease.db;
    TG_CHECK(db.run("BEGIN"));
    auto result = f(db);
    if (db.in_transaction()) {
      if (auto ended = db.run("COMMIT"); !ended) return fail(ended.error());
    }
    return result;
  }
  // f(Db&) -> Result<T>; each statement sees the newest state.
  template <class F>
  auto read(F&& f) -> std::invoke_result_t<F&, Db&> {
    TG_TRY(Lease lease, take());
    return f(*lease.db);
  }

 private:
  struct Lease {
    Readers* pool;
    std::unique_ptr<Db> db;
    Lease(Readers* p, std::unique_ptr<Db> d) : pool(p), db(std::move(d)) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (db) pool->give_back(std::move(db));
    }
  };
  Result<Lease> take();
  void give_back(std::unique_ptr<Db> db);

  const std::string path_;
  const int most_;
  FileGuard& guard_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Db>> idle_;
  int open_ = 0;
};

}  // namespace tidegate::store::sqlite
