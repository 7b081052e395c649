#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
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

constexpr std::string_view kTokenColumns =
    "SELECT id, name, hash, role, workspaces, expires_at, created_at, created_by, revision FROM "
    "api_tokens ";

// A column that holds a JSON list of texts.
Result<std::vector<std::string>> texts_from(std::string_view text) {
  boost::system::error_code ec;
  const bj::value list = bj::parse(bj::string_view(text.data(), text.size()), ec);
  if (ec || !list.is_array()) {
    return fail(Code::Internal, "a list in the store cannot be read: the store is damaged");
  }
  std::vector<std::string> out;
  for (const auto& item : list.get_array()) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

Result<Token> token_from(Row row) {
  Token t;
  t.id = TokenId(row.text(0));
  t.name = row.text(1);
  t.hash = row.text(2);
  TG_CHECK(read_name(row.view(3), model::kRoleNames, t.role));
  TG_TRY(auto workspaces, texts_from(row.view(4)));
  for (auto& w : workspaces) t.workspaces.emplace_back(std::move(w));
  t.expires_at = row.maybe_time(5);
  t.created_at = row.time(6);
  t.created_by = row.text(7);
  t.revision = row.integer(8);
  return t;
}

Workspace workspace_from(Row row) {
  return {.id = WorkspaceId(row.text(0)),
          .name = row.text(1),
          .revision = row.integer(2),
          .created_at = row.time(3)};
}

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
          [&](Row r) { found = workspace_from(r); }, id_or_name));
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
                     [&](Row r) { list.push_back(workspace_from(r)); }));
    return list;
  });
}

Status SqliteStore::delete_workspace(const WorkspaceId& id, IfRevision if_revision) {
  return writer_.run([&](Tx& tx) -> Status {
    std::int64_t revision = 0;
    TG_TRY(const bool known, tx.db.first(
                                 "SELECT revision FROM workspaces WHERE id = ?",
                                 [&](Row r) { revision = r.integer(0); }, id));
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
    if (known) {
      return fail(Code::Conflict, "the token exists already and cannot be shown again",
                  "token_exists");
    }
    TG_TRY(const bool taken, tx.db.exists("SELECT 1 FROM api_tokens WHERE name = ?", token.name));
    if (taken) return rules::name_taken("token", token.name);
    bj::array workspaces;
    for (const auto& w : token.workspaces) workspaces.emplace_back(w.str());
    TG_CHECK(tx.db.exec("INSERT INTO api_tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", token.id,
                        token.name, token.hash, name_of(token.role, model::kRoleNames),
                        bj::serialize(workspaces), token.expires_at, token.created_at,
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
          std::string(kTokenColumns) + "WHERE hash = ?",
          [&](Row r) -> Status {
            TG_TRY(found, token_from(r));
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
    TG_CHECK(db.each(std::string(kTokenColumns) + "ORDER BY name", [&](Row r) -> Status {
      TG_TRY(auto t, token_from(r));
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
    return tx.db.exec(
        "INSERT OR REPLACE INTO workers (id, host, boot_id, pid, pid_start, version, leader, "
        "draining, running, capacity, started_at, seen_at, secret_keys) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        w.id, w.host, w.boot_id, w.pid, w.pid_start, w.version, w.leader, w.draining, w.running,
        w.capacity, w.started_at, tx.now, bj::serialize(model::texts_to_json(w.secret_keys)));
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
        "SELECT id, host, boot_id, pid, pid_start, version, id IS (SELECT owner FROM worker_locks "
        "WHERE id = 'scheduler'), draining, running, "
        "capacity, started_at, seen_at, secret_keys FROM workers WHERE seen_at >= ? ORDER BY id",
        [&](Row r) -> Status {
          TG_TRY(auto secret_keys, texts_from(r.view(12)));
          list.push_back({.id = OwnerId(r.text(0)),
                          .host = r.text(1),
                          .boot_id = r.text(2),
                          .pid = r.integer(3),
                          .pid_start = r.integer(4),
                          .version = r.text(5),
                          .leader = r.flag(6),
                          .draining = r.flag(7),
                          .running = r.small(8),
                          .capacity = r.small(9),
                          .started_at = r.time(10),
                          .seen_at = r.time(11),
                          .secret_keys = std::move(secret_keys)});
          return {};
        },
        clock_.now() - seen_within));
    return list;
  });
}

}  // namespace tidegate::store::sqlite
