#include "engine/connectors/sqlite/db.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace tidegate::engine::sqlite {
namespace {

constexpr int kProgressOps = 20'000;  // virtual machine steps between looks at the stop token
constexpr auto kBusyLook = std::chrono::milliseconds(5);
constexpr auto kBlockedAfter = std::chrono::seconds(2);

// The folder of the file is there and takes no new files.
bool is_locked_folder(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  return access(folder.c_str(), F_OK) == 0 && access(folder.c_str(), W_OK | X_OK) != 0;
}

Error gone(const std::string& path) {
  return {Code::Unavailable,
          fmt::format("'{}' was removed or replaced while it was written: the rows of this run are "
                      "not in it. Leave the file in its place and run again",
                      path),
          "destination_gone",
          {}};
}

}  // namespace

std::string quote(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

Stmt& Stmt::operator=(Stmt&& other) noexcept {
  if (this != &other) {
    sqlite3_finalize(stmt_);
    db_ = other.db_;
    stmt_ = std::exchange(other.stmt_, nullptr);
  }
  return *this;
}

Stmt& Stmt::bind(int index, std::string_view text) {
  sqlite3_bind_text64(stmt_, index, text.data() == nullptr ? "" : text.data(), text.size(),
                      SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Stmt& Stmt::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(stmt_, index, value);
  return *this;
}

Result<bool> Stmt::step() {
  const int rc = sqlite3_step(stmt_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return fail(db_->error(rc));
}

Status Stmt::run() {
  for (;;) {
    const Result<bool> more = step();
    if (more && *more) continue;
    sqlite3_reset(stmt_);
    if (!more) return fail(more.error());
    return {};
  }
}

std::string Stmt::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(stmt_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(stmt_, column))};
}

Result<std::unique_ptr<Db>> Db::open(const std::string& path, Open how, std::stop_token stop,
                                     std::function<void()> on_blocked) {
  struct stat st{};
  if (stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    return fail(Code::Invalid,
                fmt::format("'{}' is not a file; give the path of an SQLite database", path));
  }
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE;
  switch (how) {
    case Open::ReadOnly:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Open::ReadWrite:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Open::Create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
  }
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  std::unique_ptr<Db> db(new Db(raw, path, std::move(stop)));
  if (raw == nullptr) return fail(Code::Internal, "out of memory");
  db->on_blocked_ = std::move(on_blocked);
  sqlite3_extended_result_codes(raw, 1);
  if (rc != SQLITE_OK) return fail(db->error(sqlite3_extended_errcode(raw)));
  sqlite3_busy_handler(raw, &Db::on_busy, db.get());
  sqlite3_progress_handler(raw, kProgressOps, &Db::on_progress, db.get());
  // Triggers and views of a foreign file may call only harmless functions.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // Opening reads nothing; the first statement tells whether this is a database.
  TG_CHECK(db->exec("SELECT 1 FROM sqlite_schema LIMIT 1"));
  return db;
}

Db::~Db() {
  const bool writes = db_ != nullptr && sqlite3_db_readonly(db_, "main") == 0;
  sqlite3_close_v2(db_);
  if (disk_full_ && writes) remove_log_files();
}

int Db::on_progress(void* self) { return static_cast<Db*>(self)->stop_.stop_requested() ? 1 : 0; }

int Db::on_busy(void* self, int calls) { return static_cast<Db*>(self)->wait_for_lock(calls); }

bool Db::wait_for_lock(int calls) {
  if (stop_.stop_requested() || calls * kBusyLook >= busy_wait_) return false;
  if (on_blocked_ && calls == kBlockedAfter / kBusyLook) on_blocked_();
  std::this_thread::sleep_for(kBusyLook);
  return true;
}

Status Db::exec(std::string_view sql) {
  TG_TRY(Stmt stmt, prepare(sql));
  return stmt.run();
}

Result<Stmt> Db::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  const int rc = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), 0, &raw, &tail);
  Stmt stmt(this, raw);
  if (rc != SQLITE_OK) return fail(error(sqlite3_extended_errcode(db_)));
  const std::string_view rest = sql.substr(static_cast<std::size_t>(tail - sql.data()));
  if (raw == nullptr || rest.find_first_not_of(" \t\r\n;") != std::string_view::npos) {
    return fail(Code::Invalid, "exactly one SQL statement is expected");
  }
  return stmt;
}

Result<std::optional<std::string>> Db::text(std::string_view sql) {
  TG_TRY(Stmt stmt, prepare(sql));
  TG_TRY(const bool row, stmt.step());
  if (!row || stmt.is_null(0)) return std::nullopt;
  return stmt.text(0);
}

Result<std::int64_t> Db::integer(std::string_view sql) {
  TG_TRY(Stmt stmt, prepare(sql));
  TG_TRY(const bool row, stmt.step());
  return row ? stmt.integer(0) : 0;
}

Status Db::in_place() const {
  int moved = 0;
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved != 0) return fail(error(SQLITE_READONLY_DBMOVED));
  return {};
}

void Db::rollback() {
  if (!in_transaction()) return;
  // Without the handler: an interrupted run must still be able to undo.
  sqlite3_progress_handler(db_, 0, nullptr, nullptr);
  sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_progress_handler(db_, kProgressOps, &Db::on_progress, this);
}

template <class F>
auto Db::without_waiting(F f) {
  const Millis wait = std::exchange(busy_wait_, Millis(0));
  auto result = f();
  busy_wait_ = wait;
  return result;
}

int Db::checkpoint(int mode) {
  return without_waiting(
      [&] { return sqlite3_wal_checkpoint_v2(db_, "main", mode, nullptr, nullptr); });
}

Result<std::int64_t> Db::committed_size() {
  TG_TRY(const std::int64_t pages, integer("PRAGMA main.page_count"));
  TG_TRY(const std::int64_t size, integer("PRAGMA main.page_size"));
  return pages * size;
}

Status Db::grow_to_committed() {
  const auto committed = without_waiting([&] { return committed_size(); });
  // A database without a log may be locked: the transaction waits for that, and longer.
  if (!committed) {
    return committed.error().code == Code::Unavailable ? Status() : fail(committed.error());
  }
  struct stat st{};
  if (stat(path_.c_str(), &st) != 0 || st.st_size >= *committed) return {};
  if (!is_full(checkpoint(SQLITE_CHECKPOINT_PASSIVE))) return {};
  disk_full_ = true;
  return fail(
      Code::Unavailable,
      fmt::format("'{0}' cannot grow: the disk is full; free some space and run again. Rows "
                  "that are committed wait in '{0}-wal' until then: keep that file",
                  path_));
}

void Db::truncate_log() { checkpoint(SQLITE_CHECKPOINT_TRUNCATE); }

// On a disk without space for the log's index (`-shm`, 32 KiB) SQLite cannot even close: log and
// index stay, as they were made. In exclusive mode the index is in memory, and the lock that it
// takes on the database is proof that nobody else uses either (wal.html, "Use of WAL Without
// Shared-Memory"). The log itself is SQLite's to remove; while it is needed both stay, for a reader
// finds no place for another index.
void Db::remove_log_files() const {
  const std::string index = path_ + "-shm", log = path_ + "-wal";
  if (access(index.c_str(), F_OK) != 0 && access(log.c_str(), F_OK) != 0) return;
  sqlite3* db = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  if (sqlite3_open_v2(path_.c_str(), &db, flags, nullptr) == SQLITE_OK &&
      sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT", nullptr, nullptr,
                   nullptr) == SQLITE_OK &&
      sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr) ==
          SQLITE_OK) {
    unlink(index.c_str());
  }
  sqlite3_close_v2(db);
}

bool Db::is_full(int rc) const {
  const int err = sqlite3_system_errno(db_);
  return (rc & 0xFF) == SQLITE_FULL ||
         ((rc & 0xFF) == SQLITE_IOERR && (err == ENOSPC || err == EDQUOT));
}

Error Db::error(int rc) const {
  const std::string what = sqlite3_errmsg(db_);
  const auto make = [&](Code code, std::string_view problem) {
    return Error{code, fmt::format("'{}' {} ({})", path_, problem, what), {}, {}};
  };
  if (rc == SQLITE_READONLY_DBMOVED) return gone(path_);
  if (is_full(rc)) {
    disk_full_ = true;
    Error full =
        make(Code::Unavailable, "cannot grow: the disk is full; free some space and run again");
    full.reason = kDiskFull;
    return full;
  }
  switch (rc & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make(Code::Unavailable,
                  "is locked by another program; let that program finish and run again, or end it");
    case SQLITE_CORRUPT:
      return make(Code::Invalid,
                  "is damaged; restore it from a backup or recover it with "
                  "`sqlite3 FILE .recover`");
    case SQLITE_NOTADB:
      return make(Code::Invalid, "is not an SQLite database; give the path of one");
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return make(Code::Forbidden,
                  "cannot be written; grant this user write access to the file and "
                  "its folder");
    case SQLITE_CANTOPEN:
      if (access(path_.c_str(), F_OK) != 0 && is_locked_folder(path_)) {
        return make(Code::Forbidden,
                    "cannot be made: this user may not write to its folder; make the folder "
                    "writable, or write elsewhere");
      }
      // A write-ahead log beside it cannot be made.
      if (access(path_.c_str(), R_OK) == 0 && access(path_.c_str(), W_OK) != 0) {
        return make(Code::Forbidden,
                    "cannot be written; grant this user write access to the file and "
                    "its folder");
      }
      return make(Code::NotFound,
                  "cannot be opened; check that it exists and that this user may "
                  "read it");
    case SQLITE_IOERR:
      return make(Code::Unavailable, "cannot be read or written: the disk reports an error");
    case SQLITE_INTERRUPT:
      return {Code::Cancelled, "the run was stopped", {}, {}};
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
      return {Code::Invalid, what, {}, {}};
    case SQLITE_AUTH:
    case SQLITE_ERROR:
      return {Code::Invalid, fmt::format("SQLite refuses: {}", what), {}, {}};
    default:
      return make(Code::Internal, "failed");
  }
}

}  // namespace tidegate::engine::sqlite
