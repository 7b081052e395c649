#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "control/api/answer.h"
#include "control/api/directory.h"
#include "control/api/input.h"
#include "control/api/route.h"
#include "control/model/connection_json.h"

namespace tidegate::api {
namespace {

using http::Method;
using http::Response;

constexpr std::size_t kMaxName = 63;

// A name is part of paths, so it is kept to what needs no escaping.
bool is_workspace_name(std::string_view s) {
  return !s.empty() && s.size() <= kMaxName && std::ranges::all_of(s, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

Result<Response> list_workspaces(const Call& call) {
  Query query(call.request);
  const store::Page page = query.page();
  query.fields();
  TG_CHECK(query.finish());
  TG_TRY(auto all, call.store().list_workspaces());
  std::erase_if(all, [&](const auto& w) { return !call.principal.reaches(w.id); });
  return answer_page(all, page, "workspaces", query.wanted());
}

Result<Response> create_workspace(const Call& call) {
  TG_TRY(const auto body, body_object(call));
  std::vector<FieldError> errors;
  json::Reader r(body, "", errors);
  model::Workspace w;
  w.name = r.text("name", {.max = 1000, .required = true}).value_or("");
  if (errors.empty() && !is_workspace_name(w.name)) {
    r.error("name", "must be 1 to 63 of a-z, 0-9 and '-'");
  }
  r.finish();
  TG_CHECK(
      refuse(std::move(errors), "the workspace is not valid; see details", "invalid_workspace"));
  TG_TRY(const auto once, idempotency(call));
  w.id = new_id<WorkspaceId>(call.services.clock, call.services.rng);
  TG_TRY(w.created_at, call.store().now());
  TG_TRY(const auto created, call.store().create_workspace(w, once));
  TG_TRY(w, call.store().find_workspace(created.id.str()));
  return answer_created(model::to_json(w), w.revision, "/api/workspaces/" + w.id.str(),
                        created.replayed);
}

Result<Response> get_workspace(const Call& call) {
  TG_TRY(const auto w, call.services.directory.workspace(call.workspace.str()));
  return answer_projected(call, model::to_json(*w), w->revision);
}

Result<Response> delete_workspace(const Call& call) {
  TG_TRY(const auto revision, if_match(call.request));
  TG_CHECK(call.store().delete_workspace(call.workspace, revision));
  return answer(boost::json::object{{"id", call.workspace.str()}});
}

}  // namespace

std::vector<ApiRoute> workspace_routes() {
  return {
      {Method::Get, "/api/workspaces", Access::Viewer, Scope::Any, list_workspaces},
      {Method::Post, "/api/workspaces", Access::Admin, Scope::Instance, create_workspace},
      {Method::Get, "/api/workspaces/{ws}", Access::Viewer, Scope::Workspace, get_workspace},
      {Method::Delete, "/api/workspaces/{ws}", Access::Admin, Scope::Workspace, delete_workspace},
  };
}

}  // namespace tidegate::api
