#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/store/postgres/schema.h"
#include "control/store/rules.h"

namespace tidegate::store::postgres {
namespace {

// Of Tidegate; the second half of the key is the schema.
constexpr int kAdvisoryLock = 0x71de6a7e;

std::vector<std::string> texts(const Rows& rows) {
  std::vector<std::string> out;
  for (const Row row : rows) out.push_back(row.text(0));
  return out;
}

std::vector<std::string> names(std::span<const std::string_view> list) {
  return {list.begin(), list.end()};
}

std::unexpected<Error> invalid(const Target& target, std::string_view why, std::string reason) {
  return fail(Code::Invalid, fmt::format("{} {}. Nothing was changed", target.name(), why),
              std::move(reason));
}

Status check_server(Session& db, const Target& target) {
  TG_TRY(const auto state,
         db.exec("SELECT current_setting('server_encoding'), pg_is_in_recovery()"));
  if (state.front().view(0) != "UTF8") {
    return invalid(target,
                   fmt::format("has the encoding {}; create the database with ENCODING 'UTF8'",
                               state.front().view(0)),
                   "store_encoding");
  }
  if (!state.front().flag(1)) return {};
  return fail(
      Code::Unavailable,
      fmt::format("{} is a standby, which accepts no writes; name the primary in the URL, or "
                  "add target_session_attrs=read-write",
                  target.name()),
      "store_unavailable");
}

// The first of the search_path that exists; current_schema() would pass over one that the user may
// not use, where the message must say so.
Result<std::string> chosen_schema(Session& db, const Target& target) {
  TG_TRY(
      const auto found,
      db.exec("SELECT n.nspname::text FROM regexp_split_to_table(current_setting('search_path'), "
              "'\\s*,\\s*') WITH ORDINALITY AS p(name, place) JOIN pg_namespace n ON quote_ident("
              "n.nspname) = p.name OR (p.name = '\"$user\"' AND n.nspname = current_user) ORDER "
              "BY p.place LIMIT 1"));
  if (!found.empty()) return found.front().text(0);
  TG_TRY(const auto path, db.exec("SELECT current_setting('search_path')"));
  return invalid(target,
                 fmt::format("has none of the schemas in the search_path ({}); create one: CREATE "
                             "SCHEMA name AUTHORIZATION \"{}\"",
                             path.front().view(0), target.user()),
                 "store_schema");
}

// Whether the schema holds a store; read from the catalog, for which no privilege is needed.
// Invalid: relations of something else lie under our names.
Result<bool> holds_store(Session& db, const Target& target, const std::string& schema) {
  // One snapshot: another server may be creating them.
  TG_TRY(const auto rows,
         db.snapshot({query("SELECT count(*) = 3 FROM pg_attribute a JOIN pg_class c ON c.oid = "
                            "a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
                            "n.nspname = $1 AND c.relname = 'schema_migrations' AND a.attname IN "
                            "('version', 'name', 'applied_at') AND EXISTS (SELECT 1 FROM pg_proc "
                            "WHERE pronamespace = n.oid AND proname = 'tidegate_now')",
                            schema),
                      query("SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = "
                            "c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY ($2) ORDER BY "
                            "1",
                            schema, names(relations()))}));
  if (rows[0].front().flag(0)) return true;
  const auto taken = texts(rows[1]);
  if (taken.empty()) return false;
  return invalid(target,
                 fmt::format("has {} in the schema {}, which belong to something else; choose "
                             "another database, or a schema of its own: "
                             "?options=-csearch_path%3Dname",
                             fmt::join(taken, ", "), schema),
                 "not_a_store");
}

Result<int> stored_version(Session& db) {
  TG_TRY(const auto version, db.exec("SELECT coalesce(max(version), 0) FROM schema_migrations"));
  return version.front().small(0);
}

Status check_version(const Target& target, const std::string& schema, int found) {
  const int newest = migrations().back().version;
  if (found <= newest) return {};
  return invalid(target,
                 fmt::format("holds a store of schema version {} (schema {}), this tidegate knows "
                             "up to {}; it was written by a newer tidegate: start that one",
                             found, schema, newest),
                 "schema_too_new");
}

// What is missing to work, and to migrate, each by name.
Status check_privileges(Session& db, const Target& target, const std::string& schema,
                        bool migrates) {
  TG_TRY(const auto rows,
         db.run({query("SELECT p || ' ON SCHEMA ' || quote_ident($1) FROM unnest(ARRAY['USAGE', "
                       "'CREATE']) AS p WHERE (p = 'USAGE' OR $2) AND NOT "
                       "has_schema_privilege(current_user, $1, p)",
                       schema, migrates),
                 query("SELECT p || ' ON ' || quote_ident(c.relname) FROM pg_class c JOIN "
                       "pg_namespace n ON n.oid = c.relnamespace CROSS JOIN unnest(ARRAY['SELECT', "
                       "'INSERT', 'UPDATE', 'DELETE']) AS p WHERE n.nspname = $1 AND c.relname = "
                       "ANY ($2) AND (c.relkind = 'r' OR p = 'SELECT') AND NOT "
                       "has_table_privilege(current_user, c.oid, p) ORDER BY c.relname, p",
                       schema, names(relations())),
                 query("SELECT 'EXECUTE ON FUNCTION tidegate_now()' FROM pg_proc p JOIN "
                       "pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND "
                       "p.proname = 'tidegate_now' AND NOT has_function_privilege(current_user, "
                       "p.oid, 'EXECUTE')",
                       schema),
                 query("SELECT 'OWNERSHIP OF ' || quote_ident(c.relname) FROM pg_class c JOIN "
                       "pg_namespace n ON n.oid = c.relnamespace WHERE $3 AND n.nspname = $1 AND "
                       "c.relname = ANY ($2) AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY "
                       "c.relname",
                       schema, names(relations()), migrates)}));
  std::vector<std::string> missing;
  for (const Rows& part : rows) {
    for (auto& m : texts(part)) missing.push_back(std::move(m));
  }
  if (missing.empty()) return {};
  // With so many one would give all, as the documents say.
  const bool all_tables = rows[1].size() > 4;
  const std::string remedy =
      missing.front().starts_with("OWNERSHIP")
          ? "start this version once as the user that owns the tables: it changes them"
      : all_tables
          ? fmt::format(
                "GRANT USAGE ON SCHEMA {0} TO \"{1}\"; GRANT SELECT, INSERT, UPDATE, DELETE "
                "ON ALL TABLES IN SCHEMA {0} TO \"{1}\"",
                schema, target.user())
          : fmt::format("give it, for example GRANT {} TO \"{}\"", missing.front(), target.user());
  return invalid(target,
                 fmt::format("does not give user {} what the store needs: {}; {}", target.user(),
                             fmt::join(missing, ", "), remedy),
                 "store_privilege");
}

// One migration, one transaction, however long it takes.
Status apply(Session& db, const Migration& m) {
  db.answer_within(std::chrono::hours(24));
  TG_CHECK(db.script("BEGIN; SET LOCAL statement_timeout = 0"));
  Status done = db.script(m.sql);
  if (done) {
    auto noted =
        db.exec("INSERT INTO schema_migrations VALUES ($1, $2, tidegate_now())", m.version, m.name);
    if (!noted) done = fail(noted.error());
  }
  if (done && m.version == 1) {
    auto added = db.exec("INSERT INTO workspaces VALUES ($1, $2, 1, tidegate_now())",
                         rules::kDefaultWorkspaceId, rules::kDefaultWorkspaceName);
    if (!added) done = fail(added.error());
  }
  if (done) return db.script("COMMIT");
  if (!db.broken()) (void)db.script("ROLLBACK");
  return done;
}

// REQUIRES: the advisory lock.
Status migrate(Session& db, const Target& target, const std::string& schema) {
  // Looks again: another server may have been faster.
  TG_TRY(const bool exists, holds_store(db, target, schema));
  int found = 0;
  if (exists) {
    TG_TRY(found, stored_version(db));
  }
  TG_CHECK(check_version(target, schema, found));
  for (const Migration& m : migrations()) {
    if (m.version > found) TG_CHECK(apply(db, m));
  }
  return {};
}

}  // namespace

namespace {

// The schema of the store, which the session uses from here on.
Result<std::string> enter_schema(Session& db, const Target& target) {
  TG_CHECK(check_server(db, target));
  TG_TRY(std::string schema, chosen_schema(db, target));
  TG_TRY(const auto path,
         db.exec("SELECT set_config('search_path', quote_ident($1), false)", schema));
  return schema;
}

}  // namespace

Result<int> present_version(Session& db, const Target& target) {
  TG_TRY(const std::string schema, enter_schema(db, target));
  TG_TRY(const bool exists, holds_store(db, target, schema));
  TG_CHECK(check_privileges(db, target, schema, !exists));
  if (!exists) return 0;
  TG_TRY(const int found, stored_version(db));
  TG_CHECK(check_version(target, schema, found));
  return found;
}

Result<std::string> prepare_schema(Session& db, const Target& target) {
  TG_TRY(std::string schema, enter_schema(db, target));
  TG_TRY(const bool exists, holds_store(db, target, schema));
  TG_CHECK(check_privileges(db, target, schema, !exists));
  if (exists) {
    TG_TRY(const int found, stored_version(db));
    TG_CHECK(check_version(target, schema, found));
    if (found == migrations().back().version) return schema;
    TG_CHECK(check_privileges(db, target, schema, true));
  }
  TG_TRY(const auto locked, db.exec("SELECT pg_advisory_lock($1::int, oid::int) FROM pg_namespace "
                                    "WHERE nspname = $2",
                                    kAdvisoryLock, schema));
  const Status migrated = migrate(db, target, schema);
  if (!db.broken()) {
    TG_TRY(const auto freed, db.exec("SELECT pg_advisory_unlock_all()"));
  }
  TG_CHECK(migrated);
  return schema;
}

}  // namespace tidegate::store::postgres
