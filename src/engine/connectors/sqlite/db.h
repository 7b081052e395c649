#pragma once
// Thin RAII over the SQLite C API: one connection, one thread at a time.

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::engine::sqlite {

// `"name"` with quotes doubled: safe as an SQL identifier.
std::string quote(std::string_view name);

class Db;

// A prepared statement; its text must be one statement.
class Stmt {
 public:
  Stmt() = default;
  Stmt(Stmt&& other) noexcept : db_(other.db_), stmt_(std::exchange(other.stmt_, nullptr)) {}
  Stmt& operator=(Stmt&& other) noexcept;
  Stmt(const Stmt&) = delete;
  Stmt& operator=(const Stmt&) = delete;
  ~Stmt() { sqlite3_finalize(stmt_); }

  // 1-based, like SQLite. The text is copied.
  Stmt& bind(int index, std::string_view text);
  Stmt& bind(int index, std::int64_t value);

  // True: a row is there.
  Result<bool> step();
  // Steps to the end and resets.
  Status run();
  void reset() { sqlite3_reset(stmt_); }

  std::int64_t integer(int column) const { return sqlite3_column_int64(stmt_, column); }
  std::string text(int column) const;
  bool is_null(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }
  sqlite3_stmt* raw() const { return stmt_; }
  explicit operator bool() const { return stmt_ != nullptr; }

 private:
  friend class Db;
  Stmt(const Db* db, sqlite3_stmt* stmt) : db_(db), stmt_(stmt) {}

  const Db* db_ = nullptr;
  sqlite3_stmt* stmt_ = nullptr;
};

enum class Open : std::uint8_t { ReadOnly, ReadWrite, Create };

inline constexpr const char* kDiskFull = "disk_full";  // Error::reason

class Db {
 public:
  // `path` is a real path (PathPolicy); a symbolic link in its place is refused. After a request on
  // `stop` every statement ends with Cancelled. `on_blocked` is called once in each wait for
  // another program's lock that has lasted 2 s, and may end its holder.
  static Result<std::unique_ptr<Db>> open(const std::string& path, Open how, std::stop_token stop,
                                          std::function<void()> on_blocked = {});
  ~Db();
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  Status exec(std::string_view sql);
  Result<Stmt> prepare(std::string_view sql);
  // The first column of the first row; nullopt when there is no row or it is NULL.
  Result<std::optional<std::string>> text(std::string_view sql);
  Result<std::int64_t> integer(std::string_view sql);

  // How long a statement waits for another program's lock (5 s at first); a stop ends the wait.
  void busy_timeout(Millis wait) { busy_wait_ = wait; }
  std::int64_t changes() const { return sqlite3_changes64(db_); }
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  // Unavailable when the file is no longer at its path: what is written then is lost.
  Status in_place() const;
  // Rolls back when a transaction is open; errors leave nothing to do.
  void rollback();

  // For a disk that may become full. The last connection takes the write-ahead log away when it
  // closes, but only once the database holds all that is committed: where it must grow for that and
  // cannot, the log stays, with all that an undone transaction had put behind it. So both are done
  // without waiting for anybody, as far as other connections allow.
  //
  // Before a transaction: lets the database grow to what is committed. Unavailable: the disk is
  // full; then SQLite needs the log, which holds committed rows, until there is space.
  Status grow_to_committed();
  // After one was undone: gives its space in the log back at once.
  void truncate_log();

  // The last error of this connection, with the remedy.
  Error error(int rc) const;
  sqlite3* raw() const { return db_; }
  const std::string& path() const { return path_; }

 private:
  Db(sqlite3* db, std::string path, std::stop_token stop)
      : db_(db), path_(std::move(path)), stop_(std::move(stop)) {}
  // What `f` returns, with a busy_wait_ of nothing.
  template <class F>
  auto without_waiting(F f);
  int checkpoint(int mode);
  Result<std::int64_t> committed_size();  // of the database, in bytes
  bool is_full(int rc) const;
  void remove_log_files() const;
  static int on_progress(void* self);
  static int on_busy(void* self, int calls);
  bool wait_for_lock(int calls);

  sqlite3* db_;
  std::string path_;
  std::stop_token stop_;
  std::function<void()> on_blocked_;
  Millis busy_wait_{5000};
  mutable bool disk_full_ = false;  // an error of this connection said so
};

}  // namespace tidegate::engine::sqlite
