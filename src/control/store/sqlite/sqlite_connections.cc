#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "control/store/sqlite/keys.h"
#include "control/store/sqlite/ledger.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {

using model::Connection;
using model::ConnectionKind;

namespace {

Status check_name(Db& db, const Connection& c) {
  TG_TRY(const bool taken,
         db.exists("SELECT 1 FROM connections WHERE workspace_id = ? AND kind = ? AND name = ? AND "
                   "id <> ?",
                   c.workspace, name_of(c.kind, model::kConnectionKindNames), c.name, c.id));
  if (taken) return rules::connection_name_taken(c);
  return {};
}

// NotFound for one of another workspace or kind; PreconditionFailed.
Result<Connection> connection_for_write(Db& db, const WorkspaceId& ws, ConnectionKind kind,
                                        const ConnectionId& id, IfRevision if_revision) {
  TG_TRY(auto found, find_connection(db, id));
  if (!found || found->kind != kind || found->workspace != ws) {
    return rules::connection_not_found(kind, id);
  }
  if (if_revision && *if_revision != found->revision) return rules::stale_revision(found->revision);
  return std::move(*found);
}

}  // namespace

Result<Created<ConnectionId>> SqliteStore::create_connection(
    const Connection& c, const std::optional<Idempotency>& once) {
  return writer_.run([&](Tx& tx) -> Result<Created<ConnectionId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<ConnectionId>{ConnectionId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists("SELECT 1 FROM connections WHERE id = ?", c.id));
    if (known) return Created<ConnectionId>{c.id, true};
    TG_TRY(const bool ws, tx.db.exists("SELECT 1 FROM workspaces WHERE id = ?", c.workspace));
    if (!ws) return rules::workspace_not_found(c.workspace.str());
    TG_CHECK(check_name(tx.db, c));
    TG_CHECK(tx.db.exec("INSERT INTO connections (" TG_CONNECTION_COLUMNS
                        ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        c.id, c.workspace, name_of(c.kind, model::kConnectionKindNames), c.name,
                        c.type, boost::json::serialize(c.config), c.exclusive_key, c.revision,
                        c.created_at, c.updated_at, c.created_by));
    TG_CHECK(remember(tx, once, c.id.str()));
    tx.note(ChangeKind::Connection, c.id.str());
    return Created<ConnectionId>{c.id};
  });
}

Result<Connection> SqliteStore::get_connection(const WorkspaceId& ws, ConnectionKind kind,
                                               const ConnectionId& id) {
  return quick_.read([&](Db& db) { return connection_for_write(db, ws, kind, id, std::nullopt); });
}

Result<Listing<Connection>> SqliteStore::list_connections(const ConnectionQuery& query) {
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "connections", 2));
  return readers_.snapshot([&](Db& db) -> Result<Listing<Connection>> {
    constexpr std::string_view kWhere =
        " FROM connections WHERE (?1 = '' OR workspace_id = ?1) AND kind = ?2 AND (?3 IS NULL OR "
        "instr(lower(name), lower(?3)) > 0)";
    const auto kind = name_of(query.kind, model::kConnectionKindNames);
    Listing<Connection> list;
    TG_TRY(list.total, db.number(fmt::format("SELECT count(*){}", kWhere), query.workspace, kind,
                                 query.name_contains));
    const std::size_t limit = rules::page_limit(query.page);
    TG_CHECK(db.each(
        fmt::format("SELECT " TG_CONNECTION_COLUMNS
                    "{} AND (name, id) > (?4, ?5) ORDER BY name, id LIMIT ?6",
                    kWhere),
        [&](const Row& r) -> Status {
          TG_TRY(auto c, connection_from(r));
          list.items.push_back(std::move(c));
          return {};
        },
        query.workspace, kind, query.name_contains, cursor ? (*cursor)[0] : "",
        cursor ? (*cursor)[1] : "", limit + 1));
    rules::end_page(list, limit, [](const Connection& c) {
      return rules::name_cursor("connections", c.name, c.id.str());
    });
    return list;
  });
}

Result<Connection> SqliteStore::update_connection(const Connection& connection,
                                                  IfRevision if_revision) {
  return writer_.run([&](Tx& tx) -> Result<Connection> {
    TG_TRY(auto row, connection_for_write(tx.db, connection.workspace, connection.kind,
                                          connection.id, if_revision));
    TG_CHECK(check_name(tx.db, connection));
    rules::replace(row, connection);
    TG_CHECK(
        tx.db.exec("UPDATE connections SET name = ?, type = ?, config = ?, exclusive_key = "
                   "?, updated_at = ?, revision = ? WHERE id = ?",
                   row.name, row.type, boost::json::serialize(row.config), row.exclusive_key,
                   row.updated_at, row.revision, row.id));
    tx.note(ChangeKind::Connection, row.id.str());
    return row;
  });
}

Status SqliteStore::delete_connection(const WorkspaceId& ws, ConnectionKind kind,
                                      const ConnectionId& id, IfRevision if_revision) {
  return writer_.run([&](Tx& tx) -> Status {
    TG_TRY(const Connection found, connection_for_write(tx.db, ws, kind, id, if_revision));
    // Also by runs that are pinned to an older spec or whose job was deleted.
    std::vector<std::string> users;
    TG_CHECK(tx.db.each(
        "SELECT name FROM sync_jobs WHERE deleted_at IS NULL AND (source_id = ?1 OR destination_id "
        "= ?1) UNION SELECT j.name FROM sync_runs r JOIN sync_jobs j ON j.id = r.job_id WHERE "
        "r.state IN ('queued', 'running') AND (r.source_id = ?1 OR r.destination_id = ?1) ORDER BY "
        "1",
        [&](const Row& r) { users.push_back(r.text(0)); }, id));
    if (!users.empty()) return rules::connection_in_use(users);
    TG_CHECK(tx.db.exec("DELETE FROM connections WHERE id = ?", id));
    tx.note(ChangeKind::Connection, id.str());
    return {};
  });
}

}  // namespace tidegate::store::sqlite
