#pragma once
// Writing answers: {"success": true, "data": …}.

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "control/api/route.h"
#include "control/http/http.h"
#include "control/model/connection_json.h"
#include "control/store/rules.h"
#include "control/store/types.h"

namespace tidegate::api {

http::Response answer(boost::json::value data, int status = 200);
// With an ETag, which If-Match takes back.
http::Response answer_resource(boost::json::value data, std::int64_t revision, int status = 200);
// The same for what has no revision: the ETag is of the content.
http::Response answer_content(boost::json::value data);
// With a revision, for a text that answer() made.
http::Response answer_text(std::string body, std::int64_t revision);
// 201 with Location. `replayed`: an earlier request with the same Idempotency-Key made it.
http::Response answer_created(boost::json::value data, std::int64_t revision, std::string location,
                              bool replayed);

// 202 with Location: a run was queued.
http::Response answer_started(const WorkspaceId& workspace, const store::Created<RunId>& run);
// Says that an earlier request with the same Idempotency-Key did it.
void mark_replayed(http::Response& response);

// Items with only the wanted members; Invalid when a name is no member of the items.
Result<http::Response> answer_list(boost::json::array items,
                                   const std::set<std::string, std::less<>>& wanted,
                                   const std::optional<std::string>& next_cursor,
                                   std::int64_t total);
// A page of a list that the store gives whole: `items` have an id and a name, which orders them.
// They are written with model::to_json. `kind` marks the cursor.
template <class T>
Result<http::Response> answer_page(std::vector<T>& items, const store::Page& page,
                                   std::string_view kind,
                                   const std::set<std::string, std::less<>>& wanted);
// `fields=` for a single resource. Invalid as above.
Status project(boost::json::object& item, const std::set<std::string, std::less<>>& wanted);
// A resource of a request that takes no parameter but `fields`.
Result<http::Response> answer_projected(const Call& call, boost::json::object data,
                                        std::int64_t revision);

template <class T>
Result<http::Response> answer_page(std::vector<T>& items, const store::Page& page,
                                   std::string_view kind,
                                   const std::set<std::string, std::less<>>& wanted) {
  const auto key = [](const T& t) { return std::pair(t.name, t.id.str()); };
  std::ranges::sort(items, {}, key);
  TG_TRY(const auto cursor, store::rules::decode_cursor(page, kind, 2));
  auto it = items.begin();
  if (cursor) it = std::ranges::upper_bound(items, std::pair((*cursor)[0], (*cursor)[1]), {}, key);
  boost::json::array out;
  for (; it != items.end() && out.size() < page.limit; ++it) out.push_back(model::to_json(*it));
  std::optional<std::string> next;
  if (it != items.end()) {
    const T& last = *std::prev(it);
    next = store::rules::encode_cursor(kind, {last.name, last.id.str()});
  }
  return answer_list(std::move(out), wanted, next, std::ssize(items));
}

}  // namespace tidegate::api
