#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "control/model/text_field.h"
#include "control/store/sqlite/keys.h"
#include "control/store/sqlite/ledger.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {

namespace bj = boost::json;
using model::Token;
using model::WorkerInfo;
using model::Workspace;

namespace {

constexpr std::string_view kTokens = "SELECT " TG_TOKEN_COLUMNS " FROM api_tokens ";

}  // namespace

// ---- workspaces

Result<Created<WorkspaceId>> SqliteStore::create_workspace(const Workspace& workspace,
                                                           const std::optional<Idempotency>& once) {
  return writer_.run([&](Tx& tx) -> Result<Created<WorkspaceId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<WorkspaceId>{WorkspaceId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists("SELECT 1 FROM workspaces WHERE id = ?", workspace.id));
    if (known) return Created<WorkspaceId>{workspace.id, true};
    TG_TRY(const bool taken,
           tx.db.exists("SELECT 1 FROM workspaces WHERE name = ?", workspace.name));
    if (taken) return rules::name_taken("workspace", workspace.name);
    TG_CHECK(tx.db.exec("INSERT INTO workspaces VALUES (?, ?, ?, ?)", workspace.id, workspace.name,
                        workspace.revision, workspace.created_at));
    TG_CHECK(remember(tx, once, workspace.id.str()));
    tx.note(ChangeKind::Workspace, workspace.id.str());
    return Created<WorkspaceId>{workspace.id};
  });
}

Result<Workspace> SqliteStore::find_workspace(const std::string& id_or_name) {
  const auto load = [&] {
    return quick_.read([&](Db& db) -> Result<std::optional<Workspace>> {
      std::optional<Workspace> found;
      TG_CHECK(db.maybe(
          "SELECT id, name, revision, created_at FROM workspaces WHERE id = ?1 OR name "
          "= ?1 ORDER BY id = ?1 DESC LIMIT 1",
          [&](const Row& r) { found = sql::workspace_from(r); }, id_or_name));
      return found;
    });
  };
  TG_TRY(auto found, cache_.workspaces.get(*index_, id_or_name, load));
  if (!found) return rules::workspace_not_found(id_or_name);
  return std::move(*found);
}

Result<std::vector<Workspace>> SqliteStore::list_workspaces() {
  return readers_.read([&](Db& db) -> Result<std::vector<Workspace>> {
    std::vector<Workspace> list;
    TG_CHECK(db.each("SELECT id, name, revision, created_at FROM workspaces ORDER BY name",
                     [&](const Row& r) { list.push_back(sql::workspace_from(r)); }));
    return list;
  });
}

Status SqliteStore::delete_workspace(const WorkspaceId& id, IfRevision if_revision) {
  return writer_.run([&](Tx& tx) -> Status {
    std::int64_t revision = 0;
    TG_TRY(const bool known, tx.db.first(
                                 "SELECT revision FROM workspaces WHERE id = ?",
                                 [&](const Row& r) { revision = r.integer(0); }, id));
    if (!known) return rules::workspace_not_found(id.str());
    if (if_revision && *if_revision != revision) return rules::stale_revision(revision);
    TG_TRY(const bool used,
           tx.db.exists("SELECT 1 FROM sync_jobs WHERE workspace_id = ?1 AND deleted_at IS NULL "
                        "UNION ALL SELECT 1 FROM connections WHERE workspace_id = ?1",
                        id));
    if (used) return rules::workspace_not_empty();
    TG_CHECK(tx.db.exec("DELETE FROM workspaces WHERE id = ?", id));
    tx.note(ChangeKind::Workspace, id.str());
    return {};
  });
}

// ---- tokens

Status SqliteStore::create_token(const Token& token) {
  return writer_.run([&](Tx& tx) -> Status {
    TG_TRY(const bool known, tx.db.exists("SELECT 1 FROM api_tokens WHERE id = ?", token.id));
    if (known) return rules::token_exists();
    TG_TRY(const bool taken, tx.db.exists("SELECT 1 FROM api_tokens WHERE name = ?", token.name));
    if (taken) return rules::name_taken("token", token.name);
    TG_CHECK(tx.db.exec("INSERT INTO api_tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", token.id,
                        token.name, token.hash, name_of(token.role, model::kRoleNames),
                        sql::workspaces_text(token), token.expires_at, token.created_at,
                        token.created_by, token.revision));
    tx.note(ChangeKind::Token, token.id.str());
    return {};
  });
}

Result<std::optional<Token>> SqliteStore::find_token(const std::string& hash) {
  return cache_.tokens.get(*index_, hash, [&] {
    return quick_.read([&](Db& db) -> Result<std::optional<Token>> {
      std::optional<Token> found;
      TG_CHECK(db.maybe(
          std::string(kTokens) + "WHERE hash = ?",
          [&](const Row& r) -> Status {
            TG_TRY(found, sql::token_from(r));
            return {};
          },
          hash));
      return found;
    });
  });
}

Result<std::vector<Token>> SqliteStore::list_tokens() {
  return readers_.read([&](Db& db) -> Result<std::vector<Token>> {
    std::vector<Token> list;
    TG_CHECK(db.each(std::string(kTokens) + "ORDER BY name", [&](const Row& r) -> Status {
      TG_TRY(auto t, sql::token_from(r));
      list.push_back(std::move(t));
      return {};
    }));
    return list;
  });
}

Status SqliteStore::delete_token(const TokenId& id) {
  return writer_.run([&](Tx& tx) -> Status {
    TG_TRY(const int n, tx.db.run("DELETE FROM api_tokens WHERE id = ?", id));
    if (n == 0) return rules::token_not_found(id);
    tx.note(ChangeKind::Token, id.str());
    return {};
  });
}

// ---- workers

Status SqliteStore::heartbeat(const WorkerInfo& w) {
  return writer_.run([&](Tx& tx) -> Status {
    return tx.db.exec("INSERT OR REPLACE INTO workers (" TG_WORKER_COLUMNS
                      ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      w.id, w.host, w.boot_id, w.pid, w.pid_start, w.version, w.leader, w.draining,
                      w.running, w.capacity, w.started_at, tx.now,
                      bj::serialize(model::texts_to_json(w.secret_keys)));
  });
}

Status SqliteStore::forget_worker(const OwnerId& id) {
  return writer_.run(
      [&](Tx& tx) -> Status { return tx.db.exec("DELETE FROM workers WHERE id = ?", id); });
}

Result<std::vector<WorkerInfo>> SqliteStore::list_workers(Millis seen_within) {
  return readers_.read([&](Db& db) -> Result<std::vector<WorkerInfo>> {
    std::vector<WorkerInfo> list;
    TG_CHECK(db.each(
        "SELECT " TG_SEEN_WORKER_COLUMNS(
            "boot_id = ?1 AND boot_until > ?2") " FROM workers WHERE seen_at >= ?3 ORDER BY id",
        [&](const Row& r) -> Status {
          TG_TRY(auto worker, sql::worker_from(r));
          list.push_back(std::move(worker));
          return {};
        },
        options_.boot_id, clock_.boot_now().time_since_epoch().count(),
        clock_.now() - seen_within));
    return list;
  });
}

// ---- settings

Result<std::optional<std::string>> SqliteStore::find_setting(const std::string& name) {
  return readers_.read([&](Db& db) -> Result<std::optional<std::string>> {
    std::optional<std::string> kept;
    TG_CHECK(db.first(
        "SELECT value FROM settings WHERE name = ?",
        [&](const Row& r) { kept = std::string(r.text(0)); }, name));
    return kept;
  });
}

Result<std::string> SqliteStore::keep_setting(const std::string& name, const std::string& value) {
  return writer_.run([&](Tx& tx) -> Result<std::string> {
    std::string kept;
    TG_CHECK(tx.db.exec("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", name, value));
    TG_CHECK(tx.db.first(
        "SELECT value FROM settings WHERE name = ?", [&](const Row& r) { kept = r.text(0); },
        name));
    return kept;
  });
}

Status SqliteStore::replace_setting(const std::string& name, const std::string& from,
                                    const std::string& to) {
  return writer_.run([&](Tx& tx) -> Status {
    TG_TRY(const int n, tx.db.run("UPDATE settings SET value = ?3 WHERE name = ?1 AND value IN "
                                  "(?2, ?3)",
                                  name, from, to));
    if (n == 0) return rules::setting_changed(name);
    return {};
  });
}

}  // namespace tidegate::store::sqlite
