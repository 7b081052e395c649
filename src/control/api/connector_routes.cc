#include "control/api/answer.h"
#include "control/api/input.h"
#include "control/api/route.h"

namespace tidegate::api {
namespace {

Result<http::Response> list_connectors(const Call& call) {
  Query query(call.request);
  TG_CHECK(query.finish());
  TG_TRY(const auto spec, call.services.engine.spec());
  const auto* list = spec->is_object() ? spec->get_object().if_contains("connectors") : nullptr;
  if (list == nullptr || !list->is_array()) {
    return fail(Code::Unavailable, "the engine named no connectors; check the tidegate-sync binary",
                "engine_answer");
  }
  return answer_list(list->get_array(), {}, std::nullopt, std::ssize(list->get_array()));
}

}  // namespace

std::vector<ApiRoute> connector_routes() {
  return {{http::Method::Get, "/api/connectors", Access::Viewer, Scope::Any, list_connectors}};
}

}  // namespace tidegate::api
