#include "control/store/sqlite/wal_index.h"

#include <sqlite3.h>

namespace tidegate::store::sqlite {
namespace {

constexpr int kRegionSize = 32 * 1024;  // of the WAL index, fixed by its format

}  // namespace

Result<std::unique_ptr<WalIndex>> WalIndex::open(const std::string& path) {
  TG_TRY(Db db, Db::open(path, SQLITE_OPEN_READWRITE));
  sqlite3_busy_timeout(db.raw(), 5000);
  std::unique_ptr<WalIndex> index(new WalIndex(std::move(db)));
  // A first read makes SQLite map the index.
  TG_CHECK(index->db_.maybe("SELECT 1 FROM sqlite_schema LIMIT 1", [](const Row&) {}));
  sqlite3_file* file = nullptr;
  if (sqlite3_file_control(index->db_.raw(), "main", SQLITE_FCNTL_FILE_POINTER, &file) !=
          SQLITE_OK ||
      file == nullptr || file->pMethods == nullptr || file->pMethods->iVersion < 2 ||
      file->pMethods->xShmMap == nullptr) {
    return index;
  }
  // Through SQLite's own handle: a second descriptor on the file would, when closed, drop the locks
  // that this process holds on it.
  void volatile* region = nullptr;
  if (file->pMethods->xShmMap(file, 0, kRegionSize, 0, &region) == SQLITE_OK) {
    index->header_ = const_cast<const std::uint32_t*>(static_cast<std::uint32_t volatile*>(region));
  }
  return index;
}

std::optional<WalIndex::Stamp> WalIndex::stamp() const {
  if (header_ == nullptr) return std::nullopt;
  Stamp stamp{};
  // A read that meets a commit half-way gives a stamp that equals no other: a change is seen.
  for (std::size_t i = 0; i < stamp.size(); ++i) {
    stamp[i] = __atomic_load_n(header_ + i, __ATOMIC_ACQUIRE);
  }
  return stamp;
}

}  // namespace tidegate::store::sqlite
