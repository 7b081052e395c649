#include "engine/connectors/duckdb/ledger.h"

#include <fmt/format.h>

#include "base/ids.h"
#include "base/text.h"
#include "protocol/fields.h"

namespace tidegate::engine::duckdb {
namespace {

constexpr const char* kTables[] = {
    "CREATE TABLE IF NOT EXISTS main._tidegate_meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS main._tidegate_state (job VARCHAR NOT NULL, entity VARCHAR NOT "
    "NULL, fence BIGINT NOT NULL, epoch BIGINT NOT NULL, sequence BIGINT NOT NULL, state VARCHAR "
    "NOT NULL, session VARCHAR NOT NULL, updated_at VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS main._tidegate_tables (table_name VARCHAR NOT NULL, job VARCHAR "
    "NOT NULL, entity VARCHAR NOT NULL, since VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS main._tidegate_rejected (id BIGINT NOT NULL, job VARCHAR NOT NULL, "
    "entity VARCHAR NOT NULL, run_id VARCHAR NOT NULL, attempt BIGINT NOT NULL, locator VARCHAR "
    "NOT NULL, reason VARCHAR NOT NULL, \"row\" VARCHAR NOT NULL, rejected_at VARCHAR NOT NULL)",
};

std::string now_text(const Clock& clock) { return format_utc(clock.now()); }

Status still_mine(const Rows& updated, const Claim& claim) {
  if (updated.changed() == 1) return {};
  return fail(fenced(claim));
}

}  // namespace

Result<bool> Ledger::has(const std::string& table) {
  TG_TRY(const Rows found,
         db_.query("SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() "
                   "AND schema_name = 'main' AND table_name = $1",
                   {table}));
  return found.integer(0, 0) > 0;
}

Result<std::string> Ledger::destination_id() {
  TG_TRY(const bool there, has("_tidegate_meta"));
  if (!there) return std::string();
  TG_TRY(const Rows id,
         db_.query("SELECT value FROM main._tidegate_meta WHERE key = 'destination_id'"));
  return id.size() == 0 ? std::string() : id.text(0, 0);
}

Result<std::optional<StoredState>> Ledger::read(const std::string& job, const std::string& entity) {
  TG_TRY(const bool there, has("_tidegate_state"));
  if (!there) return std::nullopt;
  TG_TRY(const Rows r, db_.query("SELECT fence, epoch, sequence, state, session FROM "
                                 "main._tidegate_state WHERE job = $1 AND entity = $2",
                                 {job, entity}));
  if (r.size() == 0) return std::nullopt;
  return StoredState{r.integer(0, 0), r.integer(0, 1), r.integer(0, 2), r.text(0, 3), r.text(0, 4)};
}

// Names of tables are compared as DuckDB compares them.
Result<Rows> Ledger::owner(const Claim& claim) {
  return db_.query(fmt::format("SELECT job, entity FROM main._tidegate_tables WHERE {} = $1",
                               folded("table_name")),
                   {ascii_lower(claim.table)});
}

Status Ledger::check_owner(const Claim& claim, bool take_over) {
  if (take_over) return {};
  TG_TRY(const bool there, has("_tidegate_tables"));
  if (there) {
    TG_TRY(const Rows found, owner(claim));
    if (found.size() > 0) {
      if (found.text(0, 0) == claim.job && found.text(0, 1) == claim.entity) return {};
      return fail(table_owned(claim, found.text(0, 0), found.text(0, 1)));
    }
  }
  TG_TRY(const Rows table,
         db_.query(fmt::format("SELECT count(*) FROM duckdb_tables() WHERE database_name = "
                               "current_database() AND schema_name = 'main' AND {} = $1",
                               folded("table_name")),
                   {ascii_lower(claim.table)}));
  if (table.integer(0, 0) == 0) return {};
  TG_TRY(const Rows rows,
         db_.query(fmt::format("SELECT EXISTS (SELECT 1 FROM main.{})", quote(claim.table))));
  if (!rows.flag(0, 0)) return {};
  return fail(table_foreign(claim));
}

Status Ledger::create_tables(const Clock& clock, Rng& rng) {
  for (const char* sql : kTables) TG_CHECK(db_.exec(sql));
  TG_TRY(const std::string id, destination_id());
  if (!id.empty()) return {};
  TG_CHECK(db_.query("INSERT INTO main._tidegate_meta VALUES ('destination_id', $1)",
                     {new_uuid_v7(clock, rng)}));
  return {};
}

Status Ledger::claim(const Claim& claim, const Context& context) {
  TG_TRY(const auto stored, read(claim.job, claim.entity));
  if (!stored) {
    TG_CHECK(
        db_.query("INSERT INTO main._tidegate_state VALUES ($1, $2, $3, 0, 0, '', $4, $5)",
                  {claim.job, claim.entity, claim.fence, claim.session, now_text(context.clock)}));
    return {};
  }
  TG_TRY(const Rows mine,
         db_.query("UPDATE main._tidegate_state SET fence = $3, session = $4, updated_at = $5 "
                   "WHERE job = $1 AND entity = $2 AND fence <= $3",
                   {claim.job, claim.entity, claim.fence, claim.session, now_text(context.clock)}));
  const Status status = still_mine(mine, claim);
  if (!status) context.fence_found(Fence{stored->fence});
  return status;
}

Status Ledger::lock_fence(const Claim& claim, const Clock& clock) {
  TG_TRY(const Rows mine,
         db_.query("UPDATE main._tidegate_state SET updated_at = $5 WHERE job = $1 AND entity = $2 "
                   "AND fence = $3 AND session = $4",
                   {claim.job, claim.entity, claim.fence, claim.session, now_text(clock)}));
  return still_mine(mine, claim);
}

Status Ledger::own_table(const Claim& claim, const Clock& clock) {
  TG_TRY(const Rows found, owner(claim));
  if (found.size() == 0) {
    TG_CHECK(db_.query("INSERT INTO main._tidegate_tables VALUES ($1, $2, $3, $4)",
                       {claim.table, claim.job, claim.entity, now_text(clock)}));
    return {};
  }
  if (found.text(0, 0) == claim.job && found.text(0, 1) == claim.entity) return {};
  TG_CHECK(
      db_.query("UPDATE main._tidegate_state SET fence = fence + 1, state = '', session = '' "
                "WHERE job = $1 AND entity = $2",
                {found.text(0, 0), found.text(0, 1)}));
  TG_CHECK(db_.query(
      fmt::format(
          "UPDATE main._tidegate_tables SET job = $2, entity = $3, since = $4 WHERE {} = $1",
          folded("table_name")),
      {ascii_lower(claim.table), claim.job, claim.entity, now_text(clock)}));
  return {};
}

Status Ledger::store(const Claim& claim, const Writer::NewState& state, const Clock& clock) {
  TG_TRY(const Rows mine,
         db_.query("UPDATE main._tidegate_state SET state = $5, epoch = $6, sequence = sequence + "
                   "1, updated_at = $7 WHERE job = $1 AND entity = $2 AND fence = $3 AND session = "
                   "$4",
                   {claim.job, claim.entity, claim.fence, claim.session, state.state, state.epoch,
                    now_text(clock)}));
  return still_mine(mine, claim);
}

Status Ledger::release(const Claim& claim) {
  TG_CHECK(
      db_.query("UPDATE main._tidegate_state SET session = '' WHERE job = $1 AND entity = $2 "
                "AND fence = $3 AND session = $4",
                {claim.job, claim.entity, claim.fence, claim.session}));
  return {};
}

Status Ledger::reject(const Claim& claim, const std::string& run_id, int attempt,
                      std::span<const RejectedRow> rows, const Clock& clock) {
  if (rows.empty()) return {};
  TG_TRY(const Rows last,
         db_.query("SELECT coalesce(max(id), 0)::BIGINT FROM main._tidegate_rejected"));
  const std::int64_t before = last.integer(0, 0);
  const std::string now = now_text(clock);
  std::int64_t id = before;
  for (const RejectedRow& row : rows) {
    TG_CHECK(
        db_.query("INSERT INTO main._tidegate_rejected VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                  {++id, claim.job, claim.entity, run_id, std::int64_t{attempt},
                   protocol::to_utf8(row.locator), protocol::to_utf8(row.reason),
                   protocol::to_utf8(row.row), now}));
  }
  TG_CHECK(db_.query(
      "DELETE FROM main._tidegate_rejected WHERE job = $1 AND entity = $2 AND id <= $5 AND NOT "
      "(run_id = $3 AND attempt = $4) AND (locator, \"row\") IN (SELECT (locator, \"row\") FROM "
      "main._tidegate_rejected WHERE id > $5)",
      {claim.job, claim.entity, run_id, std::int64_t{attempt}, before}));
  return {};
}

Status Ledger::forget_rejected(const Claim& claim) {
  TG_CHECK(db_.query("DELETE FROM main._tidegate_rejected WHERE job = $1 AND entity = $2",
                     {claim.job, claim.entity}));
  return {};
}

}  // namespace tidegate::engine::duckdb
