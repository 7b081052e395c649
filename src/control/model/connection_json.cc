#include "control/model/connection_json.h"

#include "base/secret.h"
#include "control/model/text_field.h"

namespace tidegate::model {
namespace {

using boost::json::object;
using boost::json::value;

value mask(const value& v) {
  if (is_sealed(v)) return value(kMasked);
  if (v.is_object()) return mask_config(v.get_object());
  if (!v.is_array()) return v;
  boost::json::array out;
  for (const value& item : v.get_array()) out.push_back(mask(item));
  return out;
}

}  // namespace

bool is_sealed(const value& v) {
  if (!v.is_object() || v.get_object().size() != 1) return false;
  const value* text = v.get_object().if_contains(kSealedKey);
  return text != nullptr && text->is_string();
}

object mask_config(const object& config) {
  object out;
  for (const auto& member : config) out[member.key()] = mask(member.value());
  return out;
}

object to_json(const Connection& c) {
  return {{"id", c.id.str()},
          {"revision", c.revision},
          {"name", c.name},
          {"type", c.type},
          {"config", mask_config(c.config)},
          {"createdBy", c.created_by},
          {"createdAt", format_utc(c.created_at)},
          {"updatedAt", format_utc(c.updated_at)}};
}

object to_json(const Workspace& w) {
  return {{"id", w.id.str()},
          {"revision", w.revision},
          {"name", w.name},
          {"createdAt", format_utc(w.created_at)}};
}

object to_json(const Token& t) {
  boost::json::array workspaces;
  for (const auto& id : t.workspaces) workspaces.emplace_back(id.str());
  return {{"id", t.id.str()},
          {"revision", t.revision},
          {"name", t.name},
          {"role", enum_name(t.role, kRoleNames)},
          {"workspaces", std::move(workspaces)},
          {"expiresAt", time_or_null(t.expires_at)},
          {"createdAt", format_utc(t.created_at)},
          {"createdBy", t.created_by}};
}

object to_json(const WorkerInfo& w) {
  return {{"id", w.id.str()},
          {"host", w.host},
          {"pid", w.pid},
          {"version", w.version},
          {"leader", w.leader},
          {"draining", w.draining},
          {"running", w.running},
          {"capacity", w.capacity},
          {"startedAt", format_utc(w.started_at)},
          {"seenAt", format_utc(w.seen_at)},
          {"secretKeys", texts_to_json(w.secret_keys)}};
}

}  // namespace tidegate::model
