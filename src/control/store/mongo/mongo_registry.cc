#include "control/model/text_field.h"
#include "control/store/mongo/keys.h"
#include "control/store/mongo/mongo_state.h"

namespace tidegate::store::mongo {

using model::Token;
using model::WorkerInfo;
using model::Workspace;

namespace {

// Who leads is who holds the lease, whatever its document says.
WorkerInfo worker_from(const bj::object& o, std::string_view leader) {
  return {.id = OwnerId(text_of(o, "_id")),
          .host = text_of(o, "host"),
          .boot_id = text_of(o, "bootId"),
          .pid = number_of(o, "pid"),
          .pid_start = number_of(o, "pidStart"),
          .version = text_of(o, "version"),
          .leader = text_of(o, "_id") == leader,
          .draining = flag_of(o, "draining"),
          .running = static_cast<int>(number_of(o, "running")),
          .capacity = static_cast<int>(number_of(o, "capacity")),
          .started_at = time_of(o, "startedAt"),
          .seen_at = time_of(o, "seenAt"),
          .secret_keys = texts_of(o, "secretKeys")};
}

}  // namespace

// ---- workspaces

Result<Created<WorkspaceId>> MongoStore::create_workspace(const Workspace& workspace,
                                                          const std::optional<Idempotency>& once) {
  return write([&](Tx& tx) -> Result<Created<WorkspaceId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<WorkspaceId>{WorkspaceId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists(coll::kWorkspaces, {{"_id", workspace.id.str()}}));
    if (known) return Created<WorkspaceId>{workspace.id, true};
    const Status added = tx.add(coll::kWorkspaces, to_document(workspace));
    if (!added && added.error().reason == kDuplicate) {
      return rules::name_taken("workspace", workspace.name);
    }
    TG_CHECK(added);
    TG_CHECK(remember(tx, once, workspace.id.str()));
    tx.note(ChangeKind::Workspace, workspace.id.str());
    return Created<WorkspaceId>{workspace.id};
  });
}

Result<Workspace> MongoStore::find_workspace(const std::string& id_or_name) {
  Conn conn(*pool_);
  for (const std::string_view by : {"_id", "name"}) {
    TG_TRY(const auto found, conn.find_one(coll::kWorkspaces, {.filter = {{by, id_or_name}}}));
    if (found) return workspace_from(*found);
  }
  return rules::workspace_not_found(id_or_name);
}

Result<std::vector<Workspace>> MongoStore::list_workspaces() {
  Conn conn(*pool_);
  std::vector<Workspace> list;
  TG_CHECK(
      conn.each(coll::kWorkspaces, {.filter = {}, .sort = {{"name", 1}}}, [&](const bj::object& o) {
        list.push_back(workspace_from(o));
        return true;
      }));
  return list;
}

Status MongoStore::delete_workspace(const WorkspaceId& id, IfRevision if_revision) {
  return write([&](Tx& tx) -> Status {
    TG_TRY(const auto found, tx.db.find_one(coll::kWorkspaces, {.filter = {{"_id", id.str()}}}));
    if (!found) return rules::workspace_not_found(id.str());
    const auto revision = number_of(*found, "revision");
    if (if_revision && *if_revision != revision) return rules::stale_revision(revision);
    const bj::object in{{"workspaceId", id.str()}};
    bj::object live = in;
    live["live"] = true;
    TG_TRY(bool used, tx.db.exists(coll::kJobs, live));
    for (const auto collection : {coll::kSources, coll::kDestinations}) {
      TG_TRY(const bool some, tx.db.exists(collection, in));
      used = used || some;
    }
    if (used) return rules::workspace_not_empty();
    // Who began to use it since (see Tx::touch) has changed its seq.
    TG_CHECK(tx.remove(coll::kWorkspaces, id.str(), number_of(*found, "seq")));
    tx.note(ChangeKind::Workspace, id.str());
    return {};
  });
}

// ---- tokens

Status MongoStore::create_token(const Token& token) {
  return write([&](Tx& tx) -> Status {
    TG_TRY(const bool known, tx.db.exists(coll::kTokens, {{"_id", token.id.str()}}));
    if (known) return rules::token_exists();
    const Status added = tx.add(coll::kTokens, to_document(token));
    if (!added && added.error().reason == kDuplicate) return rules::name_taken("token", token.name);
    TG_CHECK(added);
    tx.note(ChangeKind::Token, token.id.str());
    return {};
  });
}

Result<std::optional<Token>> MongoStore::find_token(const std::string& hash) {
  Conn conn(*pool_);
  TG_TRY(const auto found, conn.find_one(coll::kTokens, {.filter = {{"hash", hash}}}));
  if (!found) return std::nullopt;
  TG_TRY(Token token, token_from(*found));
  return token;
}

Result<std::vector<Token>> MongoStore::list_tokens() {
  Conn conn(*pool_);
  std::vector<Token> list;
  TG_CHECK(conn.each(coll::kTokens, {.filter = {}, .sort = {{"name", 1}}},
                     [&](const bj::object& o) -> Result<bool> {
                       TG_TRY(auto t, token_from(o));
                       list.push_back(std::move(t));
                       return true;
                     }));
  return list;
}

Status MongoStore::delete_token(const TokenId& id) {
  return write_one([&](Tx& tx) -> Status {
    TG_TRY(const auto n, tx.db.erase(coll::kTokens, {{"_id", id.str()}}));
    if (n == 0) return rules::token_not_found(id);
    tx.note(ChangeKind::Token, id.str());
    return {};
  });
}

// ---- workers

Status MongoStore::heartbeat(const WorkerInfo& w) {
  return write_one([&](Tx& tx) -> Status {
    TG_CHECK(tx.db.replace(coll::kWorkers, {{"_id", w.id.str()}},
                           {{"_id", w.id.str()},
                            {"host", w.host},
                            {"bootId", w.boot_id},
                            {"pid", w.pid},
                            {"pidStart", w.pid_start},
                            {"version", w.version},
                            {"leader", w.leader},
                            {"draining", w.draining},
                            {"running", w.running},
                            {"capacity", w.capacity},
                            {"startedAt", date(w.started_at)},
                            {"seenAt", date(tx.now)},
                            {"secretKeys", model::texts_to_json(w.secret_keys)}},
                           true));
    return {};
  });
}

Status MongoStore::forget_worker(const OwnerId& id) {
  return write_one([&](Tx& tx) -> Status {
    TG_CHECK(tx.db.erase(coll::kWorkers, {{"_id", id.str()}}));
    return {};
  });
}

Result<std::vector<WorkerInfo>> MongoStore::list_workers(Millis seen_within) {
  TG_TRY(const Instant at, now());
  Conn conn(*pool_);
  TG_TRY(const auto lease, conn.find_one(coll::kLocks, {.filter = {{"_id", "scheduler"}}}));
  const bool led = lease && time_of(*lease, "expiresAt") > at;
  const std::string leader = led ? text_of(*lease, "owner") : "";
  std::vector<WorkerInfo> list;
  TG_CHECK(conn.each(
      coll::kWorkers,
      {.filter = {{"seenAt", bj::object{{"$gte", date(at - seen_within)}}}}, .sort = {{"_id", 1}}},
      [&](const bj::object& o) {
        list.push_back(worker_from(o, leader));
        return true;
      }));
  return list;
}

// ---- settings

Result<std::optional<std::string>> MongoStore::find_setting(const std::string& name) {
  Conn conn(*pool_);
  TG_TRY(const auto kept, conn.find_one(coll::kSettings, {.filter = {{"_id", name}}}));
  return kept ? std::optional(text_of(*kept, "value")) : std::nullopt;
}

Result<std::string> MongoStore::keep_setting(const std::string& name, const std::string& value) {
  return write_one([&](Tx& tx) -> Result<std::string> {
    TG_CHECK(tx.db.update(coll::kSettings, {{"_id", name}},
                          {{"$setOnInsert", bj::object{{"value", value}}}}, true));
    TG_TRY(const auto kept, tx.db.find_one(coll::kSettings, {.filter = {{"_id", name}}}));
    return kept ? text_of(*kept, "value") : value;
  });
}

Status MongoStore::replace_setting(const std::string& name, const std::string& from,
                                   const std::string& to) {
  return write_one([&](Tx& tx) -> Status {
    const bj::object kept{{"_id", name}, {"value", bj::object{{"$in", bj::array{from, to}}}}};
    TG_TRY(const auto n,
           tx.db.update(coll::kSettings, kept, {{"$set", bj::object{{"value", to}}}}));
    if (n == 0) return rules::setting_changed(name);
    return {};
  });
}

}  // namespace tidegate::store::mongo
