#include "control/model/storage_json.h"
#include "control/model/stored_fields.h"
#include "control/model/text_field.h"

namespace tidegate::model {

using boost::json::object;
using boost::json::value;

object to_stored(const Connection& c) {
  object o{{"id", c.id.str()},      {"workspace", c.workspace.str()},
           {"name", c.name},        {"kind", enum_name(c.kind, kConnectionKindNames)},
           {"type", c.type},        {"config", c.config},
           {"revision", c.revision}};
  put(o, "exclusiveKey", c.exclusive_key);
  o["createdAt"] = to_ms(c.created_at);
  o["updatedAt"] = to_ms(c.updated_at);
  put(o, "createdBy", c.created_by);
  return o;
}

Result<Connection> connection_from_stored(const value& v) {
  Connection c;
  Stored s(v);
  s.id("id", c.id);
  s.id("workspace", c.workspace);
  s.name("kind", kConnectionKindNames, c.kind);
  s.text("name", c.name);
  s.text("type", c.type);
  const auto* config = s.find("config");
  s.require(config != nullptr && config->is_object());
  if (config != nullptr && config->is_object()) c.config = config->get_object();
  s.text("exclusiveKey", c.exclusive_key);
  s.number("revision", c.revision);
  s.time("createdAt", c.created_at);
  s.time("updatedAt", c.updated_at);
  s.text("createdBy", c.created_by);
  return s.done(std::move(c), "connection");
}

object to_stored(const Workspace& w) {
  return {{"id", w.id.str()},
          {"name", w.name},
          {"revision", w.revision},
          {"createdAt", to_ms(w.created_at)}};
}

Result<Workspace> workspace_from_stored(const value& v) {
  Workspace w;
  Stored s(v);
  s.id("id", w.id);
  s.text("name", w.name);
  s.number("revision", w.revision);
  s.time("createdAt", w.created_at);
  return s.done(std::move(w), "workspace");
}

object to_stored(const Token& t) {
  object o{{"id", t.id.str()},       {"name", t.name},
           {"hash", t.hash},         {"role", enum_name(t.role, kRoleNames)},
           {"revision", t.revision}, {"createdAt", to_ms(t.created_at)}};
  boost::json::array workspaces;
  for (const auto& w : t.workspaces) workspaces.emplace_back(w.str());
  if (!workspaces.empty()) o["workspaces"] = std::move(workspaces);
  put(o, "expiresAt", t.expires_at);
  put(o, "createdBy", t.created_by);
  return o;
}

Result<Token> token_from_stored(const value& v) {
  Token t;
  Stored s(v);
  s.id("id", t.id);
  s.text("name", t.name);
  s.text("hash", t.hash);
  s.require(s.find("role") != nullptr);  // none is no default
  s.name("role", kRoleNames, t.role);
  s.number("revision", t.revision);
  s.time("createdAt", t.created_at);
  std::vector<std::string> workspaces;
  s.texts("workspaces", workspaces);
  for (auto& w : workspaces) t.workspaces.emplace_back(std::move(w));
  s.time("expiresAt", t.expires_at);
  s.text("createdBy", t.created_by);
  return s.done(std::move(t), "token");
}

}  // namespace tidegate::model
