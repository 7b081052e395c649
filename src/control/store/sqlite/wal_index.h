#pragma once
// A stamp of the database's state that costs no system call: the header of SQLite's shared WAL
// index (sqlite.org/walformat.html, 2.1), which every commit of every process changes before it
// returns.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "control/store/sqlite/db.h"

namespace tidegate::store::sqlite {

// Thread-safe after open.
class WalIndex {
 public:
  using Stamp = std::array<std::uint32_t, 12>;

  // `path` is in WAL mode. Keeps a connection of its own, so that the mapping stays.
  static Result<std::unique_ptr<WalIndex>> open(const std::string& path);

  // Equal stamps taken before and after mean: nobody committed between. nullopt: not available;
  // then assume that everything changed.
  std::optional<Stamp> stamp() const;
  // Commits of all processes; wraps around, and starts anew when the index is rebuilt.
  static std::uint32_t commits(const Stamp& stamp) { return stamp[2]; }

 private:
  explicit WalIndex(Db db) : db_(std::move(db)) {}

  Db db_;
  const std::uint32_t* header_ = nullptr;
};

}  // namespace tidegate::store::sqlite
