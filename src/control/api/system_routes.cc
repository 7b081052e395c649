#include "control/api/answer.h"
#include "control/api/route.h"

namespace tidegate::api {
namespace {

using http::Method;
using http::Response;

// The process runs and answers; says nothing of what it depends on.
Result<Response> healthz(const Call& call) {
  return answer(boost::json::object{{"status", "ok"}, {"version", call.services.options.version}});
}

Result<Response> readyz(const Call& call) {
  const ApiOptions& options = call.services.options;
  TG_CHECK(options.ready ? options.ready() : call.store().ping());
  return answer(boost::json::object{{"status", "ready"}, {"version", options.version}});
}

Result<Response> openapi(const Call&) {
  Response response;
  response.body = openapi_json();
  return response;
}

}  // namespace

std::vector<ApiRoute> system_routes() {
  return {
      {Method::Get, "/healthz", Access::Public, Scope::Any, healthz, RunOn::IoThread},
      {Method::Get, "/readyz", Access::Public, Scope::Any, readyz},
      {Method::Get, "/api/openapi.json", Access::Public, Scope::Any, openapi, RunOn::IoThread},
  };
}

}  // namespace tidegate::api
