#include "control/store/postgres/postgres_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/store/postgres/keys.h"
#include "control/store/postgres/postgres_state.h"
#include "control/store/postgres/schema.h"

namespace tidegate::store::postgres {

PostgresStore::PostgresStore(Target target, const Timeouts& timeouts, const std::string& schema,
                             const std::string& channel, std::size_t connections, Rng& rng)
    : target_(std::move(target)),
      timeouts_(timeouts),
      schema_(schema),
      pool_(target_, timeouts, schema, connections, rng),
      feed_(target_, timeouts, channel, fmt::format("{:016x}{:016x}", rng.next(), rng.next()), hub_,
            rng),
      db_(pool_, rng, [this](std::span<const Change> changes) {
        hub_.publish(changes);
        feed_.tell(changes);
      }) {}

Capabilities PostgresStore::capabilities() const {
  return {.durable = true, .shared = true, .pushes_changes = true, .name = "postgres"};
}

Result<Instant> PostgresStore::now() {
  return db_.read([](Session& db) -> Result<Instant> {
    TG_TRY(const auto rows, db.exec("SELECT tidegate_now()"));
    return rows.front().time(0);
  });
}

Status PostgresStore::ping() {
  return db_.read([](Session& db) -> Status {
    TG_TRY(const auto rows, db.exec("SELECT 1 FROM worker_locks LIMIT 1"));
    return {};
  });
}

Result<std::optional<std::string>> PostgresStore::find_replay(const Idempotency& once) {
  return db_.read([&](Session& db) { return postgres::find_replay(db, once); });
}

std::unique_ptr<Subscription> PostgresStore::watch(ChangeHandler handler) {
  feed_.listen();
  return hub_.subscribe(std::move(handler));
}

}  // namespace tidegate::store::postgres

namespace tidegate::store {
namespace {

postgres::Timeouts timeouts_of(const PostgresOptions& options) {
  return {.connect = options.connect_timeout,
          .answer = options.answer_timeout,
          .statement = options.statement_timeout,
          .lock = options.lock_timeout,
          .idle_in_transaction = options.idle_in_transaction_timeout};
}

}  // namespace

Result<SchemaState> postgres_schema(const PostgresOptions& options) {
  using namespace postgres;
  TG_TRY(const Target target, Target::parse(options.url));
  TG_TRY(auto db, Session::open(target, timeouts_of(options), ""));
  SchemaState state{.present = 0, .needed = migrations().back().version, .settings = {}};
  TG_TRY(state.present, present_version(db, target));
  TG_TRY(const auto has_settings, db.exec("SELECT 1 WHERE to_regclass('settings') IS NOT NULL"));
  if (state.present == 0 || has_settings.empty()) return state;
  TG_TRY(const auto settings, db.exec("SELECT name, value FROM settings"));
  for (const Row row : settings) state.settings.emplace(row.text(0), row.text(1));
  return state;
}

void fit_to_lease(PostgresOptions& options, Millis ttl) {
  // A server that is only slow is not given up for a short lease.
  constexpr Millis kLeastConnect{1'000}, kLeastAnswer{2'000};
  const Millis half = ttl / 2;
  const auto at_most = [](Millis& value, Millis limit) { value = std::min(value, limit); };
  at_most(options.lock_timeout, half);
  at_most(options.idle_in_transaction_timeout, half);
  at_most(options.connect_timeout, std::max(half, kLeastConnect));
  at_most(options.answer_timeout, std::max(half, kLeastAnswer));
}

Result<std::unique_ptr<Store>> open_postgres_store(const PostgresOptions& options, Rng& rng) {
  using namespace postgres;
  TG_TRY(Target target, Target::parse(options.url));
  const Timeouts timeouts = timeouts_of(options);
  std::string schema, channel;
  {
    TG_TRY(auto db, Session::open(target, timeouts, ""));
    TG_TRY(schema, prepare_schema(db, target));
    // Another schema of the same database is another store. Its oid needs no quoting.
    TG_TRY(const auto oid,
           db.exec("SELECT oid::bigint FROM pg_namespace WHERE nspname = $1", schema));
    channel = fmt::format("tidegate_{}", oid.front().integer(0));
  }
  return std::make_unique<PostgresStore>(std::move(target), timeouts, schema, channel,
                                         options.connections, rng);
}

}  // namespace tidegate::store
