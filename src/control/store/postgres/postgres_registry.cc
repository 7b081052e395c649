#include <boost/json/serialize.hpp>

#include "control/model/text_field.h"
#include "control/store/postgres/keys.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::Token;
using model::WorkerInfo;
using model::Workspace;

namespace {

#define TG_TOKENS "SELECT " TG_TOKEN_COLUMNS " FROM api_tokens "
#define TG_WORKSPACES "SELECT id, name, revision, created_at FROM workspaces "

}  // namespace

// ---- workspaces

Result<Created<WorkspaceId>> PostgresStore::create_workspace(
    const Workspace& workspace, const std::optional<Idempotency>& once) {
  return db_.write_simply([&](Tx& tx) -> Result<Created<WorkspaceId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<WorkspaceId>{WorkspaceId(*earlier), true};
    TG_TRY(const auto rows,
           tx.db.run({query("SELECT 1 FROM workspaces WHERE id = $1", workspace.id),
                      query("SELECT 1 FROM workspaces WHERE name = $1", workspace.name)}));
    if (!rows[0].empty()) return Created<WorkspaceId>{workspace.id, true};
    if (!rows[1].empty()) return rules::name_taken("workspace", workspace.name);
    TG_CHECK(remember(tx, once, workspace.id.str()));
    tx.note(ChangeKind::Workspace, workspace.id.str());
    TG_TRY(const auto done,
           tx.commit({query("INSERT INTO workspaces VALUES ($1, $2, $3, $4)", workspace.id,
                            workspace.name, workspace.revision, workspace.created_at)}));
    return Created<WorkspaceId>{workspace.id};
  });
}

Result<Workspace> PostgresStore::find_workspace(const std::string& id_or_name) {
  return db_.read([&](Session& db) -> Result<Workspace> {
    TG_TRY(const auto rows,
           db.exec(TG_WORKSPACES "WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1",
                   id_or_name));
    if (rows.empty()) return rules::workspace_not_found(id_or_name);
    return sql::workspace_from(rows.front());
  });
}

Result<std::vector<Workspace>> PostgresStore::list_workspaces() {
  return db_.read([](Session& db) -> Result<std::vector<Workspace>> {
    TG_TRY(const auto rows, db.exec(TG_WORKSPACES "ORDER BY name"));
    std::vector<Workspace> list;
    for (const Row row : rows) list.push_back(sql::workspace_from(row));
    return list;
  });
}

Status PostgresStore::delete_workspace(const WorkspaceId& id, IfRevision if_revision) {
  return db_.write_simply([&](Tx& tx) -> Status {
    TG_TRY(
        const auto rows,
        tx.db.run({query("SELECT revision FROM workspaces WHERE id = $1 FOR UPDATE", id),
                   query("SELECT 1 FROM sync_jobs WHERE workspace_id = $1 AND deleted_at IS NULL "
                         "UNION ALL SELECT 1 FROM connections WHERE workspace_id = $1 LIMIT 1",
                         id)}));
    if (rows[0].empty()) return rules::workspace_not_found(id.str());
    const std::int64_t revision = rows[0].front().integer(0);
    if (if_revision && *if_revision != revision) return rules::stale_revision(revision);
    if (!rows[1].empty()) return rules::workspace_not_empty();
    tx.note(ChangeKind::Workspace, id.str());
    TG_TRY(const auto done, tx.commit({query("DELETE FROM workspaces WHERE id = $1", id)}));
    return {};
  });
}

// ---- tokens

Status PostgresStore::create_token(const Token& token) {
  return db_.write_simply([&](Tx& tx) -> Status {
    TG_TRY(const auto rows,
           tx.db.run({query("SELECT 1 FROM api_tokens WHERE id = $1", token.id),
                      query("SELECT 1 FROM api_tokens WHERE name = $1", token.name)}));
    if (!rows[0].empty()) return rules::token_exists();
    if (!rows[1].empty()) return rules::name_taken("token", token.name);
    tx.note(ChangeKind::Token, token.id.str());
    TG_TRY(const auto done, tx.commit({query("INSERT INTO api_tokens (" TG_TOKEN_COLUMNS
                                             ") VALUES ($1, $2, $3, $4, $5::json, $6, $7, $8, $9)",
                                             token.id, token.name, token.hash,
                                             name_of(token.role, model::kRoleNames),
                                             sql::workspaces_text(token), token.expires_at,
                                             token.created_at, token.created_by, token.revision)}));
    return {};
  });
}

Result<std::optional<Token>> PostgresStore::find_token(const std::string& hash) {
  return db_.read([&](Session& db) -> Result<std::optional<Token>> {
    TG_TRY(const auto rows, db.exec(TG_TOKENS "WHERE hash = $1", hash));
    if (rows.empty()) return std::nullopt;
    return sql::token_from(rows.front());
  });
}

Result<std::vector<Token>> PostgresStore::list_tokens() {
  return db_.read([](Session& db) -> Result<std::vector<Token>> {
    TG_TRY(const auto rows, db.exec(TG_TOKENS "ORDER BY name"));
    std::vector<Token> list;
    for (const Row row : rows) {
      TG_TRY(auto t, sql::token_from(row));
      list.push_back(std::move(t));
    }
    return list;
  });
}

Status PostgresStore::delete_token(const TokenId& id) {
  return db_.write_simply([&](Tx& tx) -> Status {
    TG_TRY(const auto done, tx.db.exec("DELETE FROM api_tokens WHERE id = $1", id));
    if (done.changed() == 0) return rules::token_not_found(id);
    tx.note(ChangeKind::Token, id.str());
    return {};
  });
}

// ---- workers

Status PostgresStore::heartbeat(const WorkerInfo& w) {
  return db_.read([&](Session& db) -> Status {
    TG_TRY(const auto done,
           db.exec("INSERT INTO workers (" TG_WORKER_COLUMNS
                   ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, tidegate_now(), "
                   "$12::json) ON CONFLICT (id) DO UPDATE SET leader = excluded.leader, draining = "
                   "excluded.draining, running = excluded.running, capacity = excluded.capacity, "
                   "seen_at = excluded.seen_at, secret_keys = excluded.secret_keys",
                   w.id, w.host, w.boot_id, w.pid, w.pid_start, w.version, w.leader, w.draining,
                   w.running, w.capacity, w.started_at,
                   boost::json::serialize(model::texts_to_json(w.secret_keys))));
    return {};
  });
}

Status PostgresStore::forget_worker(const OwnerId& id) {
  return db_.read([&](Session& db) -> Status {
    TG_TRY(const auto done, db.exec("DELETE FROM workers WHERE id = $1", id));
    return {};
  });
}

Result<std::vector<WorkerInfo>> PostgresStore::list_workers(Millis seen_within) {
  return db_.read([&](Session& db) -> Result<std::vector<WorkerInfo>> {
    TG_TRY(const auto rows,
           db.exec("SELECT " TG_SEEN_WORKER_COLUMNS(
                       "expires_at > tidegate_now()") " FROM workers WHERE seen_at >= "
                                                      "tidegate_now() - $1 * "
                                                      "interval '1 millisecond' ORDER BY id",
                   seen_within.count()));
    std::vector<WorkerInfo> list;
    for (const Row row : rows) {
      TG_TRY(auto worker, sql::worker_from(row));
      list.push_back(std::move(worker));
    }
    return list;
  });
}

// ---- settings

Result<std::optional<std::string>> PostgresStore::find_setting(const std::string& name) {
  return db_.read([&](Session& db) -> Result<std::optional<std::string>> {
    TG_TRY(const auto rows, db.exec("SELECT value FROM settings WHERE name = $1", name));
    if (rows.empty()) return std::nullopt;
    return std::string(rows.front().text(0));
  });
}

Result<std::string> PostgresStore::keep_setting(const std::string& name, const std::string& value) {
  return db_.read([&](Session& db) -> Result<std::string> {
    // Two statements: the second sees what another process committed while the first waited.
    TG_TRY(
        const auto rows,
        db.run({query("INSERT INTO settings VALUES ($1, $2) ON CONFLICT DO NOTHING", name, value),
                query("SELECT value FROM settings WHERE name = $1", name)}));
    return rows[1].front().text(0);
  });
}

Status PostgresStore::replace_setting(const std::string& name, const std::string& from,
                                      const std::string& to) {
  return db_.read([&](Session& db) -> Status {
    TG_TRY(const auto done,
           db.exec("UPDATE settings SET value = $3 WHERE name = $1 AND value IN ($2, $3)", name,
                   from, to));
    if (done.changed() == 0) return rules::setting_changed(name);
    return {};
  });
}

}  // namespace tidegate::store::postgres
