#include "engine/connectors/postgres/replacement.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/hash.h"

namespace tidegate::engine::postgres {
namespace {

constexpr std::string_view kPrefix = "_tidegate_stage_";
constexpr int kTries = 12;         // to lock the old table: 8 s, without a queue behind them
constexpr int kLockTimeout = 200;  // ms; readers that come meanwhile wait for so long
constexpr Millis kFirstPause{100}, kLongestPause{1'000};
constexpr const char* kLockNotAvailable = "55P03";
constexpr const char* kUniqueViolation = "23505";
constexpr const char* kDependents = "2BP01";

// Why the table $1.$2 cannot be replaced as a whole; no row: there is no such table; NULL: it can.
constexpr const char* kObstacle = R"(
SELECT CASE
  WHEN c.relkind <> 'r' OR c.relispartition OR EXISTS (
    SELECT FROM pg_inherits WHERE inhrelid = c.oid OR inhparent = c.oid) THEN 'it is partitioned or inherits'
  WHEN c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN 'it has another owner'
  WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) THEN 'it has policies'
  WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) THEN 'it has triggers'
  WHEN EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid OR conrelid = c.oid AND contype NOT IN ('p', 'n'))
    THEN 'it has constraints or foreign keys'
  WHEN EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND NOT (
      i.indisprimary AND i.indimmediate AND NOT i.indisclustered AND i.indnatts = i.indnkeyatts AND
      x.reloptions IS NULL AND x.reltablespace = 0)) THEN 'it has indexes of its own'
  WHEN EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (
      a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '' OR a.attacl IS NOT NULL OR
      a.attoptions IS NOT NULL OR coalesce(a.attstattarget, -1) >= 0 OR a.attstorage <> t.typstorage OR
      a.attcollation <> t.typcollation OR coalesce(to_jsonb(a) ->> 'attcompression', '') <> '' OR
      a.attnotnull AND NOT a.attnum = ANY (
        SELECT unnest(indkey) FROM pg_index WHERE indrelid = c.oid AND indisprimary)))
    THEN 'its columns have defaults, grants or settings of their own'
  WHEN c.reloptions IS NOT NULL OR c.reltablespace <> 0 OR c.reloftype <> 0 OR c.relpersistence <> 'p' OR
    c.relreplident <> 'd' OR c.relam <> (SELECT oid FROM pg_am WHERE amname = current_setting('default_table_access_method'))
    OR EXISTS (SELECT FROM pg_seclabel WHERE classoid = 'pg_class'::regclass AND objoid = c.oid)
    THEN 'it has settings of its own'
  WHEN EXISTS (SELECT FROM aclexplode(c.relacl) WHERE grantor <> c.relowner) THEN 'others have passed on their grants'
  WHEN EXISTS (SELECT FROM pg_depend d WHERE d.deptype <> 'i' AND (
      d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid OR
      d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
        SELECT oid FROM pg_type WHERE c.reltype IN (oid, typelem))) AND NOT (
      d.classid = 'pg_constraint'::regclass AND EXISTS (
        SELECT FROM pg_constraint k WHERE k.oid = d.objid AND k.conrelid = c.oid)))
    THEN 'a view, a publication or another object depends on it'
  WHEN EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
    THEN 'it belongs to an extension'
  END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)";

// A stage would be published, to subscribers that have no such table.
constexpr const char* kPublished = "SELECT EXISTS (SELECT FROM pg_publication WHERE puballtables)";
constexpr const char* kSchemaPublished =
    "SELECT EXISTS (SELECT FROM pg_publication_namespace p JOIN pg_namespace n ON n.oid = "
    "p.pnnspid WHERE n.nspname = $1)";
constexpr int kSchemasPublishedSince = 150'000;

std::string stage_prefix(const Claim& claim) {
  return fmt::format("{}{:016x}_", kPrefix, fnv1a(claim.job + '\0' + claim.entity));
}

// False: `stop` came first.
bool pause(Millis wait, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any sleeper;
  std::unique_lock lock(mutex);
  sleeper.wait_for(lock, stop, wait, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace

Result<std::optional<std::string>> Replacement::obstacle(Connection& db, const Place& place,
                                                         const TableLayout& now,
                                                         const LayoutChange& change) {
  for (std::size_t i = 0; i < change.written.size(); ++i) {
    if (change.written[i].type == change.staged[i]) continue;
    return std::string("its columns have other types than the rows that come");
  }
  if (now.exists) {
    TG_TRY(const Rows found, db.query(kObstacle, {place.schema, place.table}));
    if (found.size() > 0 && !found.null(0, 0)) return std::string(found.text(0, 0));
  }
  TG_TRY(const Rows all, db.query(kPublished));
  bool published = all.flag(0, 0);
  if (!published && db.server_version() >= kSchemasPublishedSince) {
    TG_TRY(const Rows schema, db.query(kSchemaPublished, {place.schema}));
    published = schema.flag(0, 0);
  }
  if (published) return std::string("every table of its schema is published");
  return std::nullopt;
}

Status Replacement::tidy(Connection& db, const Place& place, const Claim& claim) {
  TG_TRY(const Rows found,
         db.query("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                  "WHERE n.nspname = $1 AND c.relkind = 'r' AND starts_with(c.relname, $2)",
                  {place.schema, stage_prefix(claim)}));
  for (int i = 0; i < found.size(); ++i) {
    TG_CHECK(db.exec(fmt::format("DROP TABLE IF EXISTS {}.{}", db.identifier(place.schema),
                                 db.identifier(found.text(i, 0)))));
  }
  return {};
}

Replacement::Replacement(Connection& db, Place place, const Claim& claim)
    : db_(db),
      place_(std::move(place)),
      own_{place_.schema, stage_prefix(claim) + std::to_string(claim.fence)} {}

std::string Replacement::table() const { return qualified(db_, own_); }
std::string Replacement::key_name() const { return own_.table + "_pk"; }

Status Replacement::create(const TableLayout& now, const LayoutChange& change) {
  std::vector<DestinationColumn> columns = change.create ? change.columns : now.columns;
  for (DestinationColumn& c : columns) {
    const auto wide = std::ranges::find(change.widened, c.name, &DestinationColumn::name);
    if (wide != change.widened.end()) c = *wide;
  }
  columns.insert(columns.end(), change.added.begin(), change.added.end());
  std::string sql;
  for (const DestinationColumn& c : columns) {
    const bool is_key = std::ranges::count(change.key, c.name) > 0;
    sql += fmt::format("{}{} {}{}", sql.empty() ? "" : ", ", db_.identifier(c.name),
                       c.type.declared, is_key ? " NOT NULL" : "");
  }
  TG_CHECK(db_.exec("BEGIN"));
  return db_.exec(fmt::format("CREATE TABLE {} ({})", table(), sql));
}

Result<std::int64_t> Replacement::seal(const LayoutChange& change, const std::string& drop_twins) {
  std::int64_t dropped = 0;
  if (!change.key.empty()) {
    const std::string key =
        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})", table(),
                    db_.identifier(key_name()), column_list(db_, change.key));
    TG_CHECK(db_.exec("SAVEPOINT _tidegate_key"));
    if (const Status made = db_.exec(key); !made) {
      if (!db_.is_open() || db_.sqlstate() != kUniqueViolation) return fail(made.error());
      TG_CHECK(db_.exec("ROLLBACK TO SAVEPOINT _tidegate_key"));
      TG_TRY(const Rows gone, db_.query(drop_twins));
      dropped = gone.changed();
      twins_ = true;
      TG_CHECK(db_.exec(key));
    }
  }
  TG_CHECK(db_.exec("COMMIT"));
  return dropped;
}

// In short tries: who waits for the lock makes every reader after it wait.
Result<bool> Replacement::lock_old(const std::stop_token& stop) {
  Millis wait = kFirstPause;
  bool held = false;
  TG_TRY(const Rows patience, db_.query("SELECT current_setting('lock_timeout')"));
  const std::string before(patience.text(0, 0));
  TG_CHECK(db_.exec(fmt::format("SET LOCAL lock_timeout = {}", kLockTimeout)));
  for (int i = 0; i < kTries; ++i, wait = std::min(2 * wait, kLongestPause)) {
    TG_CHECK(db_.exec("SAVEPOINT _tidegate_lock"));
    const Status locked =
        db_.exec(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", qualified(db_, place_)));
    if (locked) {
      held = true;
      break;
    }
    if (!db_.is_open() || db_.sqlstate() != kLockNotAvailable) return fail(locked.error());
    TG_CHECK(db_.exec("ROLLBACK TO SAVEPOINT _tidegate_lock"));
    if (!pause(wait, stop)) break;
  }
  TG_CHECK(db_.query("SELECT set_config('lock_timeout', $1, true)", {before}));
  return held;
}

Result<bool> Replacement::take_place(const TableLayout& now, const LayoutChange& change,
                                     const std::stop_token& stop) {
  if (twins_ && now.exists) return false;
  if (now.exists) {
    TG_TRY(const bool held, lock_old(stop));
    if (!held) return false;
    TG_TRY(const auto hangs, obstacle(db_, place_, now, change));
    bool gone = false;
    if (!hangs) {
      TG_CHECK(copy_grants());
      TG_CHECK(copy_comments());
      const Status dropped = db_.exec("DROP TABLE " + qualified(db_, place_));
      if (!dropped && (!db_.is_open() || db_.sqlstate() != kDependents)) {
        return fail(dropped.error());
      }
      gone = dropped.has_value();
    }
    if (!gone) {  // with it the lock goes: readers may come while the rows are replaced
      TG_CHECK(db_.exec("ROLLBACK TO SAVEPOINT _tidegate_lock"));
      return false;
    }
  }
  TG_CHECK(
      db_.exec(fmt::format("ALTER TABLE {} RENAME TO {}", table(), db_.identifier(place_.table))));
  if (change.key.empty()) return true;
  std::string name = now.primary_key_name;
  if (!now.exists || now.primary_key.empty() || change.drop_primary_key) {
    TG_TRY(name, own_key_name(db_, place_));
  }
  TG_CHECK(db_.exec(fmt::format("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", qualified(db_, place_),
                                db_.identifier(key_name()), db_.identifier(name))));
  return true;
}

Status Replacement::copy_rows(const LayoutChange& change) {
  std::vector<std::string> names;
  for (const DestinationColumn& c : change.written) names.push_back(c.name);
  const std::string columns = column_list(db_, names);
  return db_.exec(fmt::format("INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM {2}",
                              qualified(db_, place_), columns, table()));
}

// Statements that a query makes; {0}: the schema, {1}: the old table, {2}: the new one, as
// literals.
Status Replacement::run_all(std::string_view query) {
  TG_TRY(const Rows found,
         db_.query(fmt::format(fmt::runtime(query), db_.literal(place_.schema),
                               db_.literal(place_.table), db_.literal(own_.table))));
  for (int i = 0; i < found.size(); ++i) TG_CHECK(db_.exec(std::string(found.text(i, 0))));
  return {};
}

// Default privileges may have given the new table others.
Status Replacement::copy_grants() {
  TG_CHECK(run_all(
      "SELECT DISTINCT format('REVOKE ALL ON %I.%I FROM %s', {0}, {2}, CASE x.grantee WHEN 0 THEN "
      "'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END) FROM pg_class c JOIN "
      "pg_namespace n ON n.oid = c.relnamespace CROSS JOIN aclexplode(coalesce(c.relacl, "
      "acldefault('r', c.relowner))) x WHERE n.nspname = {0} AND c.relname = {2}"));
  return run_all(
      "SELECT format('GRANT %s ON %I.%I TO %s%s', x.privilege_type, {0}, {2}, CASE x.grantee WHEN "
      "0 "
      "THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable "
      "AND x.grantee <> c.relowner THEN ' WITH GRANT OPTION' ELSE '' END) FROM pg_class c JOIN "
      "pg_namespace n ON n.oid = c.relnamespace CROSS JOIN aclexplode(coalesce(c.relacl, "
      "acldefault('r', c.relowner))) x WHERE n.nspname = {0} AND c.relname = {1}");
}

Status Replacement::copy_comments() {
  return run_all(
      "SELECT CASE WHEN a.attname IS NULL THEN format('COMMENT ON TABLE %I.%I IS %L', {0}, {2}, "
      "d.description) ELSE format('COMMENT ON COLUMN %I.%I.%I IS %L', {0}, {2}, a.attname, "
      "d.description) END FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN "
      "pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid LEFT JOIN "
      "pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 WHERE "
      "n.nspname = {0} AND c.relname = {1}");
}

Status Replacement::drop() { return db_.exec(fmt::format("DROP TABLE IF EXISTS {}", table())); }

}  // namespace tidegate::engine::postgres
