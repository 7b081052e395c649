#pragma once
// SQLite through thin RAII: one connection with its cached statements. Used by one thread at a
// time.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"
#include "control/store/sql_rows.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tidegate::store::sqlite {

// The current row of a running statement; valid inside the callback that receives it.
class Row final : public sql::Row {
 public:
  explicit Row(sqlite3_stmt* stmt) : stmt_(stmt) {}
  bool null(int column) const override;
  std::int64_t integer(int column) const override;
  std::string_view view(int column) const override;  // valid until the next row
  Instant time(int column) const override { return from_ms(integer(column)); }

 private:
  sqlite3_stmt* stmt_;
};

class Db {
 public:
  // `flags` as sqlite3_open_v2's, without the threading ones.
  static Result<Db> open(const std::string& path, int flags);
  Db(Db&&) noexcept = default;
  Db& operator=(Db&&) noexcept = default;

  // One statement; the number of rows it changed.
  template <class... Args>
  Result<int> run(std::string_view sql, const Args&... args) {
    TG_TRY(Use use, prepare(sql));
    bind_all(use.stmt, args...);
    TG_CHECK(step_to_end(use.stmt));
    return changes();
  }
  // The same, when the number does not matter.
  template <class... Args>
  Status exec(std::string_view sql, const Args&... args) {
    TG_TRY(Use use, prepare(sql));
    bind_all(use.stmt, args...);
    return step_to_end(use.stmt);
  }
  // Calls f(Row) for each row; f returns void or Status, which ends the loop when it fails.
  template <class F, class... Args>
  Status each(std::string_view sql, F&& f, const Args&... args) {
    TG_TRY(Use use, prepare(sql));
    bind_all(use.stmt, args...);
    for (;;) {
      TG_TRY(const bool more, step(use.stmt));
      if (!more) return {};
      TG_CHECK(call(f, Row(use.stmt)));
    }
  }
  // Calls f for the first row only; false: there is none.
  template <class F, class... Args>
  Result<bool> first(std::string_view sql, F&& f, const Args&... args) {
    TG_TRY(Use use, prepare(sql));
    bind_all(use.stmt, args...);
    TG_TRY(const bool more, step(use.stmt));
    if (more) TG_CHECK(call(f, Row(use.stmt)));
    return more;
  }
  // The same, when it does not matter whether there is one.
  template <class F, class... Args>
  Status maybe(std::string_view sql, F&& f, const Args&... args) {
    TG_TRY(const bool found, first(sql, f, args...));
    (void)found;
    return {};
  }
  template <class... Args>
  Result<bool> exists(std::string_view sql, const Args&... args) {
    return first(sql, [](const Row&) {}, args...);
  }
  template <class... Args>
  Result<std::int64_t> number(std::string_view sql, const Args&... args) {
    std::int64_t n = 0;
    TG_CHECK(maybe(sql, [&](const Row& r) { n = r.integer(0); }, args...));
    return n;
  }
  // Several statements without parameters or results; not cached.
  Status script(const std::string& sql);

  bool in_transaction() const;
  std::int64_t total_changes() const;
  sqlite3* raw() const { return db_.get(); }
  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  struct Finalize {
    void operator()(sqlite3_stmt* stmt) const;
  };
  // Resets the statement at the end of its use, which also ends its read transaction.
  struct Use {
    sqlite3_stmt* stmt;
    explicit Use(sqlite3_stmt* s) : stmt(s) {}
    Use(Use&& o) noexcept : stmt(std::exchange(o.stmt, nullptr)) {}
    Use& operator=(Use&&) = delete;
    ~Use();
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  Db(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  Result<Use> prepare(std::string_view sql);
  Result<bool> step(sqlite3_stmt* stmt);
  Status step_to_end(sqlite3_stmt* stmt);
  int changes() const;

  template <class F>
  static Status call(F& f, const Row& row) {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, const Row&>>) {
      f(row);
      return {};
    } else {
      return f(row);
    }
  }
  static void bind(sqlite3_stmt* s, int i, std::int64_t v);
  static void bind(sqlite3_stmt* s, int i, int v) { bind(s, i, std::int64_t{v}); }
  static void bind(sqlite3_stmt* s, int i, bool v) { bind(s, i, std::int64_t{v}); }
  static void bind(sqlite3_stmt* s, int i, std::size_t v) {
    bind(s, i, static_cast<std::int64_t>(v));
  }
  static void bind(sqlite3_stmt* s, int i, std::string_view v);  // not copied
  static void bind(sqlite3_stmt* s, int i, const std::string& v) {
    bind(s, i, std::string_view(v));
  }
  static void bind(sqlite3_stmt* s, int i, const char* v) { bind(s, i, std::string_view(v)); }
  static void bind(sqlite3_stmt* s, int i, Instant v) { bind(s, i, to_ms(v)); }
  static void bind(sqlite3_stmt* s, int i, Fence v) { bind(s, i, value(v)); }
  static void bind(sqlite3_stmt* s, int i, std::nullopt_t);
  template <class Tag>
  static void bind(sqlite3_stmt* s, int i, const Id<Tag>& v) {
    bind(s, i, std::string_view(v.str()));
  }
  template <class T>
  static void bind(sqlite3_stmt* s, int i, const std::optional<T>& v) {
    v ? bind(s, i, *v) : bind(s, i, std::nullopt);
  }
  template <class... Args>
  static void bind_all(sqlite3_stmt* s, const Args&... args) {
    int i = 0;
    (bind(s, ++i, args), ...);
  }

  // Declared before the statements, so that they go first.
  std::unique_ptr<sqlite3, Close> db_;
  std::string path_;
  std::unordered_map<std::string, std::unique_ptr<sqlite3_stmt, Finalize>, Hash, std::equal_to<>>
      statements_;
};

// What a result code of SQLite means to the operator of `path`, with the remedy.
Error sqlite_error(sqlite3* db, int code, const std::string& path);

}  // namespace tidegate::store::sqlite
