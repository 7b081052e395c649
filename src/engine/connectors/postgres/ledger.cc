#include "engine/connectors/postgres/ledger.h"

#include <fmt/format.h>

#include <array>

#include "base/ids.h"

namespace tidegate::engine::postgres {
namespace {

// {0}: the schema with its point.
constexpr const char* kTables =
    "CREATE TABLE IF NOT EXISTS {0}_tidegate_meta (key text PRIMARY KEY, value text NOT NULL); "
    "CREATE TABLE IF NOT EXISTS {0}_tidegate_state (job text NOT NULL, entity text NOT NULL, fence "
    "bigint NOT NULL, epoch bigint NOT NULL DEFAULT 0, sequence bigint NOT NULL DEFAULT 0, state "
    "text NOT NULL DEFAULT '', session text NOT NULL DEFAULT '', updated_at timestamptz NOT NULL "
    "DEFAULT now(), PRIMARY KEY (job, entity)); "
    "CREATE TABLE IF NOT EXISTS {0}_tidegate_tables (table_name text PRIMARY KEY, job text NOT "
    "NULL, entity text NOT NULL, since timestamptz NOT NULL DEFAULT now()); "
    "CREATE TABLE IF NOT EXISTS {0}_tidegate_rejected (id bigint GENERATED ALWAYS AS IDENTITY "
    "PRIMARY KEY, job text NOT NULL, entity text NOT NULL, run_id text NOT NULL, attempt bigint "
    "NOT "
    "NULL, locator text NOT NULL, reason text NOT NULL, row text NOT NULL, rejected_at timestamptz "
    "NOT NULL DEFAULT now())";
// Of this database; whoever makes the tables takes turns.
constexpr const char* kTurn = "SELECT pg_advisory_xact_lock(hashtext('tidegate destination'))";

std::string number(std::int64_t v) { return std::to_string(v); }

}  // namespace

std::string Ledger::at(std::string_view table) const {
  return fmt::format("{}.{}", db_.identifier(schema_), table);
}

Result<bool> Ledger::exists() {
  TG_TRY(const Rows found,
         db_.query("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                   "WHERE n.nspname = $1 AND c.relname IN ('_tidegate_meta', '_tidegate_state', "
                   "'_tidegate_tables', '_tidegate_rejected')",
                   {schema_}));
  return found.integer(0, 0) == 4;
}

Result<std::string> Ledger::destination_id() {
  TG_TRY(const bool there, exists());
  if (!there) return std::string();
  TG_TRY(const Rows id, db_.query(fmt::format("SELECT value FROM {} WHERE key = 'destination_id'",
                                              at("_tidegate_meta"))));
  return id.size() == 0 ? std::string() : std::string(id.text(0, 0));
}

Result<std::optional<StoredState>> Ledger::read(const std::string& job, const std::string& entity) {
  TG_TRY(const bool there, exists());
  if (!there) return std::nullopt;
  TG_TRY(const Rows r,
         db_.query(fmt::format("SELECT fence, epoch, sequence, state, session FROM {} WHERE "
                               "job = $1 AND entity = $2",
                               at("_tidegate_state")),
                   {job, entity}));
  if (r.size() == 0) return std::nullopt;
  return StoredState{r.integer(0, 0), r.integer(0, 1), r.integer(0, 2), std::string(r.text(0, 3)),
                     std::string(r.text(0, 4))};
}

Status Ledger::check_owner(const Claim& claim, bool take_over) {
  TG_TRY(const bool there, exists());
  if (there) {
    TG_TRY(const Rows owner,
           db_.query(fmt::format("SELECT job, entity FROM {} WHERE table_name = $1",
                                 at("_tidegate_tables")),
                     {claim.table}));
    if (owner.size() > 0) {
      if ((owner.text(0, 0) == claim.job && owner.text(0, 1) == claim.entity) || take_over)
        return {};
      return fail(table_owned(claim, owner.text(0, 0), owner.text(0, 1)));
    }
  }
  if (take_over) return {};
  TG_TRY(const Rows found,
         db_.query("SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                   "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
                   {schema_, claim.table}));
  if (found.size() == 0) return {};
  TG_TRY(const Rows rows, db_.query(fmt::format("SELECT EXISTS (SELECT 1 FROM {})",
                                                at(db_.identifier(claim.table)))));
  if (!rows.flag(0, 0)) return {};
  return fail(table_foreign(claim));
}

Status Ledger::end_older_session(const StoredState& stored, std::int64_t fence, bool serverless,
                                 const Context& context) {
  const auto blank = stored.session.find(' ');
  if (blank == std::string::npos) return {};
  const std::vector<std::string> who{stored.session.substr(0, blank),
                                     stored.session.substr(blank + 1)};
  constexpr const char* kAlive =
      " FROM pg_stat_activity WHERE pid = $1::int AND backend_start = $2::timestamptz AND pid <> "
      "pg_backend_pid()";
  TG_TRY(const Rows alive, db_.query(fmt::format("SELECT client_addr{}", kAlive), who));
  if (alive.size() == 0) return {};
  if (serverless) {
    return fail(
        Code::Unavailable,
        fmt::format(
            "another process (connection {} of PostgreSQL{}{}) is syncing the same entity into "
            "this database; wait until it has finished, or end it",
            who[0], alive.null(0, 0) ? "" : ", from ", alive.text(0, 0)));
  }
  if (stored.fence >= fence) return {};
  context.log(
      LogLevel::Warn,
      fmt::format("connection {} of an older attempt still held the destination and was ended",
                  who[0]));
  // Version 13 does not wait for the end itself.
  const char* const end = db_.server_version() < 140'000 ? "pg_terminate_backend(pid)"
                                                         : "pg_terminate_backend(pid, 5000)";
  TG_CHECK(db_.query(fmt::format("SELECT {}{}", end, kAlive), who));
  for (int i = 0; i < 50; ++i) {
    TG_TRY(const Rows left, db_.query(fmt::format("SELECT pg_sleep(0.1){}", kAlive), who));
    if (left.size() == 0) break;
  }
  return {};
}

Status Ledger::create_tables(const Clock& clock, Rng& rng) {
  TG_TRY(const bool there, exists());
  if (there) return {};
  TG_CHECK(db_.exec("BEGIN"));
  const Status made = [&]() -> Status {
    TG_CHECK(db_.exec(kTurn));
    std::string sql = fmt::format(fmt::runtime(kTables), db_.identifier(schema_) + ".");
    for (std::size_t end = 0; !sql.empty(); sql.erase(0, end)) {
      end = sql.find("; ");
      end = end == std::string::npos ? sql.size() : end + 2;
      TG_CHECK(db_.exec(sql.substr(0, end)));
    }
    TG_CHECK(
        db_.query(fmt::format("INSERT INTO {} VALUES ('destination_id', $1) ON CONFLICT DO NOTHING",
                              at("_tidegate_meta")),
                  {new_uuid_v7(clock, rng)}));
    return db_.exec("COMMIT");
  }();
  if (!made) (void)db_.exec("ROLLBACK");
  return made;
}

Status Ledger::still_mine(const Rows& updated, const Claim& claim) {
  if (updated.changed() == 1) return {};
  return fail(fenced(claim));
}

Status Ledger::claim(const Claim& claim, const Context& context) {
  TG_TRY(
      const Rows mine,
      db_.query(fmt::format("INSERT INTO {0} AS s (job, entity, fence, session) VALUES ($1, $2, "
                            "$3::bigint, $4) ON CONFLICT (job, entity) DO UPDATE SET fence = "
                            "excluded.fence, session = excluded.session, updated_at = now() WHERE "
                            "s.fence <= excluded.fence",
                            at("_tidegate_state")),
                {claim.job, claim.entity, number(claim.fence), claim.session}));
  const Status status = still_mine(mine, claim);
  if (!status) {
    TG_TRY(const auto newer, read(claim.job, claim.entity));
    if (newer) context.fence_found(Fence{newer->fence});
  }
  return status;
}

Status Ledger::lock_fence(const Claim& claim) {
  TG_TRY(
      const Rows mine,
      db_.query(fmt::format("UPDATE {} SET updated_at = now() WHERE job = $1 AND entity = $2 AND "
                            "fence = $3::bigint AND session = $4",
                            at("_tidegate_state")),
                {claim.job, claim.entity, number(claim.fence), claim.session}));
  return still_mine(mine, claim);
}

Status Ledger::own_table(const Claim& claim, bool take_over) {
  const std::vector<std::string> me{claim.table, claim.job, claim.entity};
  TG_CHECK(db_.query(fmt::format("INSERT INTO {} (table_name, job, entity) VALUES ($1, $2, $3) ON "
                                 "CONFLICT (table_name) DO NOTHING",
                                 at("_tidegate_tables")),
                     me));
  TG_TRY(const Rows owner,
         db_.query(fmt::format("SELECT job, entity FROM {} WHERE table_name = $1 FOR UPDATE",
                               at("_tidegate_tables")),
                   {claim.table}));
  if (owner.size() == 0) {
    return fail(Code::Unavailable, fmt::format("the owner of the table \"{}\" was forgotten by "
                                               "somebody else meanwhile",
                                               claim.table));
  }
  if (owner.text(0, 0) == claim.job && owner.text(0, 1) == claim.entity) return {};
  if (!take_over) return fail(table_owned(claim, owner.text(0, 0), owner.text(0, 1)));
  TG_CHECK(db_.query(fmt::format("UPDATE {} SET fence = fence + 1, state = '', session = '' WHERE "
                                 "job = $1 AND entity = $2",
                                 at("_tidegate_state")),
                     {std::string(owner.text(0, 0)), std::string(owner.text(0, 1))}));
  TG_CHECK(db_.query(fmt::format("UPDATE {} SET job = $2, entity = $3, since = now() WHERE "
                                 "table_name = $1",
                                 at("_tidegate_tables")),
                     me));
  return {};
}

Status Ledger::store(const Claim& claim, const Writer::NewState& state) {
  TG_TRY(const Rows mine,
         db_.query(
             fmt::format("UPDATE {} SET state = $5, epoch = $6::bigint, sequence = sequence + 1, "
                         "updated_at = now() WHERE job = $1 AND entity = $2 AND fence = "
                         "$3::bigint AND session = $4",
                         at("_tidegate_state")),
             {claim.job, claim.entity, number(claim.fence), claim.session, state.state,
              number(state.epoch)}));
  return still_mine(mine, claim);
}

Status Ledger::release(const Claim& claim) {
  TG_CHECK(
      db_.query(fmt::format("UPDATE {} SET session = '' WHERE job = $1 AND entity = $2 AND fence = "
                            "$3::bigint AND session = $4",
                            at("_tidegate_state")),
                {claim.job, claim.entity, number(claim.fence), claim.session}));
  return {};
}

Status Ledger::reject(const Claim& claim, const std::string& run_id, int attempt,
                      std::span<const RejectedRow> rows) {
  if (rows.empty()) return {};
  TG_TRY(const Rows last,
         db_.query(fmt::format("SELECT coalesce(max(id), 0) FROM {}", at("_tidegate_rejected"))));
  const std::string before(last.text(0, 0));
  const std::string insert = fmt::format(
      "INSERT INTO {} (job, entity, run_id, attempt, locator, reason, row) VALUES ($1, $2, $3, "
      "$4::bigint, $5, $6, $7)",
      at("_tidegate_rejected"));
  for (const RejectedRow& row : rows) {
    TG_CHECK(db_.query(insert, {claim.job, claim.entity, run_id, number(attempt), row.locator,
                                row.reason, row.row}));
  }
  TG_CHECK(db_.query(
      fmt::format("DELETE FROM {0} WHERE job = $1 AND entity = $2 AND id <= $5::bigint AND NOT "
                  "(run_id = $3 AND attempt = $4::bigint) AND (locator, row) IN (SELECT "
                  "locator, row FROM {0} WHERE id > $5::bigint)",
                  at("_tidegate_rejected")),
      {claim.job, claim.entity, run_id, number(attempt), before}));
  return {};
}

Status Ledger::forget_rejected(const Claim& claim) {
  TG_CHECK(db_.query(
      fmt::format("DELETE FROM {} WHERE job = $1 AND entity = $2", at("_tidegate_rejected")),
      {claim.job, claim.entity}));
  return {};
}

}  // namespace tidegate::engine::postgres
