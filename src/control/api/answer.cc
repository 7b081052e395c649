#include "control/api/answer.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <vector>

#include "base/json.h"
#include "control/api/input.h"
#include "control/secrets/tokens.h"

namespace tidegate::api {
namespace {

using boost::json::object;
using boost::json::value;

http::Response json_response(int status, const object& body) {
  http::Response response;
  response.status = status;
  response.body = boost::json::serialize(body);
  return response;
}

template <class Tag>
void add_etag(http::Response& response, const Tag& tag) {
  response.headers.push_back({"ETag", fmt::format("\"{}\"", tag)});
}

}  // namespace

http::Response answer(value data, int status) {
  object body;
  body["success"] = true;
  body["data"] = std::move(data);
  return json_response(status, body);
}

http::Response answer_resource(value data, std::int64_t revision, int status) {
  http::Response response = answer(std::move(data), status);
  add_etag(response, revision);
  return response;
}

http::Response answer_content(value data) {
  http::Response response = answer(std::move(data));
  add_etag(response, secrets::sha256_hex(response.body).substr(0, 32));
  return response;
}

http::Response answer_text(std::string body, std::int64_t revision) {
  http::Response response;
  response.body = std::move(body);
  add_etag(response, revision);
  return response;
}

http::Response answer_created(value data, std::int64_t revision, std::string location,
                              bool replayed) {
  http::Response response = answer_resource(std::move(data), revision, 201);
  response.headers.push_back({"Location", std::move(location)});
  if (replayed) mark_replayed(response);
  return response;
}

http::Response answer_started(const WorkspaceId& workspace, const store::Created<RunId>& run) {
  http::Response response = answer(object{{"runId", run.id.str()}}, 202);
  response.headers.push_back(
      {"Location", fmt::format("/api/workspaces/{}/runs/{}", workspace.str(), run.id.str())});
  if (run.replayed) mark_replayed(response);
  return response;
}

void mark_replayed(http::Response& response) {
  response.headers.push_back({"Idempotency-Replayed", "true"});
}

Status project(object& item, const std::set<std::string, std::less<>>& wanted) {
  if (wanted.empty()) return {};
  object kept;
  std::vector<FieldError> errors;
  for (const std::string& name : wanted) {
    if (value* v = item.if_contains(name)) {
      kept[name] = std::move(*v);
      continue;
    }
    std::vector<std::string_view> names;
    for (const auto& member : item) names.push_back(member.key());
    const std::string_view near = json::nearest(name, names);
    errors.push_back({"fields",
                      near.empty()
                          ? fmt::format("'{}' is not a field of this resource", name)
                          : fmt::format("'{}' is not a field; did you mean '{}'?", name, near),
                      std::nullopt});
  }
  if (!errors.empty()) {
    return fail(Error{Code::Invalid, "the query is not valid; see details", "invalid_query",
                      std::move(errors)});
  }
  item = std::move(kept);
  return {};
}

Result<http::Response> answer_projected(const Call& call, object data, std::int64_t revision) {
  Query query(call.request);
  query.fields();
  TG_CHECK(query.finish());
  TG_CHECK(project(data, query.wanted()));
  return answer_resource(std::move(data), revision);
}

Result<http::Response> answer_list(boost::json::array items,
                                   const std::set<std::string, std::less<>>& wanted,
                                   const std::optional<std::string>& next_cursor,
                                   std::int64_t total) {
  for (value& item : items) TG_CHECK(project(item.get_object(), wanted));
  object body;
  body["success"] = true;
  body["data"] = std::move(items);
  body["nextCursor"] = next_cursor ? value(*next_cursor) : value(nullptr);
  body["total"] = total;
  return json_response(200, body);
}

}  // namespace tidegate::api
