#include "control/store/sqlite/db.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>

namespace tidegate::store::sqlite {

bool Row::null(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }
std::int64_t Row::integer(int column) const { return sqlite3_column_int64(stmt_, column); }

std::string_view Row::view(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(stmt_, column));
  const int size = sqlite3_column_bytes(stmt_, column);
  return text == nullptr ? std::string_view() : std::string_view(text, std::size_t(size));
}

void Db::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }
void Db::Finalize::operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
Db::Use::~Use() {
  if (stmt != nullptr) sqlite3_reset(stmt);
}

Error sqlite_error(sqlite3* db, int code, const std::string& path) {
  const std::string detail = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
  const int system = db == nullptr ? 0 : sqlite3_system_errno(db);
  const std::string cause = system == 0 ? detail : fmt::format("{}: {}", detail, strerror(system));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::Unavailable,
              fmt::format("the store {} is locked by another process; try again", path),
              "store_locked",
              {}};
    case SQLITE_FULL:
      return {Code::Unavailable,
              fmt::format("the disk that holds {} is full and nothing was written; free some space",
                          path),
              "store_full",
              {}};
    case SQLITE_READONLY:
      return {Code::Unavailable,
              fmt::format("the store {} cannot be written ({}); check the owner and permissions of "
                          "the file and its folder, and that the disk is not mounted read-only",
                          path, cause),
              "store_readonly",
              {}};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {Code::Internal,
              fmt::format("the store {} cannot be opened ({}); check the path, and the owner and "
                          "permissions of the file and its folder",
                          path, cause),
              "store_cannot_open",
              {}};
    case SQLITE_CORRUPT:
      return {Code::Internal,
              fmt::format("the store {} is damaged ({}); stop the server and restore a backup, or "
                          "rescue what is readable with: sqlite3 {} .recover",
                          path, detail, path),
              "store_corrupt",
              {}};
    case SQLITE_NOTADB:
      return {Code::Internal,
              fmt::format("{} is not an SQLite database; choose another path for the store", path),
              "not_a_database",
              {}};
    case SQLITE_IOERR:
      return {Code::Unavailable,
              fmt::format("reading or writing the store {} failed ({}); check the disk and the "
                          "system's log",
                          path, cause),
              "store_io",
              {}};
    default:
      return {Code::Internal,
              fmt::format("the store {} failed: {} ({})", path, detail, code),
              "store_error",
              {}};
  }
}

Result<Db> Db::open(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &raw,
                                 flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Db db(raw, path);
  if (rc != SQLITE_OK) return fail(sqlite_error(raw, rc, path));
  return db;
}

Result<Db::Use> Db::prepare(std::string_view sql) {
  auto it = statements_.find(sql);
  if (it == statements_.end()) {
    sqlite3_stmt* stmt = nullptr;
    const int rc = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
    if (rc != SQLITE_OK) return fail(sqlite_error(db_.get(), rc, path_));
    it = statements_.emplace(std::string(sql), stmt).first;
  }
  return Use(it->second.get());
}

Result<bool> Db::step(sqlite3_stmt* stmt) {
  const int rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return fail(sqlite_error(db_.get(), rc, path_));
}

Status Db::step_to_end(sqlite3_stmt* stmt) {
  for (;;) {
    TG_TRY(const bool more, step(stmt));
    if (!more) return {};
  }
}

int Db::changes() const { return sqlite3_changes(db_.get()); }
bool Db::in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
std::int64_t Db::total_changes() const { return sqlite3_total_changes64(db_.get()); }

Status Db::script(const std::string& sql) {
  const int rc = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return fail(sqlite_error(db_.get(), rc, path_));
  return {};
}

void Db::bind(sqlite3_stmt* s, int i, std::int64_t v) { sqlite3_bind_int64(s, i, v); }
void Db::bind(sqlite3_stmt* s, int i, std::nullopt_t) { sqlite3_bind_null(s, i); }
void Db::bind(sqlite3_stmt* s, int i, std::string_view v) {
  // An empty view may have no data, which SQLite would take for NULL.
  sqlite3_bind_text64(s, i, v.data() == nullptr ? "" : v.data(), v.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

}  // namespace tidegate::store::sqlite
