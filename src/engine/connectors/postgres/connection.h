#pragma once
// One connection to a PostgreSQL server: statements, COPY, and errors a person can act on.

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/postgres/config.h"

struct pg_conn;
struct pg_result;

namespace tidegate::engine::postgres {

// The rows of one statement, in text format.
class Rows {
 public:
  explicit Rows(pg_result* result) : result_(result) {}
  int size() const;
  bool null(int row, int column) const;
  std::string_view text(int row, int column) const;  // "" for NULL
  std::int64_t integer(int row, int column) const;   // 0 for NULL
  bool flag(int row, int column) const { return text(row, column) == "t"; }
  std::int64_t changed() const;  // rows written

 private:
  struct Clear {
    void operator()(pg_result* r) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

// Used by one thread. Every call leaves soon with Cancelled once `stop` is requested, and the
// server is asked to stop, too.
class Connection {
 public:
  // Errors: Unauthorized, Forbidden, NotFound (the database), Unavailable, Invalid (TLS).
  static Result<std::unique_ptr<Connection>> open(const Config& config, std::stop_token stop);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One statement; parameters are texts, of types that the statement makes clear.
  Result<Rows> query(const std::string& sql, const std::vector<std::string>& params = {});
  Status exec(const std::string& sql) {
    TG_TRY([[maybe_unused]] const Rows rows, query(sql));
    return {};
  }
  // Its text is read, nothing is done: for conditions of users.
  Status parse(const std::string& sql);

  // COPY … TO STDOUT (FORMAT binary); then next_piece() until nullopt. A piece is what the server
  // sent in one message, valid until the next call.
  Status copy_out(const std::string& sql);
  Result<std::optional<std::string_view>> next_piece();

  // Gives up what is under way: false from then on.
  void close() { conn_.reset(); }
  bool is_open() const;

  // COPY … FROM STDIN (FORMAT binary); put() any number of times; end_copy() says how many rows
  // came. After an error the transaction is aborted.
  Status copy_in(const std::string& sql);
  Status put(std::string_view bytes);
  Result<std::int64_t> end_copy();
  void give_up_copy();  // nothing of it stays; the connection does

  // Where in its rows the last COPY was refused.
  struct CopyPlace {
    std::int64_t row = 0;  // from 1
    std::string column;    // "": of no one column
  };
  const std::optional<CopyPlace>& refused_at() const { return refused_at_; }
  // The state of the last statement that was refused (`23505`).
  const std::string& sqlstate() const { return sqlstate_; }
  // Who this is to the server, for as long as the connection lives: `4711 2026-11-28 04:50:00+00`.
  Result<std::string> session();

  // Where a table is, for as long as the server runs: equal for every connection that leads to it.
  Result<std::string> place_of(std::string_view schema, std::string_view table);

  // `"a""b"`, `'it''s'`.
  std::string identifier(std::string_view name) const;
  std::string literal(std::string_view text) const;
  int server_version() const;  // 150004

 private:
  explicit Connection(std::string place, std::string user, std::stop_token stop)
      : place_(std::move(place)), user_(std::move(user)), stop_(std::move(stop)) {}
  Status connect(const Config& config);
  Status wait(short events);
  Result<std::optional<Rows>> next_result();
  Result<Rows> last_result();
  std::unexpected<Error> cancelled();
  std::unexpected<Error> lost();
  std::unexpected<Error> refused(const pg_result* result);
  static std::optional<CopyPlace> copy_place(const char* context);
  Status begin_copy(const std::string& sql);
  Error cannot_connect() const;

  struct Finish {
    void operator()(pg_conn* c) const;
  };
  struct Free {
    void operator()(char* piece) const;
  };
  const std::string place_, user_;
  const std::stop_token stop_;
  std::unique_ptr<pg_conn, Finish> conn_;
  std::unique_ptr<char, Free> piece_;
  std::string sqlstate_;
  std::string database_;  // of place_of()
  std::optional<CopyPlace> refused_at_;
};

}  // namespace tidegate::engine::postgres
