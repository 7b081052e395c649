#include "engine/connectors/mysql/connection.h"

#include <errmsg.h>
#include <fmt/format.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/text.h"
#include "engine/connectors/mysql/greeting.h"

namespace tidegate::engine::mysql {
namespace {

constexpr int kConnectSeconds = 15;
constexpr unsigned long kMaxPacket = 1UL << 30;  // of one row
// A server may not ask for the password in clear, nor at a terminal. The library takes a link for
// secure when TLS was wished for, so what would show the password on a link without is not there.
constexpr const char* kAuthentication =
    "mysql_native_password,caching_sha2_password,sha256_password,client_ed25519";
constexpr const char* kAuthenticationInClear = "mysql_native_password,client_ed25519";

// What a session relies on, whatever the server's settings: values are refused and never bent,
// texts read the same, and nobody is sent away because the other end is slow.
constexpr const char* kSession =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', time_zone = "
    "'+00:00', autocommit = 1, innodb_lock_wait_timeout = 30, lock_wait_timeout = 30, "
    "net_write_timeout = 86400, net_read_timeout = 86400, wait_timeout = 604800, "
    "group_concat_max_len = 1048576, sql_select_limit = 18446744073709551615, sql_safe_updates = "
    "0, "
    "completion_type = 'NO_CHAIN'";

// Ends a connection whose other end is gone within a minute.
void watch(int socket) {
  const auto set = [&](int level, int option, int value) {
    (void)setsockopt(socket, level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
}

bool is_of_the_client(int number) {
  return number == 0 || (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) ||
         (number >= CER_MIN_ERROR && number <= CER_MAX_ERROR);
}

}  // namespace

// ---- Rows

Rows::Rows(st_mysql_res* result, std::int64_t changed) : changed_(changed) {
  if (result == nullptr) return;
  const unsigned columns = mysql_num_fields(result);
  while (MYSQL_ROW row = mysql_fetch_row(result)) {
    const unsigned long* lengths = mysql_fetch_lengths(result);
    auto& values = rows_.emplace_back();
    for (unsigned i = 0; i < columns; ++i) {
      values.push_back(row[i] == nullptr ? std::nullopt
                                         : std::optional(std::string(row[i], lengths[i])));
    }
  }
  mysql_free_result(result);
}

std::int64_t Rows::integer(int row, int column) const {
  const std::string digits = text(row, column);
  std::int64_t v = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), v);
  return v;
}

// ---- opening

void Connection::Finish::operator()(st_mysql* c) const { mysql_close(c); }
void Connection::Free::operator()(st_mysql_res* r) const { mysql_free_result(r); }

Connection::Connection(const Config& config, std::stop_token stop)
    : place_(config.place()),
      database_(config.database),
      user_(config.user),
      stop_(std::move(stop)) {}

Connection::~Connection() { close(); }

void Connection::close() {
  // No stop may shut down a socket that is somebody else's by then.
  on_stop_.reset();
  // Else the library would read the rows that nobody wants.
  if (rows_ != nullptr) hang_up();
  socket_ = -1;
  rows_.reset();
  conn_.reset();
}

void Connection::hang_up() {
  const std::scoped_lock lock(mutex_);
  if (socket_ >= 0) (void)shutdown(socket_, SHUT_RDWR);
  socket_ = -1;
}

Result<std::unique_ptr<Connection>> Connection::open(const Config& config, std::stop_token stop,
                                                     bool writes) {
  std::unique_ptr<Connection> c(new Connection(config, std::move(stop)));
  if (c->stop_.stop_requested()) return fail(Code::Cancelled, "stopped");
  TG_CHECK(c->connect(config, writes));
  TG_CHECK(c->set_up(writes));
  return c;
}

Status Connection::connect(const Config& config, bool writes) {
  // Not twice at once: the library's first call makes what all its calls share.
  static const int kReady = mysql_library_init(0, nullptr, nullptr);
  if (kReady != 0) return fail(Code::Internal, "the MySQL client library cannot be used");
  conn_.reset(mysql_init(nullptr));
  st_mysql* conn = conn_.get();
  if (conn == nullptr) return fail(Code::Internal, "no memory for a connection to MySQL");
  const bool path = config.host.starts_with('/');
  TG_TRY(const bool tls, wants_tls(config));
  set_options(config, writes, tls);
  // Nobody else hears what goes through a Unix socket.
  mysql_options(conn, MARIADB_OPT_RESTRICTED_AUTH,
                tls || path ? kAuthentication : kAuthenticationInClear);
  const std::string password(config.password.reveal());
  if (mysql_real_connect(conn, path ? nullptr : config.host.c_str(), user_.c_str(),
                         password.c_str(), database_.c_str(), static_cast<unsigned>(config.port),
                         path ? config.host.c_str() : nullptr, CLIENT_FOUND_ROWS) == nullptr) {
    return fail(cannot_connect(static_cast<int>(mysql_errno(conn)), mysql_error(conn)));
  }
  // It may have said another thing this time.
  if (config.ssl_mode >= SslMode::Required && mysql_get_ssl_cipher(conn) == nullptr)
    return without_tls();
  const std::scoped_lock lock(mutex_);
  socket_ = mysql_get_socket(conn);
  if (!path) watch(socket_);
  return {};
}

std::unexpected<Error> Connection::without_tls() const {
  return fail(Code::Invalid,
              fmt::format("no TLS connection to the MySQL server {}: it offers none; set up TLS "
                          "there, or use sslMode `preferred`",
                          place_));
}

Result<bool> Connection::wants_tls(const Config& config) const {
  if (config.ssl_mode == SslMode::Disabled) return false;
  const auto greeting = read_greeting(config, kConnectSeconds, stop_);
  if (!greeting) {
    if (greeting.error().code == Code::Cancelled) return fail(greeting.error());
    return fail(cannot_connect(CR_CONN_HOST_ERROR, greeting.error().message));
  }
  if (greeting->refused != 0) return fail(cannot_connect(greeting->refused, greeting->why));
  if (config.ssl_mode >= SslMode::Required && !greeting->offers_tls) return without_tls();
  return greeting->offers_tls;
}

void Connection::set_options(const Config& config, bool writes, bool tls) {
  st_mysql* conn = conn_.get();
  const unsigned local = writes ? 1 : 0;
  mysql_options(conn, MYSQL_OPT_CONNECT_TIMEOUT, &kConnectSeconds);
  mysql_options(conn, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  mysql_options(conn, MYSQL_OPT_LOCAL_INFILE, &local);
  mysql_options(conn, MYSQL_OPT_MAX_ALLOWED_PACKET, &kMaxPacket);
  mysql_options4(conn, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "tidegate-sync");
  mysql_set_local_infile_handler(
      conn, &load_begin, &load_read, [](void*) {}, &load_error, bytes_.get());
  // A file of certificates makes the library check the chain; the name is checked by the other.
  my_bool enforce = tls ? 1 : 0;
  my_bool identity = config.ssl_mode == SslMode::VerifyIdentity ? 1 : 0;
  mysql_options(conn, MYSQL_OPT_SSL_ENFORCE, &enforce);
  mysql_options(conn, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &identity);
  if (config.ssl_mode >= SslMode::VerifyCa && !config.ssl_ca.empty())
    mysql_options(conn, MYSQL_OPT_SSL_CA, config.ssl_ca.c_str());
  // Else `localhost` would be a Unix socket of the library's choice, whatever the port.
  const unsigned protocol =
      config.host.starts_with('/') ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
  mysql_options(conn, MYSQL_OPT_PROTOCOL, &protocol);
}

Status Connection::set_up(bool writes) {
  on_stop_.emplace(stop_, [this] { hang_up(); });
  // init_connect of the server may have set another, and letters would be lost.
  TG_CHECK(exec("SET NAMES utf8mb4"));
  TG_CHECK(exec(kSession));
  TG_CHECK(exec("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"));
  TG_TRY(const Rows rows,
         query("SELECT @@version, @@max_allowed_packet, @@local_infile, @@version_comment"));
  const std::string version = rows.text(0, 0);
  mariadb_ = version.find("MariaDB") != std::string::npos ||
             rows.text(0, 3).find("MariaDB") != std::string::npos;
  TG_CHECK(
      exec(mariadb_ ? "SET SESSION max_statement_time = 0" : "SET SESSION max_execution_time = 0"));
  int major = 0, minor = 0;
  const auto read = std::from_chars(version.data(), version.data() + version.size(), major);
  if (*read.ptr == '.') std::from_chars(read.ptr + 1, version.data() + version.size(), minor);
  if (mariadb_ ? major * 100 + minor < 1005 : major < 8) {
    return fail(
        Code::Unsupported,
        fmt::format("the server {} has version {}; MySQL 8.0.17 or MariaDB 10.5 or newer is "
                    "needed",
                    place_, version));
  }
  max_packet_ = rows.integer(0, 1);
  can_load_ = writes && rows.flag(0, 2);
  return {};
}

Error Connection::cannot_connect(int number, std::string why) const {
  const auto error = [&](Code code, std::string_view remedy) {
    return Error{code, fmt::format("the MySQL server {}: {}; {}", place_, why, remedy), {}, {}};
  };
  switch (number) {
    case ER_ACCESS_DENIED_ERROR:
    case 1698:  // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
      return error(Code::Unauthorized, "check user and password");
    case ER_DBACCESS_DENIED_ERROR:
    case ER_HOST_NOT_PRIVILEGED:
      return error(Code::Forbidden, "GRANT the user the right to the database from this machine");
    case ER_BAD_DB_ERROR:
      return error(Code::NotFound, "check the name of the database");
    case CR_SSL_CONNECTION_ERROR:
      return error(Code::Invalid, "check sslMode and sslCa");
    case CR_AUTH_PLUGIN_CANNOT_LOAD:
      return error(Code::Invalid,
                   "the user's authentication plugin is not supported; ALTER USER … IDENTIFIED "
                   "WITH caching_sha2_password or mysql_native_password");
    case CR_PLUGIN_NOT_ALLOWED:
      return error(Code::Invalid,
                   "it asks for the password in a form that others could read; set up TLS at the "
                   "server and sslMode `required`, or ALTER USER … IDENTIFIED WITH "
                   "mysql_native_password or ed25519");
    default:
      return error(Code::Unavailable, "check that it runs, and host, port and network");
  }
}

// ---- errors

std::unexpected<Error> Connection::lost() {
  const std::string why = conn_ ? mysql_error(conn_.get()) : "it was closed";
  lost_ = true;
  if (stop_.stop_requested()) return fail(Code::Cancelled, "stopped");
  return fail(
      Code::Unavailable,
      fmt::format("the connection to the MySQL server {} was lost: {}; check that it runs; it is "
                  "worth another attempt",
                  place_, why));
}

std::unexpected<Error> Connection::failed() {
  errno_ = static_cast<int>(mysql_errno(conn_.get()));
  // Of a trigger, which may give it any number.
  signalled_ = std::string_view(mysql_sqlstate(conn_.get())) == "45000";
  if (!signalled_ && is_of_the_client(errno_)) return lost();
  const std::string message = mysql_error(conn_.get());
  const auto error = [&](Code code, std::string_view remedy) {
    return fail(code, fmt::format("MySQL: {}{}{}", message, remedy.empty() ? "" : "; ", remedy));
  };
  if (signalled_) return error(Code::Invalid, "");
  switch (errno_) {
    case ER_SERVER_SHUTDOWN:
    case ER_QUERY_INTERRUPTED:
    case 1927:  // ER_CONNECTION_KILLED
    case ER_NORMAL_SHUTDOWN:
      lost_ = true;
      return stop_.stop_requested() ? fail(Code::Cancelled, "stopped")
                                    : error(Code::Unavailable, "");
    case ER_LOCK_WAIT_TIMEOUT:
    case ER_LOCK_DEADLOCK:
    case ER_CON_COUNT_ERROR:
    case ER_TABLE_DEF_CHANGED:
    case ER_CHECKREAD:  // the row has changed since it was read
    case 1969:          // ER_STATEMENT_TIMEOUT of MariaDB
    case 3024:          // ER_QUERY_TIMEOUT of MySQL
      return error(Code::Unavailable, "");
    case ER_RECORD_FILE_FULL:
    case ER_DISK_FULL:
      return error(Code::Unavailable, "free some space on the server");
    case ER_ACCESS_DENIED_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_COLUMNACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
    case ER_PROCACCESS_DENIED_ERROR:
      return error(Code::Forbidden,
                   fmt::format("GRANT the right to {}", user_.empty() ? "the user" : user_));
    case ER_OPTION_PREVENTS_STATEMENT:
    case ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION:
      return error(Code::Invalid, "the server takes no writes; name the primary");
    case ER_NET_PACKET_TOO_LARGE:
      return error(Code::Invalid, "raise max_allowed_packet of the server");
    case ER_TOO_BIG_ROWSIZE:
      return error(Code::Invalid, "leave some columns out (`columns` of the entity)");
    case ER_NO_SUCH_TABLE:
    case ER_BAD_FIELD_ERROR:
      return error(Code::NotFound, "");
    default:
      return error(Code::Invalid, "");
  }
}

// ---- statements

Status Connection::send(const std::string& sql) {
  if (!is_open() || stop_.stop_requested()) return lost();
  if (mysql_real_query(conn_.get(), sql.data(), sql.size()) != 0) return failed();
  return {};
}

Result<Rows> Connection::result() {
  st_mysql_res* rows = mysql_store_result(conn_.get());
  if (rows == nullptr && mysql_field_count(conn_.get()) > 0) return failed();
  return Rows(rows, static_cast<std::int64_t>(mysql_affected_rows(conn_.get())));
}

Result<Rows> Connection::query(const std::string& sql) {
  TG_CHECK(send(sql));
  return result();
}

Status Connection::parse(const std::string& sql) {
  if (!is_open()) return lost();
  struct Close {
    void operator()(MYSQL_STMT* s) const { mysql_stmt_close(s); }
  };
  const std::unique_ptr<MYSQL_STMT, Close> statement(mysql_stmt_init(conn_.get()));
  if (mysql_stmt_prepare(statement.get(), sql.data(), sql.size()) == 0) return {};
  const int number = static_cast<int>(mysql_stmt_errno(statement.get()));
  if (is_of_the_client(number)) return lost();
  return fail(Code::Invalid, fmt::format("MySQL: {}", mysql_stmt_error(statement.get())));
}

Status Connection::select(const std::string& sql) {
  TG_CHECK(send(sql));
  rows_.reset(mysql_use_result(conn_.get()));
  if (rows_ == nullptr) return failed();
  return {};
}

Result<bool> Connection::next_row(std::vector<std::string_view>& values) {
  if (!is_open() || stop_.stop_requested()) return lost();
  MYSQL_ROW row = mysql_fetch_row(rows_.get());
  if (row == nullptr) {
    // Whether that was all is said by the error alone.
    std::optional<Error> broken;
    if (mysql_errno(conn_.get()) != 0) broken = failed().error();
    rows_.reset();
    if (broken) return fail(std::move(*broken));
    return false;
  }
  const unsigned long* lengths = mysql_fetch_lengths(rows_.get());
  values.resize(mysql_num_fields(rows_.get()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = row[i] == nullptr ? std::string_view() : std::string_view(row[i], lengths[i]);
  }
  return true;
}

// ---- LOAD DATA LOCAL

int Connection::load_begin(void** state, const char*, void* bytes) {
  // Whatever file the server names: it gets what is being loaded, or nothing.
  *state = bytes;
  return static_cast<Bytes*>(bytes)->wanted ? 0 : 1;
}

int Connection::load_read(void* state, char* buffer, unsigned int size) {
  auto& left = static_cast<Bytes*>(state)->left;
  const std::size_t n = std::min<std::size_t>(size, left.size());
  std::memcpy(buffer, left.data(), n);
  left.remove_prefix(n);
  return static_cast<int>(n);
}

int Connection::load_error(void*, char* buffer, unsigned int size) {
  if (size > 0) fmt::format_to_n(buffer, size - 1, "no file of this machine is sent").out[0] = '\0';
  return CR_UNKNOWN_ERROR;
}

Result<std::int64_t> Connection::load(const std::string& sql, std::string_view bytes) {
  *bytes_ = {.left = bytes, .wanted = true};
  const Status sent = send(sql);
  bytes_->wanted = false;
  if (!sent) return std::unexpected(sent.error());
  // With LOCAL a value that does not fit is bent, and only a warning says so.
  const unsigned warnings = mysql_warning_count(conn_.get());
  TG_TRY(const Rows done, result());
  if (warnings == 0) return done.changed();
  TG_TRY(const Rows first, query("SHOW WARNINGS LIMIT 1"));
  return fail(Code::Internal, fmt::format("MySQL took rows with a warning: {}; this is a defect",
                                          first.size() > 0 ? first.text(0, 2) : ""));
}

// ---- texts

Result<std::string> Connection::place_of(std::string_view table) {
  if (server_.empty()) {
    TG_TRY(const Rows rows,
           query("SELECT CONCAT_WS(' ', 'mysql', @@hostname, @@port, @@datadir, DATABASE())"));
    if (rows.size() == 0) return lost();
    server_ = rows.text(0, 0);
  }
  return fmt::format("{} {}", server_, identifier(table));
}

std::string Connection::identifier(std::string_view name) const {
  std::string out = "`";
  for (const char c : name) {
    if (c == '`') out += '`';
    out += c;
  }
  return out + '`';
}

// The session's sql_mode has no NO_BACKSLASH_ESCAPES.
std::string Connection::literal(std::string_view text) const {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\0') {
      out += "\\0";
      continue;
    }
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + '\'';
}

const char* Connection::exact_collation() const {
  return mariadb_ ? "utf8mb4_nopad_bin" : "utf8mb4_0900_bin";
}

}  // namespace tidegate::engine::mysql
