#include "engine/connectors/postgres/connection.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace tidegate::engine::postgres {
namespace {

// How soon a request to stop is seen while the server is silent.
constexpr int kLookMs = 100;
constexpr int kOldestServer = 130000;

// Without the `connection to server at …` that libpq puts before it: the place is said already.
std::string first_line(std::string_view message) {
  if (const auto fatal = message.find("FATAL:"); fatal != std::string_view::npos) {
    message.remove_prefix(fatal + 6);
  } else if (const auto failed = message.find(" failed: "); failed != std::string_view::npos) {
    message.remove_prefix(failed + 9);
  }
  return std::string(trim(message.substr(0, message.find('\n'))));
}

}  // namespace

// ---- Rows

void Rows::Clear::operator()(pg_result* r) const { PQclear(r); }
int Rows::size() const { return PQntuples(result_.get()); }
bool Rows::null(int row, int column) const { return PQgetisnull(result_.get(), row, column) == 1; }
std::string_view Rows::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}
std::int64_t Rows::integer(int row, int column) const {
  const std::string_view digits = text(row, column);
  std::int64_t v = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), v);
  return v;
}

std::int64_t Rows::changed() const {
  const std::string_view digits = PQcmdTuples(result_.get());
  std::int64_t v = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), v);
  return v;
}

// ---- opening

void Connection::Finish::operator()(pg_conn* c) const { PQfinish(c); }
void Connection::Free::operator()(char* piece) const { PQfreemem(piece); }
Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::open(const Config& config, std::stop_token stop) {
  std::unique_ptr<Connection> c(new Connection(config.place, config.user, std::move(stop)));
  TG_CHECK(c->connect(config));
  if (c->server_version() < kOldestServer) {
    return fail(Code::Unsupported,
                fmt::format("the PostgreSQL server {} has version {}; 13 or newer is needed",
                            config.place, c->server_version() / 10000));
  }
  // Texts of types that have no form of their own read the same whatever the server's settings. A
  // database of the encoding SQL_ASCII holds any bytes, and would refuse the whole statement for
  // those of one value, or name, that are no UTF-8: they are looked at here, one by one.
  TG_CHECK(
      c->exec("SELECT set_config('datestyle', 'ISO', false), set_config('intervalstyle', "
              "'iso_8601', false), set_config('extra_float_digits', '3', false), "
              "set_config('bytea_output', 'hex', false), set_config('timezone', 'UTC', false), "
              "set_config('statement_timeout', '0', false), set_config('lock_timeout', "
              "'30s', false), set_config('idle_in_transaction_session_timeout', '0', false), "
              "set_config('client_encoding', CASE current_setting('server_encoding') WHEN "
              "'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false)"));
  return c;
}

Status Connection::connect(const Config& config) {
  std::vector<const char*> keys, values;
  for (const auto& [keyword, value] : config.parameters) {
    keys.push_back(keyword.c_str());
    values.push_back(value.reveal().data());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  conn_.reset(PQconnectStartParams(keys.data(), values.data(), 0));
  pg_conn* conn = conn_.get();
  if (conn == nullptr) return fail(Code::Internal, "no memory for a connection to PostgreSQL");
  PQsetNoticeProcessor(conn, [](void*, const char*) {}, nullptr);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  auto state = PGRES_POLLING_WRITING;
  while (PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
         state != PGRES_POLLING_FAILED) {
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(Code::Unavailable,
                  fmt::format("the PostgreSQL server {} gives no answer; check host, port and "
                              "network",
                              place_));
    }
    pollfd fd{PQsocket(conn), state == PGRES_POLLING_READING ? short{POLLIN} : short{POLLOUT}, 0};
    if (stop_.stop_requested()) return cancelled();
    const int n = poll(&fd, 1, kLookMs);
    if (n > 0) state = PQconnectPoll(conn);
  }
  if (PQstatus(conn) != CONNECTION_OK) return fail(cannot_connect());
  if (PQsetnonblocking(conn, 1) != 0) return lost();
  return {};
}

Error Connection::cannot_connect() const {
  const std::string why = first_line(PQerrorMessage(conn_.get()));
  const auto says = [&](std::string_view text) { return why.find(text) != std::string::npos; };
  if (says("password authentication failed") || says("no password supplied")) {
    return {Code::Unauthorized,
            fmt::format("the PostgreSQL server {} refused the user: {}; check user and password",
                        place_, why),
            {},
            {}};
  }
  if (says("pg_hba.conf") || says("permission denied for database") ||
      says("is not permitted to log in")) {
    return {Code::Forbidden,
            fmt::format("the PostgreSQL server {} lets the user not in: {}; GRANT CONNECT on the "
                        "database, or add this machine to pg_hba.conf",
                        place_, why),
            {},
            {}};
  }
  if (says("does not exist")) {
    return {Code::NotFound,
            fmt::format("the PostgreSQL server {} says: {}; check the names of database and user",
                        place_, why),
            {},
            {}};
  }
  if (says("certificate") || says("SSL") || says("sslmode") || says("root.crt")) {
    return {Code::Invalid,
            fmt::format("no TLS connection to the PostgreSQL server {}: {}; check sslMode and "
                        "sslRootCert",
                        place_, why),
            {},
            {}};
  }
  return {
      Code::Unavailable,
      fmt::format("the PostgreSQL server {} cannot be reached: {}; check that it runs, and host, "
                  "port and network",
                  place_, why),
      {},
      {}};
}

// ---- errors

std::unexpected<Error> Connection::cancelled() {
  if (PQstatus(conn_.get()) == CONNECTION_OK) {
    if (PGcancel* cancel = PQgetCancel(conn_.get())) {
      char text[256] = "";
      (void)PQcancel(cancel, text, sizeof text);
      PQfreeCancel(cancel);
    }
  }
  // What it was doing is of no use to anybody.
  conn_.reset();
  return fail(Code::Cancelled, "stopped");
}

// `COPY t, line 7, column c`; in another language of the server: nothing.
std::optional<Connection::CopyPlace> Connection::copy_place(const char* context) {
  std::string_view text = context == nullptr ? "" : context;
  text = text.substr(0, text.find('\n'));
  constexpr std::string_view kLine = ", line ", kColumn = ", column ";
  const auto line = text.starts_with("COPY ") ? text.rfind(kLine) : std::string_view::npos;
  if (line == std::string_view::npos) return std::nullopt;
  CopyPlace place;
  const char* const digits = text.data() + line + kLine.size();
  const auto read = std::from_chars(digits, text.data() + text.size(), place.row);
  if (read.ec != std::errc()) return std::nullopt;
  std::string_view rest(read.ptr, static_cast<std::size_t>(text.data() + text.size() - read.ptr));
  if (rest.starts_with(kColumn)) {
    rest.remove_prefix(kColumn.size());
    place.column = rest.substr(0, rest.find(':'));
  }
  return place;
}

std::unexpected<Error> Connection::lost() {
  const std::string why = conn_ ? first_line(PQerrorMessage(conn_.get())) : "it was closed";
  return fail(Code::Unavailable,
              fmt::format("the connection to the PostgreSQL server {} was lost: {}", place_, why));
}

std::unexpected<Error> Connection::refused(const pg_result* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (state == nullptr || PQstatus(conn_.get()) != CONNECTION_OK) return lost();
  sqlstate_ = state;
  const std::string message = text == nullptr ? "no reason given" : text;
  // What it calls a defect of its own is a row, or a value, of a gigabyte.
  if (message.starts_with("invalid memory alloc request size")) sqlstate_ = "54000";
  refused_at_ = copy_place(PQresultErrorField(result, PG_DIAG_CONTEXT));
  const std::string_view code = sqlstate_;
  const auto error = [&](Code c, std::string_view remedy) {
    return fail(c, fmt::format("PostgreSQL: {}{}{}", message, remedy.empty() ? "" : "; ", remedy));
  };
  const std::string_view kind = code.substr(0, 2);
  if (code == "42501" && message.find("row-level security") != std::string::npos) {
    return error(Code::Forbidden,
                 "name the table's owner or a user with BYPASSRLS, or copy a view of the rows that "
                 "are wanted");
  }
  if (code == "42501") {
    return error(Code::Forbidden,
                 fmt::format("GRANT the right to {}", user_.empty() ? "the user" : user_));
  }
  if (code == "53100")
    return error(Code::Unavailable, "free some space on the server's disk and run again");
  if (kind == "54")
    return error(Code::Invalid,
                 "it is beyond what the server can hold: shorten it in the source, or leave long "
                 "columns, or some of very many, out (`columns` of the entity)");
  if (kind == "08" || kind == "57" || kind == "53" || kind == "40" || code == "55P03") {
    return error(Code::Unavailable, "");
  }
  if (code == "42P01" || code == "42703" || code == "3F000") return error(Code::NotFound, "");
  if (kind == "XX" || kind == "58")
    return error(Code::Unavailable,
                 "the server reports damage or a failure of its disk; ask its administrator");
  return error(Code::Invalid, "");
}

// ---- statements

Status Connection::wait(short events) {
  pollfd fd{PQsocket(conn_.get()), events, 0};
  for (;;) {
    if (stop_.stop_requested()) return cancelled();
    const int n = poll(&fd, 1, kLookMs);
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return lost();
  }
}

Result<std::optional<Rows>> Connection::next_result() {
  pg_conn* conn = conn_.get();
  for (;;) {
    const int unsent = PQflush(conn);
    if (unsent < 0) return lost();
    if (PQisBusy(conn) == 0) break;
    TG_CHECK(wait(static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN)));
    if (PQconsumeInput(conn) == 0) return lost();
  }
  PGresult* result = PQgetResult(conn);
  if (result == nullptr) return std::nullopt;
  const auto status = PQresultStatus(result);
  Rows rows(result);
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_OUT ||
      status == PGRES_COPY_IN)
    return rows;
  return refused(result);
}

// The one that matters of a statement's results; reads to the end of the statement also after an
// error, so that the connection can be used on.
Result<Rows> Connection::last_result() {
  std::optional<Rows> last;
  std::optional<Error> error;
  for (;;) {
    auto next = next_result();
    if (!next) {
      if (conn_ == nullptr || PQstatus(conn_.get()) != CONNECTION_OK)
        return std::unexpected(std::move(next).error());
      if (!error) error = std::move(next).error();
      continue;
    }
    if (!*next) break;
    last = std::move(**next);
  }
  if (error) return fail(std::move(*error));
  if (!last) return lost();
  return std::move(*last);
}

Result<Rows> Connection::query(const std::string& sql, const std::vector<std::string>& params) {
  if (conn_ == nullptr) return lost();
  std::vector<const char*> values;
  for (const std::string& p : params) values.push_back(p.c_str());
  if (PQsendQueryParams(conn_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                        values.data(), nullptr, nullptr, 0) == 0) {
    return lost();
  }
  return last_result();
}

Status Connection::parse(const std::string& sql) {
  if (conn_ == nullptr) return lost();
  if (PQsendPrepare(conn_.get(), "", sql.c_str(), 0, nullptr) == 0) return lost();
  TG_TRY([[maybe_unused]] const Rows rows, last_result());
  if (PQsendDescribePrepared(conn_.get(), "") == 0) return lost();
  TG_TRY([[maybe_unused]] const Rows described, last_result());
  return {};
}

Status Connection::begin_copy(const std::string& sql) {
  if (conn_ == nullptr) return lost();
  if (PQsendQueryParams(conn_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 0)
    return lost();
  auto begun = next_result();
  if (begun && *begun) return {};
  if (conn_ != nullptr && PQstatus(conn_.get()) == CONNECTION_OK) (void)last_result();
  if (begun) return lost();
  return std::unexpected(std::move(begun).error());
}

Status Connection::copy_out(const std::string& sql) { return begin_copy(sql); }
Status Connection::copy_in(const std::string& sql) { return begin_copy(sql); }

Status Connection::put(std::string_view bytes) {
  if (conn_ == nullptr) return lost();
  pg_conn* conn = conn_.get();
  while (!bytes.empty()) {
    // As much as goes without a large copy in libpq's buffer.
    const std::string_view piece = bytes.substr(0, std::size_t{256} << 10);
    const int sent = PQputCopyData(conn, piece.data(), static_cast<int>(piece.size()));
    if (sent < 0) return lost();
    if (sent > 0) bytes.remove_prefix(piece.size());
    for (int unsent = 1; unsent > 0;) {
      unsent = PQflush(conn);
      if (unsent < 0) return lost();
      if (unsent == 0) break;
      TG_CHECK(wait(POLLIN | POLLOUT));
      // An error of the server comes while rows are still being sent.
      if (PQconsumeInput(conn) == 0) return lost();
    }
  }
  return {};
}

Result<std::int64_t> Connection::end_copy() {
  if (conn_ == nullptr) return lost();
  while (true) {
    const int ended = PQputCopyEnd(conn_.get(), nullptr);
    if (ended < 0) return lost();
    if (ended > 0) break;
    TG_CHECK(wait(POLLOUT));
  }
  TG_TRY(const Rows done, last_result());
  return done.changed();
}

void Connection::give_up_copy() {
  if (!is_open()) return;
  while (PQputCopyEnd(conn_.get(), "given up") == 0) {
    if (!wait(POLLOUT)) return;
  }
  (void)last_result();  // the refusal that was asked for
}

Result<std::string> Connection::session() {
  TG_TRY(
      const Rows rows,
      query(
          "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"));
  if (rows.size() == 0) return lost();
  return std::string(rows.text(0, 0));
}

// Its start tells a server from its physical copies, which have all else in common.
Result<std::string> Connection::place_of(std::string_view schema, std::string_view table) {
  if (database_.empty()) {
    TG_TRY(const Rows rows,
           query("SELECT 'postgres ' || extract(epoch FROM pg_postmaster_start_time()) || ' ' || "
                 "oid FROM pg_database WHERE datname = current_database()"));
    if (rows.size() == 0) return lost();
    database_ = rows.text(0, 0);
  }
  return fmt::format("{} {}.{}", database_, identifier(schema), identifier(table));
}

Result<std::optional<std::string_view>> Connection::next_piece() {
  if (conn_ == nullptr) return lost();
  pg_conn* conn = conn_.get();
  if (stop_.stop_requested()) return cancelled();
  for (;;) {
    char* piece = nullptr;
    const int n = PQgetCopyData(conn, &piece, 1);
    piece_.reset(piece);
    if (n > 0) return std::string_view(piece, static_cast<std::size_t>(n));
    if (n == -1) {
      // The rows are all there; whether the statement succeeded is said now.
      TG_TRY([[maybe_unused]] const Rows end, last_result());
      return std::nullopt;
    }
    if (n == -2) return lost();
    TG_CHECK(wait(POLLIN));
    if (PQconsumeInput(conn) == 0) return lost();
  }
}

bool Connection::is_open() const {
  return conn_ != nullptr && PQstatus(conn_.get()) == CONNECTION_OK;
}

// ---- texts

std::string Connection::identifier(std::string_view name) const {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

// Of the setting standard_conforming_strings the result does not depend.
std::string Connection::literal(std::string_view text) const {
  std::string out = text.find('\\') == std::string_view::npos ? "'" : "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + '\'';
}

int Connection::server_version() const { return PQserverVersion(conn_.get()); }

}  // namespace tidegate::engine::postgres
