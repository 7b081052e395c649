#include <boost/json/serialize.hpp>

#include "control/store/postgres/keys.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::Connection;
using model::ConnectionKind;

namespace {

Status check_name(Session& db, const Connection& c) {
  TG_TRY(
      const auto taken,
      db.exec("SELECT 1 FROM connections WHERE workspace_id = $1 AND kind = $2 AND name = $3 AND "
              "id <> $4",
              c.workspace, name_of(c.kind, model::kConnectionKindNames), c.name, c.id));
  if (!taken.empty()) return rules::connection_name_taken(c);
  return {};
}

// NotFound for one of another workspace or kind; PreconditionFailed. `lock`: FOR UPDATE.
Result<Connection> find_connection(Session& db, const WorkspaceId& ws, ConnectionKind kind,
                                   const ConnectionId& id, IfRevision if_revision,
                                   std::string_view lock) {
  TG_TRY(const auto rows,
         db.exec("SELECT " TG_CONNECTION_COLUMNS " FROM connections WHERE id = $1 AND workspace_id "
                 "= $2 AND kind = $3" +
                     std::string(lock),
                 id, ws, name_of(kind, model::kConnectionKindNames)));
  if (rows.empty()) return rules::connection_not_found(kind, id);
  TG_TRY(auto found, sql::connection_from(rows.front()));
  if (if_revision && *if_revision != found.revision) return rules::stale_revision(found.revision);
  return found;
}

}  // namespace

Result<Created<ConnectionId>> PostgresStore::create_connection(
    const Connection& c, const std::optional<Idempotency>& once) {
  return db_.write_simply([&](Tx& tx) -> Result<Created<ConnectionId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<ConnectionId>{ConnectionId(*earlier), true};
    TG_TRY(const auto rows,
           tx.db.run({query("SELECT 1 FROM connections WHERE id = $1", c.id),
                      query("SELECT 1 FROM workspaces WHERE id = $1 FOR SHARE", c.workspace)}));
    if (!rows[0].empty()) return Created<ConnectionId>{c.id, true};
    if (rows[1].empty()) return rules::workspace_not_found(c.workspace.str());
    TG_CHECK(check_name(tx.db, c));
    TG_CHECK(remember(tx, once, c.id.str()));
    tx.note(ChangeKind::Connection, c.id.str());
    TG_TRY(const auto done,
           tx.commit({query("INSERT INTO connections (" TG_CONNECTION_COLUMNS
                            ") VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9, $10, $11)",
                            c.id, c.workspace, name_of(c.kind, model::kConnectionKindNames), c.name,
                            c.type, boost::json::serialize(c.config), c.exclusive_key, c.revision,
                            c.created_at, c.updated_at, c.created_by)}));
    return Created<ConnectionId>{c.id};
  });
}

Result<Connection> PostgresStore::get_connection(const WorkspaceId& ws, ConnectionKind kind,
                                                 const ConnectionId& id) {
  return db_.read([&](Session& db) { return find_connection(db, ws, kind, id, std::nullopt, ""); });
}

Result<Listing<Connection>> PostgresStore::list_connections(const ConnectionQuery& q) {
  TG_TRY(const auto cursor, rules::decode_cursor(q.page, "connections", 2));
  Where where{.sql = " FROM connections WHERE true", .params = {}};
  where.add(" AND kind = ${}", name_of(q.kind, model::kConnectionKindNames));
  if (!q.workspace.empty()) where.add(" AND workspace_id = ${}", q.workspace);
  if (q.name_contains) where.add(" AND strpos(lower(name), lower(${})) > 0", *q.name_contains);
  const Query total{"SELECT count(*)" + where.sql, where.params};
  if (cursor) {
    where.add(" AND (name, id) > (${}, ", (*cursor)[0]);
    where.add("${})", (*cursor)[1]);
  }
  const std::size_t limit = rules::page_limit(q.page);
  where.add(" ORDER BY name, id LIMIT ${}", limit + 1);
  return db_.read(
      [&](Session& db) -> Result<Listing<Connection>> {
        TG_TRY(const auto rows,
               db.snapshot({total, {"SELECT " TG_CONNECTION_COLUMNS + where.sql, where.params}}));
        Listing<Connection> list;
        list.total = rows[0].front().integer(0);
        for (const Row row : rows[1]) {
          TG_TRY(auto c, sql::connection_from(row));
          list.items.push_back(std::move(c));
        }
        rules::end_page(list, limit, [](const Connection& c) {
          return rules::name_cursor("connections", c.name, c.id.str());
        });
        return list;
      },
      Pool::Use::Slow);
}

Result<Connection> PostgresStore::update_connection(const Connection& connection,
                                                    IfRevision if_revision) {
  return db_.write_simply([&](Tx& tx) -> Result<Connection> {
    TG_TRY(auto row, find_connection(tx.db, connection.workspace, connection.kind, connection.id,
                                     if_revision, " FOR UPDATE"));
    TG_CHECK(check_name(tx.db, connection));
    rules::replace(row, connection);
    tx.note(ChangeKind::Connection, row.id.str());
    TG_TRY(const auto done,
           tx.commit({query("UPDATE connections SET name = $2, type = $3, config = $4::json, "
                            "exclusive_key = $5, updated_at = $6, revision = $7 WHERE id = $1",
                            row.id, row.name, row.type, boost::json::serialize(row.config),
                            row.exclusive_key, row.updated_at, row.revision)}));
    return row;
  });
}

Status PostgresStore::delete_connection(const WorkspaceId& ws, ConnectionKind kind,
                                        const ConnectionId& id, IfRevision if_revision) {
  return db_.write_simply([&](Tx& tx) -> Status {
    TG_TRY(const auto found, find_connection(tx.db, ws, kind, id, if_revision, " FOR UPDATE"));
    // Also by runs that are pinned to an older spec or whose job was deleted.
    TG_TRY(const auto rows,
           tx.db.exec("SELECT name FROM sync_jobs WHERE deleted_at IS NULL AND (source_id = $1 OR "
                      "destination_id = $1) UNION SELECT j.name FROM sync_runs r JOIN sync_jobs j "
                      "ON j.id = r.job_id WHERE r.id IN (SELECT run_id FROM run_queue UNION ALL "
                      "SELECT run_id FROM job_execution_locks) AND (r.source_id = $1 OR "
                      "r.destination_id = $1) ORDER BY 1",
                      id));
    std::vector<std::string> users;
    for (const Row row : rows) users.push_back(row.text(0));
    if (!users.empty()) return rules::connection_in_use(users);
    tx.note(ChangeKind::Connection, id.str());
    TG_TRY(const auto done, tx.commit({query("DELETE FROM connections WHERE id = $1", id)}));
    return {};
  });
}

}  // namespace tidegate::store::postgres
