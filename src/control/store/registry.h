#pragma once
// Connections, workspaces, tokens and workers.

#include <optional>
#include <string>
#include <vector>

#include "control/model/connection.h"
#include "control/store/types.h"

namespace tidegate::store {

struct ConnectionQuery {
  WorkspaceId workspace;
  model::ConnectionKind kind = model::ConnectionKind::Source;
  std::optional<std::string> name_contains;
  Page page;  // sorted by name
};

// Thread-safe. Every method is one atomic, durable step.
class RegistryStore {
 public:
  virtual ~RegistryStore() = default;

  // ---- connections. Conflict `name_taken`; NotFound; PreconditionFailed.
  virtual Result<Created<ConnectionId>> create_connection(
      const model::Connection& connection, const std::optional<Idempotency>& once) = 0;
  virtual Result<model::Connection> get_connection(const WorkspaceId& ws,
                                                   model::ConnectionKind kind,
                                                   const ConnectionId& id) = 0;
  virtual Result<Listing<model::Connection>> list_connections(const ConnectionQuery& query) = 0;
  // Replaces name, type, config, exclusive_key, updated_at; the revision grows.
  virtual Result<model::Connection> update_connection(const model::Connection& connection,
                                                      IfRevision if_revision) = 0;
  // Conflict `connection_in_use` naming the jobs while one refers to it.
  virtual Status delete_connection(const WorkspaceId& ws, model::ConnectionKind kind,
                                   const ConnectionId& id, IfRevision if_revision) = 0;

  // ---- workspaces
  virtual Result<Created<WorkspaceId>> create_workspace(const model::Workspace& workspace,
                                                        const std::optional<Idempotency>& once) = 0;
  virtual Result<model::Workspace> find_workspace(const std::string& id_or_name) = 0;  // an id wins
  virtual Result<std::vector<model::Workspace>> list_workspaces() = 0;
  // Conflict `workspace_not_empty` while it has jobs or connections.
  virtual Status delete_workspace(const WorkspaceId& id, IfRevision if_revision) = 0;

  // ---- tokens. A replayed create cannot show the token again: Conflict `token_exists`.
  virtual Status create_token(const model::Token& token) = 0;  // Conflict `name_taken`
  virtual Result<std::optional<model::Token>> find_token(const std::string& hash) = 0;
  virtual Result<std::vector<model::Token>> list_tokens() = 0;
  virtual Status delete_token(const TokenId& id) = 0;  // NotFound

  // ---- workers
  virtual Status heartbeat(const model::WorkerInfo& worker) = 0;  // seen_at: the store's now
  virtual Status forget_worker(const OwnerId& id) = 0;            // a clean stop
  // `leader` is who holds the scheduler lease now, whatever the heartbeats said: a frozen one says
  // nothing any more. Nobody is while the lease has ended.
  virtual Result<std::vector<model::WorkerInfo>> list_workers(Millis seen_within) = 0;

  // ---- settings: what all processes on this store must agree on, by name
  virtual Result<std::optional<std::string>> find_setting(const std::string& name) = 0;
  // Keeps `value` unless there is one, which then stays. Returns the kept one.
  virtual Result<std::string> keep_setting(const std::string& name, const std::string& value) = 0;
  // PreconditionFailed: the kept one is neither `from` nor already `to`.
  virtual Status replace_setting(const std::string& name, const std::string& from,
                                 const std::string& to) = 0;
};

}  // namespace tidegate::store
