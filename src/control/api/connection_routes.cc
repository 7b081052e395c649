// Data sources and destinations: one resource in two lists.
#include <fmt/format.h>

#include <set>

#include "base/json.h"
#include "control/api/answer.h"
#include "control/api/config_check.h"
#include "control/api/input.h"
#include "control/api/merge_patch.h"
#include "control/api/path_guard.h"
#include "control/api/route.h"
#include "control/model/connection_json.h"
#include "control/model/connector_facts.h"
#include "control/model/text_field.h"
#include "control/secrets/config_seal.h"
#include "control/secrets/masker.h"

namespace tidegate::api {
namespace {

using boost::json::object;
using http::Method;
using http::Response;
using model::Connection;
using model::ConnectionKind;

constexpr std::string_view kReadOnly[] = {"id", "revision", "createdBy", "createdAt", "updatedAt"};
constexpr std::string_view kConfig = "config";

Status invalid(std::vector<FieldError> errors) {
  return refuse(std::move(errors), "the connection is not valid; see details",
                "invalid_connection");
}

// Judges config.path, and names what only one run may hold at a time.
void check_path(const Call& call, const object& plain, Connection& c,
                std::vector<FieldError>& errors) {
  c.exclusive_key.clear();
  const auto* path = plain.if_contains("path");
  if (path == nullptr || !path->is_string() || !model::has_local_path(c.type)) return;
  const PathGuard guard(call.services.options.path_roots, call.services.options.forbidden_paths);
  auto resolved = guard.resolve(path->get_string());
  if (!resolved) {
    errors.push_back({"config.path", resolved.error().message, std::nullopt});
  } else if (c.kind == ConnectionKind::Destination) {
    c.exclusive_key = fmt::format("{}:{}", c.type, *resolved);
  }
}

// Seals `config` into `c` and judges it, adding to `errors`. A field has one problem: a "***" that
// stands for nothing is no wrong type too, and what is no path lies outside no folder.
Status read_config(const Call& call, const object& spec, const object& config,
                   const Connection* previous, Connection& c, std::vector<FieldError>& errors) {
  // Another connector must not get the secrets of this one unseen.
  const bool same_type = previous != nullptr && previous->type == c.type;
  std::vector<FieldError> found;
  c.config = secrets::seal_config(call.services.keys, call.services.rng, c.id, spec, config,
                                  same_type ? &previous->config : nullptr, found);
  TG_TRY(const object plain, secrets::open_config(call.services.keys, c.id, c.config));
  check_config(spec, plain, std::string(kConfig), found);
  check_path(call, plain, c, found);
  std::set<std::string> named;
  for (FieldError& e : found) {
    if (named.insert(e.field).second) errors.push_back(std::move(e));
  }
  return {};
}

// The body's name, type and config into `c`, whose id and kind are set. `previous`: what is stored,
// for secrets sent back as "***"; null for a new one.
Status read_connection(const Call& call, const object& body, const Connection* previous,
                       Connection& c) {
  std::vector<FieldError> errors;
  json::Reader r(body, "", errors);
  c.name = model::read_text(r, "name", {.required = true, .invented = true}).value_or("");
  c.type = model::read_text(r, "type", {.max_chars = 100, .required = true}).value_or("");
  const object* config = r.child(kConfig);
  if (!r.has(kConfig) || body.at(kConfig).is_null()) r.error(kConfig, "is missing");
  for (const std::string_view name : kReadOnly) r.ignore(name);
  r.finish();
  if (c.type.empty()) return invalid(std::move(errors));

  auto spec = connector_spec(call.services.engine, c.type, c.kind);
  if (!spec && spec.error().code != Code::Invalid) return std::unexpected(std::move(spec).error());
  if (!spec) {
    for (auto& d : spec.error().details) errors.push_back(std::move(d));
  } else if (config != nullptr) {
    TG_CHECK(read_config(call, *spec, *config, previous, c, errors));
  }
  return invalid(std::move(errors));
}

// A destination's endpoint as the source that reads it: without what only a destination is told.
Status make_readable(Engine& engine, protocol::Endpoint& endpoint) {
  TG_TRY(const object spec, connector_spec(engine, endpoint.type, ConnectionKind::Source));
  const auto* properties = spec.if_contains("properties");
  const object* known = properties == nullptr ? nullptr : properties->if_object();
  object readable;
  for (const auto& [name, field] : endpoint.config) {
    if (known != nullptr && known->contains(name)) readable.emplace(name, field);
  }
  endpoint.config = std::move(readable);
  return {};
}

// The handlers of one kind.
struct Connections {
  ConnectionKind kind;
  std::string_view base;  // "data-sources" or "destinations"

  std::string location(const Connection& c) const {
    return fmt::format("/api/workspaces/{}/{}/{}", c.workspace.str(), base, c.id.str());
  }
  Result<Connection> find(const Call& call) const {
    return call.store().get_connection(call.workspace, kind, ConnectionId(call.id()));
  }

  Result<Response> list(const Call& call) const {
    Query query(call.request);
    store::ConnectionQuery q;
    q.workspace = call.workspace;
    q.kind = kind;
    q.page = query.page();
    q.name_contains = query.text("name");
    query.fields();
    TG_CHECK(query.finish());
    TG_TRY(const auto found, call.store().list_connections(q));
    boost::json::array items;
    for (const Connection& c : found.items) items.push_back(model::to_json(c));
    return answer_list(std::move(items), query.wanted(), found.next_cursor, found.total);
  }

  Result<Response> create(const Call& call) const {
    TG_TRY(const object body, body_object(call));
    Connection c;
    c.id = new_id<ConnectionId>(call.services.clock, call.services.rng);
    c.workspace = call.workspace;
    c.kind = kind;
    TG_CHECK(read_connection(call, body, nullptr, c));
    TG_TRY(const auto once, idempotency(call));
    TG_TRY(c.created_at, call.store().now());
    c.updated_at = c.created_at;
    c.created_by = call.principal.name;
    if (call.dry_run) return answer(model::to_json(c));
    TG_TRY(const auto created, call.store().create_connection(c, once));
    TG_TRY(c, call.store().get_connection(call.workspace, kind, created.id));
    return answer_created(model::to_json(c), c.revision, location(c), created.replayed);
  }

  Result<Response> get(const Call& call) const {
    TG_TRY(const Connection c, find(call));
    return answer_projected(call, model::to_json(c), c.revision);
  }

  // Without If-Match a write that lost a race is made again on top of the newer connection, so that
  // "***" always stands for the newest secret.
  Result<Response> write(const Call& call, bool patch) const {
    constexpr int kTries = 5;
    TG_TRY(const object body, body_object(call));
    TG_TRY(const auto revision, if_match(call.request));
    for (int n = 1;; ++n) {
      TG_TRY(const Connection old, find(call));
      object wanted = body;
      if (patch) {
        wanted = {
            {"name", old.name}, {"type", old.type}, {kConfig, model::mask_config(old.config)}};
        patch_resource(wanted, body);
      }
      Connection c = old;
      TG_CHECK(read_connection(call, wanted, &old, c));
      TG_TRY(c.updated_at, call.store().now());
      if (call.dry_run) {
        TG_CHECK(check_revision(revision, old.revision));
        c.revision += 1;
        return answer(model::to_json(c));
      }
      auto done = call.store().update_connection(c, revision.value_or(old.revision));
      if (done) return answer_resource(model::to_json(*done), done->revision);
      const bool lost_race = done.error().code == Code::PreconditionFailed && !revision;
      if (!lost_race || n == kTries) return std::unexpected(std::move(done).error());
    }
  }

  Result<Response> remove(const Call& call) const {
    TG_TRY(const auto revision, if_match(call.request));
    if (call.dry_run) {
      TG_TRY(const Connection c, find(call));
      TG_CHECK(check_revision(revision, c.revision));
    } else {
      TG_CHECK(
          call.store().delete_connection(call.workspace, kind, ConnectionId(call.id()), revision));
    }
    return answer(object{{"id", call.id()}});
  }

  Result<Response> ask(const Call& call, bool check) const {
    TG_CHECK(read_empty_body(call));
    TG_TRY(const Connection c, find(call));
    TG_TRY(auto endpoint, secrets::EndpointResolver(call.services.keys).open(c));
    secrets::Masker masker;
    masker.add(c.config, endpoint.config);
    const bool source = kind == ConnectionKind::Source;
    Engine& engine = call.services.engine;
    const auto answered = [&]() -> Result<boost::json::value> {
      if (check) return engine.check(std::move(endpoint), source);
      // What a destination holds is found by reading it.
      if (!source) TG_CHECK(make_readable(engine, endpoint));
      return engine.discover(std::move(endpoint), true);
    };
    auto data = answered();
    if (!data) {  // a driver may repeat its connection string; an internal one is logged, too
      masker.mask(data.error());
      return std::unexpected(std::move(data).error());
    }
    masker.mask(*data);
    return answer(std::move(*data));
  }
};

void add_routes(std::vector<ApiRoute>& routes, ConnectionKind kind, std::string_view base,
                std::string_view all, std::string_view one, std::string_view check,
                std::string_view discover) {
  const Connections c{kind, base};
  const auto add = [&](Method method, std::string_view pattern, Access access, Action action) {
    routes.push_back({method, pattern, access, Scope::Workspace, std::move(action)});
  };
  const auto add_write = [&](Method method, std::string_view pattern, Action action) {
    add(method, pattern, Access::Admin, std::move(action));
    routes.back().has_dry_run = true;
  };
  add(Method::Get, all, Access::Viewer, [c](const Call& call) { return c.list(call); });
  add_write(Method::Post, all, [c](const Call& call) { return c.create(call); });
  add(Method::Get, one, Access::Viewer, [c](const Call& call) { return c.get(call); });
  add_write(Method::Put, one, [c](const Call& call) { return c.write(call, false); });
  add_write(Method::Patch, one, [c](const Call& call) { return c.write(call, true); });
  add_write(Method::Delete, one, [c](const Call& call) { return c.remove(call); });
  add(Method::Post, check, Access::Operator, [c](const Call& call) { return c.ask(call, true); });
  add(Method::Post, discover, Access::Operator,
      [c](const Call& call) { return c.ask(call, false); });
}

}  // namespace

std::vector<ApiRoute> connection_routes() {
  std::vector<ApiRoute> routes;
#define TG_WS "/api/workspaces/{ws}/"
  add_routes(routes, ConnectionKind::Source, "data-sources", TG_WS "data-sources",
             TG_WS "data-sources/{id}", TG_WS "data-sources/{id}/check",
             TG_WS "data-sources/{id}/discover");
  add_routes(routes, ConnectionKind::Destination, "destinations", TG_WS "destinations",
             TG_WS "destinations/{id}", TG_WS "destinations/{id}/check",
             TG_WS "destinations/{id}/discover");
#undef TG_WS
  return routes;
}

}  // namespace tidegate::api
