#include <set>

#include "control/store/mongo/keys.h"
#include "control/store/mongo/mongo_state.h"
#include "control/store/mongo/query.h"

namespace tidegate::store::mongo {

using model::Connection;
using model::ConnectionKind;

namespace {

struct ConnectionRow {
  Connection connection;
  std::int64_t seq = 0;
};

// NotFound for one of another workspace; PreconditionFailed.
Result<ConnectionRow> connection_for(Conn& db, const WorkspaceId& ws, ConnectionKind kind,
                                     const ConnectionId& id, IfRevision if_revision) {
  TG_TRY(auto found, db.find_one(connections_of(kind), {.filter = {{"_id", id.str()}}}));
  if (!found || text_of(*found, "workspaceId") != ws.str()) {
    return rules::connection_not_found(kind, id);
  }
  ConnectionRow row{.connection = {}, .seq = number_of(*found, "seq")};
  TG_TRY(row.connection, connection_from(std::move(*found)));
  const auto revision = row.connection.revision;
  if (if_revision && *if_revision != revision) return rules::stale_revision(revision);
  return row;
}

Status name_error(Status status, const Connection& c) {
  if (status || status.error().reason != kDuplicate) return status;
  return rules::connection_name_taken(c);
}

// The names of jobs that refer to it, also by runs that are pinned to an older spec or whose job
// was deleted.
Result<std::set<std::string>> users_of(Conn& db, const ConnectionId& id) {
  const bj::array refers{bj::object{{"spec.source", id.str()}},
                         bj::object{{"spec.destination", id.str()}}};
  std::set<std::string> users;
  const auto add = [&](const bj::object& o) {
    const auto* spec = o.if_contains("spec");
    if (spec != nullptr && spec->is_object()) users.insert(text_of(spec->get_object(), "name"));
    return true;
  };
  const bj::object name{{"spec.name", 1}};
  TG_CHECK(
      db.each(coll::kJobs, {.filter = {{"live", true}, {"$or", refers}}, .projection = name}, add));
  TG_CHECK(db.each(
      coll::kRuns,
      {.filter = {{"state", bj::object{{"$in", bj::array{"queued", "running"}}}}, {"$or", refers}},
       .projection = name},
      add));
  return users;
}

}  // namespace

Result<Created<ConnectionId>> MongoStore::create_connection(
    const Connection& c, const std::optional<Idempotency>& once) {
  return write([&](Tx& tx) -> Result<Created<ConnectionId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<ConnectionId>{ConnectionId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists(connections_of(c.kind), {{"_id", c.id.str()}}));
    if (known) return Created<ConnectionId>{c.id, true};
    TG_TRY(const bool workspace, tx.touch(coll::kWorkspaces, c.workspace.str()));
    if (!workspace) return rules::workspace_not_found(c.workspace.str());
    TG_CHECK(name_error(tx.add(connections_of(c.kind), to_document(c)), c));
    TG_CHECK(remember(tx, once, c.id.str()));
    tx.note(ChangeKind::Connection, c.id.str());
    return Created<ConnectionId>{c.id};
  });
}

Result<Connection> MongoStore::get_connection(const WorkspaceId& ws, ConnectionKind kind,
                                              const ConnectionId& id) {
  Conn conn(*pool_);
  TG_TRY(auto row, connection_for(conn, ws, kind, id, std::nullopt));
  return std::move(row.connection);
}

Result<Listing<Connection>> MongoStore::list_connections(const ConnectionQuery& query) {
  bj::object filter;
  if (!query.workspace.empty()) filter["workspaceId"] = query.workspace.str();
  if (query.name_contains) filter["name"] = containing(*query.name_contains);
  Conn conn(*pool_);
  return list_by_name<Connection>(conn, connections_of(query.kind), "connections",
                                  std::move(filter), query.page, connection_from,
                                  [](const Connection& c) { return c.name; });
}

Result<Connection> MongoStore::update_connection(const Connection& connection,
                                                 IfRevision if_revision) {
  return write([&](Tx& tx) -> Result<Connection> {
    TG_TRY(auto row, connection_for(tx.db, connection.workspace, connection.kind, connection.id,
                                    if_revision));
    Connection& c = row.connection;
    rules::replace(c, connection);
    TG_CHECK(name_error(tx.put(connections_of(c.kind), to_document(c), row.seq), c));
    tx.note(ChangeKind::Connection, c.id.str());
    return std::move(c);
  });
}

Status MongoStore::delete_connection(const WorkspaceId& ws, ConnectionKind kind,
                                     const ConnectionId& id, IfRevision if_revision) {
  return write([&](Tx& tx) -> Status {
    TG_TRY(const auto row, connection_for(tx.db, ws, kind, id, if_revision));
    TG_TRY(const auto users, users_of(tx.db, id));
    if (!users.empty()) return rules::connection_in_use({users.begin(), users.end()});
    // A job that began to use it since (see Tx::touch) has changed its seq.
    TG_CHECK(tx.remove(connections_of(kind), id.str(), row.seq));
    tx.note(ChangeKind::Connection, id.str());
    return {};
  });
}

}  // namespace tidegate::store::mongo
