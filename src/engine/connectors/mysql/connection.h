#pragma once
// One connection to a MySQL or MariaDB server: statements, rows as they come, LOAD DATA from
// memory, and errors a person can act on.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/mysql/config.h"

struct st_mysql;
struct st_mysql_res;

namespace tidegate::engine::mysql {

// The rows of one statement, as texts.
class Rows {
 public:
  Rows() = default;
  Rows(st_mysql_res* result, std::int64_t changed);
  int size() const { return static_cast<int>(rows_.size()); }
  bool null(int row, int column) const { return !at(row, column); }
  std::string text(int row, int column) const { return at(row, column).value_or(""); }
  std::int64_t integer(int row, int column) const;  // 0 for NULL
  bool flag(int row, int column) const { return integer(row, column) != 0; }
  // Rows that the statement inserted, deleted, or met (an UPDATE counts what it finds, changed or
  // not).
  std::int64_t changed() const { return changed_; }

 private:
  const std::optional<std::string>& at(int row, int column) const {
    return rows_[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  }
  std::vector<std::vector<std::optional<std::string>>> rows_;
  std::int64_t changed_ = 0;
};

// Used by one thread. A call that waits for the server ends soon with Cancelled once `stop` is
// requested, by closing the connection; the server gives up what it was doing when it next looks.
class Connection {
 public:
  // `writes`: LOAD DATA LOCAL may be used. The server never gets a file of this machine.
  // Errors: Unauthorized, Forbidden, NotFound (the database), Unavailable, Invalid (TLS).
  static Result<std::unique_ptr<Connection>> open(const Config& config, std::stop_token stop,
                                                  bool writes);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<Rows> query(const std::string& sql);
  Status exec(const std::string& sql) {
    TG_TRY([[maybe_unused]] const Rows rows, query(sql));
    return {};
  }
  // Its text is read, nothing is done: for conditions of users.
  Status parse(const std::string& sql);

  // A SELECT whose rows are fetched one by one, until next_row() is false; the connection does
  // nothing else meanwhile. A value is valid until the next call; data() == nullptr: NULL.
  Status select(const std::string& sql);
  Result<bool> next_row(std::vector<std::string_view>& values);

  // LOAD DATA LOCAL INFILE '' …: the server gets `bytes`. Rows that were taken.
  // Internal: the server took them with a warning, so some value may not be what it was.
  Result<std::int64_t> load(const std::string& sql, std::string_view bytes);

  // Gives up what is under way: false from then on.
  void close();
  bool is_open() const { return conn_ != nullptr && !lost_; }

  // The number of the last statement that was refused (1062).
  int error_number() const { return errno_; }
  // Somebody's trigger refused it (SQLSTATE 45000), whatever the number.
  bool error_signalled() const { return signalled_; }

  // Where a table of the connection's database is: equal for every connection that leads to it.
  Result<std::string> place_of(std::string_view table);

  std::string identifier(std::string_view name) const;  // `a``b`
  std::string literal(std::string_view text) const;     // 'it\'s'
  bool is_mariadb() const { return mariadb_; }
  bool can_load() const { return can_load_; }
  std::int64_t max_packet() const { return max_packet_; }  // bytes
  // Bytes of one statement's rows; one row may come on top.
  std::size_t piece_size() const {
    return static_cast<std::size_t>(std::min<std::int64_t>(1 << 20, max_packet_ / 4));
  }
  const char* exact_collation() const;  // of utf8mb4: letter by letter, blanks at the end too

 private:
  Connection(const Config& config, std::stop_token stop);
  Status connect(const Config& config, bool writes);
  std::unexpected<Error> without_tls() const;
  Result<bool> wants_tls(const Config& config) const;
  void set_options(const Config& config, bool writes, bool tls);
  Status set_up(bool writes);
  Status send(const std::string& sql);
  Result<Rows> result();
  std::unexpected<Error> failed();
  std::unexpected<Error> lost();
  Error cannot_connect(int number, std::string why) const;
  void hang_up();

  struct Finish {
    void operator()(st_mysql* c) const;
  };
  struct Free {
    void operator()(st_mysql_res* r) const;
  };
  struct Bytes {
    std::string_view left;
    bool wanted = false;  // a load is under way
  };
  static int load_begin(void** state, const char* file, void* bytes);
  static int load_read(void* state, char* buffer, unsigned int size);
  static int load_error(void* state, char* buffer, unsigned int size);

  const std::string place_, database_, user_;
  std::string server_;  // and database, of place_of()
  const std::stop_token stop_;
  std::unique_ptr<st_mysql, Finish> conn_;
  std::unique_ptr<st_mysql_res, Free> rows_;  // of select()
  std::unique_ptr<Bytes> bytes_ = std::make_unique<Bytes>();
  bool mariadb_ = false, can_load_ = false, lost_ = false;
  std::int64_t max_packet_ = 0;
  int errno_ = 0;
  bool signalled_ = false;
  // The socket belongs to this connection; read by the thread that requests the stop.
  std::mutex mutex_;
  int socket_ = -1;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

}  // namespace tidegate::engine::mysql
