#include "control/api/answer.h"
#include "control/api/input.h"
#include "control/api/route.h"
#include "control/model/connection_json.h"

namespace tidegate::api {
namespace {

// A worker that was not seen for so long is gone.
constexpr Millis kSeenWithin{60'000};

Result<http::Response> list_workers(const Call& call) {
  Query query(call.request);
  query.fields();
  TG_CHECK(query.finish());
  TG_TRY(const auto workers, call.store().list_workers(kSeenWithin));
  boost::json::array items;
  for (const auto& w : workers) items.push_back(model::to_json(w));
  return answer_list(std::move(items), query.wanted(), std::nullopt, std::ssize(workers));
}

}  // namespace

std::vector<ApiRoute> worker_routes() {
  return {{http::Method::Get, "/api/workers", Access::Viewer, Scope::Any, list_workers}};
}

}  // namespace tidegate::api
