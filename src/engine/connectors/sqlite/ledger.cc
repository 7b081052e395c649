#include "engine/connectors/sqlite/ledger.h"

#include <fmt/format.h>

#include "base/ids.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr const char* kTables[] = {
    "CREATE TABLE IF NOT EXISTS _tidegate_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS _tidegate_state (job TEXT NOT NULL, entity TEXT NOT NULL, fence "
    "INTEGER "
    "NOT NULL, epoch INTEGER NOT NULL DEFAULT 0, sequence INTEGER NOT NULL DEFAULT 0, state TEXT "
    "NOT NULL "
    "DEFAULT '', session TEXT NOT NULL DEFAULT '', updated_at TEXT NOT NULL, PRIMARY KEY (job, "
    "entity))",
    // Table names are compared as SQLite compares them.
    "CREATE TABLE IF NOT EXISTS _tidegate_tables (table_name TEXT PRIMARY KEY COLLATE NOCASE, job "
    "TEXT NOT "
    "NULL, entity TEXT NOT NULL, since TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS _tidegate_rejected (id INTEGER PRIMARY KEY, job TEXT NOT NULL, "
    "entity TEXT "
    "NOT NULL, run_id TEXT NOT NULL, attempt INTEGER NOT NULL, locator TEXT NOT NULL, reason TEXT "
    "NOT "
    "NULL, row TEXT NOT NULL, rejected_at TEXT NOT NULL)",
};

std::string now_text(const Clock& clock) { return format_utc(clock.now()); }

}  // namespace

Result<bool> Ledger::exists() {
  TG_TRY(const std::int64_t n,
         db_.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND "
                     "name IN ('_tidegate_meta', '_tidegate_state', "
                     "'_tidegate_tables', '_tidegate_rejected')"));
  return n == 4;
}

Result<std::string> Ledger::destination_id() {
  TG_TRY(const bool there, exists());
  if (!there) return std::string();
  TG_TRY(auto id, db_.text("SELECT value FROM _tidegate_meta WHERE key = 'destination_id'"));
  return id.value_or("");
}

Result<std::optional<StoredState>> Ledger::read(const std::string& job, const std::string& entity) {
  TG_TRY(const bool there, exists());
  if (!there) return std::nullopt;
  TG_TRY(Stmt stmt,
         db_.prepare("SELECT fence, epoch, sequence, state, session FROM _tidegate_state WHERE "
                     "job = ?1 AND entity = ?2"));
  stmt.bind(1, job).bind(2, entity);
  TG_TRY(const bool row, stmt.step());
  if (!row) return std::nullopt;
  return StoredState{stmt.integer(0), stmt.integer(1), stmt.integer(2), stmt.text(3), stmt.text(4)};
}

Status Ledger::check_owner(const Claim& claim, bool take_over) {
  TG_TRY(const bool there, exists());
  if (there) {
    TG_TRY(Stmt stmt,
           db_.prepare("SELECT job, entity FROM _tidegate_tables WHERE table_name = ?1"));
    stmt.bind(1, claim.table);
    TG_TRY(const bool row, stmt.step());
    if (row) {
      if ((stmt.text(0) == claim.job && stmt.text(1) == claim.entity) || take_over) return {};
      return fail(table_owned(claim, stmt.text(0), stmt.text(1)));
    }
  }
  if (take_over) return {};
  TG_TRY(
      Stmt stmt,
      db_.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE"));
  stmt.bind(1, claim.table);
  TG_TRY(const bool table, stmt.step());
  if (!table) return {};
  TG_TRY(const std::int64_t rows,
         db_.integer(fmt::format("SELECT EXISTS (SELECT 1 FROM {})", quote(claim.table))));
  if (rows == 0) return {};
  return fail(table_foreign(claim));
}

Status Ledger::create_tables(const Clock& clock, Rng& rng) {
  for (const char* sql : kTables) TG_CHECK(db_.exec(sql));
  TG_TRY(Stmt stmt,
         db_.prepare("INSERT OR IGNORE INTO _tidegate_meta VALUES ('destination_id', ?1)"));
  stmt.bind(1, new_uuid_v7(clock, rng));
  return stmt.run();
}

Status Ledger::still_mine(const Claim& claim) const {
  if (db_.changes() == 1) return {};
  return fail(fenced(claim));
}

Status Ledger::claim(const Claim& claim, const Context& context) {
  TG_TRY(Stmt stmt,
         db_.prepare("INSERT INTO _tidegate_state (job, entity, fence, session, updated_at) "
                     "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (job, entity) DO UPDATE SET "
                     "fence = excluded.fence, session = excluded.session, updated_at = "
                     "excluded.updated_at WHERE fence <= excluded.fence"));
  stmt.bind(1, claim.job).bind(2, claim.entity).bind(3, claim.fence).bind(4, claim.session);
  stmt.bind(5, now_text(context.clock));
  TG_CHECK(stmt.run());
  const Status mine = still_mine(claim);
  if (!mine) {
    TG_TRY(Stmt newer,
           db_.prepare("SELECT fence FROM _tidegate_state WHERE job = ?1 AND entity = ?2"));
    newer.bind(1, claim.job).bind(2, claim.entity);
    TG_TRY(const bool found, newer.step());
    if (found) context.fence_found(Fence{newer.integer(0)});
  }
  return mine;
}

Status Ledger::lock_fence(const Claim& claim, const Clock& clock) {
  TG_TRY(Stmt stmt,
         db_.prepare("UPDATE _tidegate_state SET updated_at = ?5 WHERE job = ?1 AND entity = ?2 "
                     "AND fence = ?3 AND session = ?4"));
  stmt.bind(1, claim.job).bind(2, claim.entity).bind(3, claim.fence).bind(4, claim.session);
  stmt.bind(5, now_text(clock));
  TG_CHECK(stmt.run());
  return still_mine(claim);
}

Status Ledger::own_table(const Claim& claim, const Clock& clock) {
  TG_TRY(Stmt others,
         db_.prepare("UPDATE _tidegate_state SET fence = fence + 1, state = '', session = '' "
                     "FROM _tidegate_tables t WHERE t.table_name = ?1 AND t.job = "
                     "_tidegate_state.job AND t.entity = _tidegate_state.entity AND NOT "
                     "(t.job = ?2 AND t.entity = ?3)"));
  others.bind(1, claim.table).bind(2, claim.job).bind(3, claim.entity);
  TG_CHECK(others.run());
  TG_TRY(Stmt own,
         db_.prepare("INSERT INTO _tidegate_tables VALUES (?1, ?2, ?3, ?4) ON CONFLICT "
                     "(table_name) DO UPDATE SET since = CASE WHEN job = excluded.job AND entity "
                     "= excluded.entity THEN since ELSE excluded.since END, job = excluded.job, "
                     "entity = excluded.entity"));
  own.bind(1, claim.table).bind(2, claim.job).bind(3, claim.entity).bind(4, now_text(clock));
  return own.run();
}

Status Ledger::store(const Claim& claim, const Writer::NewState& state, const Clock& clock) {
  TG_TRY(Stmt stmt,
         db_.prepare("UPDATE _tidegate_state SET state = ?5, epoch = ?6, sequence = sequence + 1, "
                     "updated_at = ?7 WHERE job = ?1 AND entity = ?2 AND fence = ?3 AND session "
                     "= ?4"));
  stmt.bind(1, claim.job).bind(2, claim.entity).bind(3, claim.fence).bind(4, claim.session);
  stmt.bind(5, state.state).bind(6, state.epoch).bind(7, now_text(clock));
  TG_CHECK(stmt.run());
  return still_mine(claim);
}

Status Ledger::release(const Claim& claim) {
  TG_TRY(Stmt stmt,
         db_.prepare("UPDATE _tidegate_state SET session = '' WHERE job = ?1 AND entity = ?2 AND "
                     "fence = ?3 AND session = ?4"));
  stmt.bind(1, claim.job).bind(2, claim.entity).bind(3, claim.fence).bind(4, claim.session);
  return stmt.run();
}

Status Ledger::reject(const Claim& claim, const std::string& run_id, int attempt,
                      std::span<const RejectedRow> rows, const Clock& clock) {
  TG_TRY(const std::int64_t before,
         db_.integer("SELECT coalesce(max(id), 0) FROM _tidegate_rejected"));
  TG_TRY(Stmt stmt,
         db_.prepare("INSERT INTO _tidegate_rejected (job, entity, run_id, attempt, locator, "
                     "reason, row, rejected_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
  const std::string now = now_text(clock);
  for (const RejectedRow& row : rows) {
    stmt.bind(1, claim.job).bind(2, claim.entity).bind(3, run_id).bind(4, std::int64_t{attempt});
    stmt.bind(5, row.locator).bind(6, row.reason).bind(7, row.row).bind(8, now);
    TG_CHECK(stmt.run());
  }
  // All at once: row by row, each would look through the whole table.
  TG_TRY(Stmt older,
         db_.prepare("DELETE FROM _tidegate_rejected WHERE job = ?1 AND entity = ?2 AND id <= ?5 "
                     "AND NOT (run_id = ?3 AND attempt = ?4) AND (locator, row) IN (SELECT "
                     "locator, row FROM _tidegate_rejected WHERE id > ?5)"));
  older.bind(1, claim.job).bind(2, claim.entity).bind(3, run_id).bind(4, std::int64_t{attempt});
  older.bind(5, before);
  return older.run();
}

Status Ledger::forget_rejected(const Claim& claim) {
  TG_TRY(Stmt stmt, db_.prepare("DELETE FROM _tidegate_rejected WHERE job = ?1 AND entity = ?2"));
  stmt.bind(1, claim.job).bind(2, claim.entity);
  return stmt.run();
}

}  // namespace tidegate::engine::sqlite
