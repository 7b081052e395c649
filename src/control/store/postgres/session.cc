#include "control/store/postgres/session.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>

namespace tidegate::store::postgres {
namespace {

constexpr int kOldestServer = 130000;
// Statements differ by the conditions of a list; beyond this many they are parsed each time.
constexpr std::size_t kStatementsKept = 200;
std::string quoted(const std::string& identifier) {
  std::string out = "\"";
  for (const char c : identifier) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

// Every query has an index for it, whatever the numbers: a plan is made once a connection. Planning
// each time cost more than executing; and a plan made while a table was small must not be a walk
// through all of it.
constexpr std::string_view kPlanning =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = "
    "off; SET enable_mergejoin = off; SET enable_sort = off; "
    "SET jit = off; SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = "
    // Of PostgreSQL 14 on; it remembered each job of a claim for the next run of the same.
    "'enable_memoize';";

}  // namespace

void Session::Close::operator()(pg_conn* c) const { PQfinish(c); }

// ---- opening

Result<Session> Session::open(const Target& target, const Timeouts& timeouts,
                              const std::string& schema) {
  std::optional<Error> error;
  for (const auto& host : target.hosts()) {
    auto connection = connect(target, host, timeouts);
    if (connection) {
      // Before it is asked for what it may not know.
      const int version = PQserverVersion(connection->conn_.get());
      if (version < kOldestServer) return fail(target.too_old(version));
      TG_CHECK(connection->set_up(schema));
      return connection;
    }
    // What another host says of the network counts less than a refusal.
    if (!error || error->code == Code::Unavailable) error = std::move(connection.error());
  }
  return fail(std::move(*error));
}

Result<Session> Session::connect(const Target& target, const Target::Params& host,
                                 const Timeouts& timeouts) {
  std::vector<const char*> keys, values;
  for (const auto& k : host.keys) keys.push_back(k.c_str());
  for (const auto& v : host.values) values.push_back(v.reveal().data());
  keys.push_back(nullptr);
  values.push_back(nullptr);
  Session c(PQconnectStartParams(keys.data(), values.data(), 0), target, timeouts);
  if (c.conn_ == nullptr) return fail(target.cannot_connect("out of memory"));
  pg_conn* conn = c.conn_.get();
  PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
  PQsetNoticeProcessor(conn, [](void*, const char*) {}, nullptr);
  const Millis limit =
      target.connect_timeout() > 0 ? Seconds(target.connect_timeout()) : timeouts.connect;
  const Deadline deadline = Steady::now() + limit;
  auto state = PGRES_POLLING_WRITING;
  while (PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
    if (!c.wait(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) {
      return fail(target.cannot_connect(fmt::format("no answer within {} ms", limit.count())));
    }
    state = PQconnectPoll(conn);
    if (state == PGRES_POLLING_FAILED) break;
  }
  if (PQstatus(conn) != CONNECTION_OK) return fail(target.cannot_connect(PQerrorMessage(conn)));
  PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
  PQsetnonblocking(conn, 1);
  return c;
}

Status Session::set_up(const std::string& schema) {
  std::string sql = fmt::format(
      "SET statement_timeout = {}; SET lock_timeout = {}; "
      "SET idle_in_transaction_session_timeout = {}; SET client_min_messages = warning; "
      "SET default_transaction_isolation = 'read committed'; SET tcp_keepalives_idle = 10; "
      "SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = "
      "30000; "
      "SELECT set_config('synchronous_commit', 'on', false) WHERE "
      "current_setting('synchronous_commit') = 'off';",
      timeouts_.statement.count(), timeouts_.lock.count(), timeouts_.idle_in_transaction.count());
  sql += kPlanning;
  if (!schema.empty()) sql += fmt::format("SET search_path = {};", quoted(schema));
  return script(sql);
}

// ---- waiting

std::unexpected<Error> Session::lost() {
  broken_ = true;
  sqlstate_.clear();
  return fail(target_->lost(PQerrorMessage(conn_.get())));
}

Status Session::wait(short events, Deadline deadline) {
  pollfd fd{PQsocket(conn_.get()), events, 0};
  for (;;) {
    const auto left = std::chrono::ceil<Millis>(deadline - Steady::now()).count();
    const int n = poll(&fd, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (n > 0) return {};
    if ((n < 0 && errno == EINTR) || (n == 0 && Steady::now() < deadline)) continue;
    broken_ = true;
    sqlstate_.clear();
    return fail(target_->lost("no answer in time"));
  }
}

// Reads while it writes: a flight may be larger than what both sockets hold.
Result<std::optional<Rows>> Session::next_result(Deadline deadline) {
  pg_conn* conn = conn_.get();
  for (;;) {
    const int unsent = PQflush(conn);
    if (unsent < 0) return lost();
    if (PQisBusy(conn) == 0) break;
    TG_CHECK(wait(static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN), deadline));
    if (PQconsumeInput(conn) == 0) return lost();
  }
  PGresult* result = PQgetResult(conn);
  if (result == nullptr) return std::nullopt;
  return Rows(result);
}

std::unexpected<Error> Session::failed(const Rows& result) {
  const char* state = PQresultErrorField(result.raw(), PG_DIAG_SQLSTATE);
  const char* text = PQresultErrorField(result.raw(), PG_DIAG_MESSAGE_PRIMARY);
  if (PQstatus(conn_.get()) != CONNECTION_OK || state == nullptr) return lost();
  sqlstate_ = state;
  return fail(target_->refused(sqlstate_, text == nullptr ? "" : text));
}

// ---- statements

Status Session::send(const Query& q, std::vector<Sent>& sent) {
  pg_conn* conn = conn_.get();
  const auto values = q.params.values();
  auto known = statements_.find(q.sql);
  if (known == statements_.end() && statements_.size() < kStatementsKept) {
    known = statements_.emplace(q.sql, fmt::format("tg{}", ++last_statement_)).first;
    if (PQsendPrepare(conn, known->second.c_str(), q.sql.c_str(), q.params.size(),
                      q.params.types()) == 0) {
      return lost();
    }
    sent.push_back({q.sql});
  }
  const int ok = known != statements_.end()
                     ? PQsendQueryPrepared(conn, known->second.c_str(), q.params.size(),
                                           values.data(), q.params.lengths(), q.params.formats(), 1)
                     : PQsendQueryParams(conn, q.sql.c_str(), q.params.size(), q.params.types(),
                                         values.data(), q.params.lengths(), q.params.formats(), 1);
  if (ok == 0) return lost();
  sent.emplace_back();
  return {};
}

Result<std::vector<Rows>> Session::run(const std::vector<Query>& queries) {
  if (broken_) return lost();
  sqlstate_.clear();
  pg_conn* conn = conn_.get();
  if (PQenterPipelineMode(conn) == 0) return lost();
  std::vector<Sent> sent;
  for (const Query& q : queries) TG_CHECK(send(q, sent));
  if (PQpipelineSync(conn) == 0) return lost();
  auto rows = receive(sent, Steady::now() + answer_);
  if (!broken_ && PQexitPipelineMode(conn) == 0) return lost();
  return rows;
}

Result<std::vector<Rows>> Session::receive(const std::vector<Sent>& sent, Deadline deadline) {
  std::vector<Rows> out;
  std::optional<Error> error;
  for (const Sent& s : sent) {
    TG_TRY(auto result, next_result(deadline));
    if (!result) return lost();
    const auto status = PQresultStatus(result->raw());
    const bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!good && !s.fresh.empty()) statements_.erase(s.fresh);
    if (!good && !error && status != PGRES_PIPELINE_ABORTED) error = failed(*result).error();
    if (broken_) return fail(std::move(*error));
    if (good && s.fresh.empty()) out.push_back(std::move(*result));
    TG_TRY(const auto end, next_result(deadline));
    if (end) return lost();
  }
  TG_TRY(const auto sync, next_result(deadline));
  if (!sync || PQresultStatus(sync->raw()) != PGRES_PIPELINE_SYNC) return lost();
  if (error) return fail(std::move(*error));
  return out;
}

Result<std::vector<Rows>> Session::snapshot(std::vector<Query> queries) {
  queries.insert(queries.begin(), query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  queries.push_back(query("COMMIT"));
  auto rows = run(queries);
  if (!rows) {
    if (!broken_) (void)script("ROLLBACK");
    return rows;
  }
  rows->erase(rows->begin());
  rows->pop_back();
  return rows;
}

Status Session::script(const std::string& sql) {
  if (broken_) return lost();
  if (PQsendQuery(conn_.get(), sql.c_str()) == 0) return lost();
  const Deadline deadline = Steady::now() + answer_;
  std::optional<Error> error;
  for (;;) {
    TG_TRY(const auto result, next_result(deadline));
    if (!result) break;
    const auto status = PQresultStatus(result->raw());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && !error) {
      error = failed(*result).error();
    }
  }
  if (error) return fail(std::move(*error));
  return {};
}

// ---- state

// 0A000: "cached plan must not change result type"; 26000: no such prepared statement.
bool Session::outdated() const { return sqlstate_ == "0A000" || sqlstate_ == "26000"; }

bool Session::usable() {
  pg_conn* conn = conn_.get();
  // 25006: the server became a standby; a new connection may find the primary.
  if (broken_ || outdated() || sqlstate_ == "25006") return false;
  if (PQtransactionStatus(conn) != PQTRANS_IDLE) return false;
  // An idle connection has nothing to read, unless the server said goodbye.
  pollfd fd{PQsocket(conn), POLLIN, 0};
  return poll(&fd, 1, 0) == 0;
}

int Session::socket() const { return PQsocket(conn_.get()); }

Status Session::notifications(const std::function<void(std::string_view)>& each) {
  if (PQconsumeInput(conn_.get()) == 0) return lost();
  while (PGnotify* n = PQnotifies(conn_.get())) {
    each(n->extra);
    PQfreemem(n);
  }
  return {};
}

}  // namespace tidegate::store::postgres
