#include <algorithm>

#include "control/store/memory/memory_state.h"

namespace tidegate::store {

using model::Connection;
using model::ConnectionKind;

Result<Created<ConnectionId>> MemoryStore::create_connection(
    const Connection& connection, const std::optional<Idempotency>& once) {
  Write write(*this);
  TG_TRY(const auto earlier, replay(once));
  if (earlier) return Created<ConnectionId>{ConnectionId(*earlier), true};
  if (connections_.contains(connection.id)) return Created<ConnectionId>{connection.id, true};
  if (!workspaces_.contains(connection.workspace)) {
    return rules::workspace_not_found(connection.workspace.str());
  }
  for (const auto& [id, c] : connections_) {
    if (c.workspace == connection.workspace && c.kind == connection.kind &&
        c.name == connection.name) {
      return rules::connection_name_taken(c);
    }
  }
  connections_[connection.id] = connection;
  remember(once, connection.id.str());
  write.note(ChangeKind::Connection, connection.id.str());
  return Created<ConnectionId>{connection.id};
}

Result<Connection> MemoryStore::get_connection(const WorkspaceId& ws, ConnectionKind kind,
                                               const ConnectionId& id) {
  const std::scoped_lock lock(mutex_);
  const Connection* found = connection(id, kind, ws);
  if (found == nullptr) return rules::connection_not_found(kind, id);
  return *found;
}

Result<Listing<Connection>> MemoryStore::list_connections(const ConnectionQuery& query) {
  const std::scoped_lock lock(mutex_);
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "connections", 2));
  std::map<std::pair<std::string, std::string>, const Connection*> found;
  for (const auto& [id, c] : connections_) {
    if ((query.workspace.empty() || c.workspace == query.workspace) && c.kind == query.kind &&
        (!query.name_contains || rules::contains_ignoring_case(c.name, *query.name_contains))) {
      found.emplace(std::pair{c.name, id.str()}, &c);
    }
  }
  Listing<Connection> list{.items = {}, .next_cursor = {}, .total = std::ssize(found)};
  auto it = cursor ? found.upper_bound({(*cursor)[0], (*cursor)[1]}) : found.begin();
  const std::size_t limit = rules::page_limit(query.page);
  for (; it != found.end() && list.items.size() < limit; ++it) list.items.push_back(*it->second);
  if (it != found.end()) {
    const Connection& last = list.items.back();
    list.next_cursor = rules::encode_cursor("connections", {last.name, last.id.str()});
  }
  return list;
}

Result<Connection> MemoryStore::update_connection(const Connection& connection,
                                                  IfRevision if_revision) {
  Write write(*this);
  const auto it = connections_.find(connection.id);
  if (it == connections_.end() || it->second.kind != connection.kind ||
      it->second.workspace != connection.workspace) {
    return rules::connection_not_found(connection.kind, connection.id);
  }
  Connection& row = it->second;
  if (if_revision && *if_revision != row.revision) return rules::stale_revision(row.revision);
  for (const auto& [id, c] : connections_) {
    if (id != connection.id && c.workspace == row.workspace && c.kind == row.kind &&
        c.name == connection.name) {
      return rules::connection_name_taken(c);
    }
  }
  rules::replace(row, connection);
  write.note(ChangeKind::Connection, row.id.str());
  return row;
}

Status MemoryStore::delete_connection(const WorkspaceId& ws, ConnectionKind kind,
                                      const ConnectionId& id, IfRevision if_revision) {
  Write write(*this);
  const Connection* found = connection(id, kind, ws);
  if (found == nullptr) return rules::connection_not_found(kind, id);
  if (if_revision && *if_revision != found->revision) return rules::stale_revision(found->revision);
  const auto refers = [&](const model::JobSpec& spec) {
    return spec.source_id == id || spec.destination_id == id;
  };
  std::set<std::string> users;
  for (const auto& [job_id, row] : jobs_) {
    if (!row.deleted && refers(row.job.spec)) users.insert(row.job.spec.name);
    for (const RunId& run : row.active) {  // pinned to an older spec, or of a deleted job
      if (refers(row.revisions.at(runs_.at(run).run.job_revision))) {
        users.insert(row.job.spec.name);
      }
    }
  }
  if (!users.empty()) return rules::connection_in_use({users.begin(), users.end()});
  connections_.erase(id);
  write.note(ChangeKind::Connection, id.str());
  return {};
}

Result<Created<WorkspaceId>> MemoryStore::create_workspace(const model::Workspace& workspace,
                                                           const std::optional<Idempotency>& once) {
  Write write(*this);
  TG_TRY(const auto earlier, replay(once));
  if (earlier) return Created<WorkspaceId>{WorkspaceId(*earlier), true};
  if (workspaces_.contains(workspace.id)) return Created<WorkspaceId>{workspace.id, true};
  for (const auto& [id, w] : workspaces_) {
    if (w.name == workspace.name) return rules::name_taken("workspace", w.name);
  }
  workspaces_[workspace.id] = workspace;
  remember(once, workspace.id.str());
  write.note(ChangeKind::Workspace, workspace.id.str());
  return Created<WorkspaceId>{workspace.id};
}

Result<model::Workspace> MemoryStore::find_workspace(const std::string& id_or_name) {
  const std::scoped_lock lock(mutex_);
  if (const auto it = workspaces_.find(WorkspaceId(id_or_name)); it != workspaces_.end()) {
    return it->second;
  }
  for (const auto& [id, w] : workspaces_) {
    if (w.name == id_or_name) return w;
  }
  return rules::workspace_not_found(id_or_name);
}

Result<std::vector<model::Workspace>> MemoryStore::list_workspaces() {
  const std::scoped_lock lock(mutex_);
  std::vector<model::Workspace> list;
  for (const auto& [id, w] : workspaces_) list.push_back(w);
  std::ranges::sort(list, {}, &model::Workspace::name);
  return list;
}

Status MemoryStore::delete_workspace(const WorkspaceId& id, IfRevision if_revision) {
  Write write(*this);
  const auto it = workspaces_.find(id);
  if (it == workspaces_.end()) return rules::workspace_not_found(id.str());
  if (if_revision && *if_revision != it->second.revision) {
    return rules::stale_revision(it->second.revision);
  }
  const bool has_jobs = std::ranges::any_of(
      jobs_, [&](const auto& e) { return !e.second.deleted && e.second.job.workspace == id; });
  const bool has_connections =
      std::ranges::any_of(connections_, [&](const auto& e) { return e.second.workspace == id; });
  if (has_jobs || has_connections) return rules::workspace_not_empty();
  workspaces_.erase(it);
  write.note(ChangeKind::Workspace, id.str());
  return {};
}

Status MemoryStore::create_token(const model::Token& token) {
  Write write(*this);
  if (tokens_.contains(token.id)) return rules::token_exists();
  for (const auto& [id, t] : tokens_) {
    if (t.name == token.name) return rules::name_taken("token", t.name);
  }
  tokens_[token.id] = token;
  write.note(ChangeKind::Token, token.id.str());
  return {};
}

Result<std::optional<model::Token>> MemoryStore::find_token(const std::string& hash) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, t] : tokens_) {
    if (t.hash == hash) return t;
  }
  return std::nullopt;
}

Result<std::vector<model::Token>> MemoryStore::list_tokens() {
  const std::scoped_lock lock(mutex_);
  std::vector<model::Token> list;
  for (const auto& [id, t] : tokens_) list.push_back(t);
  std::ranges::sort(list, {}, &model::Token::name);
  return list;
}

Status MemoryStore::delete_token(const TokenId& id) {
  Write write(*this);
  if (tokens_.erase(id) == 0) return rules::token_not_found(id);
  write.note(ChangeKind::Token, id.str());
  return {};
}

Status MemoryStore::heartbeat(const model::WorkerInfo& worker) {
  const std::scoped_lock lock(mutex_);
  model::WorkerInfo& row = workers_[worker.id];
  row = worker;
  row.seen_at = clock_.now();
  return {};
}

Status MemoryStore::forget_worker(const OwnerId& id) {
  const std::scoped_lock lock(mutex_);
  workers_.erase(id);
  return {};
}

Result<std::vector<model::WorkerInfo>> MemoryStore::list_workers(Millis seen_within) {
  const std::scoped_lock lock(mutex_);
  std::vector<model::WorkerInfo> list;
  const Instant oldest = clock_.now() - seen_within;
  for (const auto& [id, w] : workers_) {
    if (w.seen_at < oldest) continue;
    list.push_back(w);
    list.back().leader = leader_.owner == id && leader_.until > clock_.boot_now();
  }
  return list;
}

Result<std::optional<std::string>> MemoryStore::find_setting(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  const auto kept = settings_.find(name);
  return kept == settings_.end() ? std::nullopt : std::optional(kept->second);
}

Result<std::string> MemoryStore::keep_setting(const std::string& name, const std::string& value) {
  const std::scoped_lock lock(mutex_);
  return settings_.try_emplace(name, value).first->second;
}

Status MemoryStore::replace_setting(const std::string& name, const std::string& from,
                                    const std::string& to) {
  const std::scoped_lock lock(mutex_);
  const auto kept = settings_.find(name);
  if (kept == settings_.end() || (kept->second != from && kept->second != to)) {
    return rules::setting_changed(name);
  }
  kept->second = to;
  return {};
}

}  // namespace tidegate::store
