#include "control/http/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace tidegate::http {
namespace {

using ::testing::HasSubstr;

Handler says(std::string text) {
  return [text](const Request&) -> Result<Response> { return Response{.body = text}; };
}

Router jobs_router() {
  auto router = Router::create({
      {Method::Get, "/", says("root")},
      {Method::Get, "/api/workspaces/{ws}/sync-jobs", says("list")},
      {Method::Post, "/api/workspaces/{ws}/sync-jobs", says("create")},
      {Method::Get, "/api/workspaces/{ws}/sync-jobs/{id}", says("one")},
      {Method::Delete, "/api/workspaces/{ws}/sync-jobs/{id}", says("delete")},
      {Method::Get, "/api/workspaces/{ws}/sync-jobs/preview", says("preview")},
      {Method::Post, "/api/workspaces/{ws}/sync-jobs/{id}/run",
       [](const Request& r) -> Result<Response> {
         return Response{.body = std::string(r.param("ws")) + "+" + std::string(r.param("id")) +
                                 "+" + std::string(r.param("other"))};
       }},
  });
  EXPECT_TRUE(router) << describe(router.error());
  return std::move(*router);
}

std::string call(const Router& router, Method method, std::string_view target) {
  auto request = Request::make(method, target);
  EXPECT_TRUE(request) << target;
  const Response r = router.handle(*request);
  return std::to_string(r.status) + (r.status == 200 ? " " + r.body : "");
}

TEST(Router, Finds) {
  const Router router = jobs_router();
  const struct {
    Method method;
    std::string_view target, want;
  } kCases[] = {
      {Method::Get, "/", "200 root"},
      {Method::Get, "/api/workspaces/w/sync-jobs?limit=1", "200 list"},
      {Method::Head, "/api/workspaces/w/sync-jobs", "200 list"},
      {Method::Post, "/api/workspaces/w/sync-jobs", "200 create"},
      {Method::Get, "/api/workspaces/w/sync-jobs/7", "200 one"},
      {Method::Get, "/api/workspaces/w/sync-jobs/preview", "200 preview"},
      {Method::Delete, "/api/workspaces/w/sync-jobs/preview", "200 delete"},
      {Method::Post, "/api/workspaces/my%20w/sync-jobs/a%2Fb/run", "200 my w+a/b+"},
      {Method::Post, "/api/workspaces/w/sync-jobs/preview/run", "200 w+preview+"},
      {Method::Get, "/nothing", "404"},
      {Method::Get, "/api", "404"},
      {Method::Get, "/api/workspaces/w/sync-jobs/7/run/x", "404"},
      {Method::Post, "/", "405"},
      {Method::Other, "/", "405"},
      {Method::Get, "/api/workspaces/w/sync-jobs/7/run", "405"},
      {Method::Head, "/api/workspaces/w/sync-jobs/7/run", "405"},
  };
  for (const auto& c : kCases) EXPECT_EQ(call(router, c.method, c.target), c.want) << c.target;
}

TEST(Router, MethodNotAllowedSaysWhatIs) {
  const Router router = jobs_router();
  auto request = Request::make(Method::Patch, "/api/workspaces/w/sync-jobs/preview");
  const Response r = router.handle(*request);
  EXPECT_EQ(r.status, 405);
  ASSERT_EQ(r.headers.size(), 1u);
  EXPECT_EQ(r.headers[0].name, "Allow");
  EXPECT_EQ(r.headers[0].value, "GET, HEAD, DELETE");
  EXPECT_THAT(r.body, HasSubstr("method_not_allowed"));
}

TEST(Router, OneHandlerMayAnswerWhatNoRouteDoes) {
  const auto router = Router::create({{Method::Get, "/healthz", says("ok")}}, [](const Request&) {
    return fail(Code::Unavailable, "the store is away", "away");
  });
  ASSERT_TRUE(router);
  EXPECT_EQ(call(*router, Method::Get, "/healthz"), "200 ok");
  EXPECT_EQ(call(*router, Method::Post, "/healthz"), "503");
  EXPECT_EQ(call(*router, Method::Get, "/api/jobs"), "503");
  EXPECT_EQ(call(*router, Method::Other, "/"), "503");
}

TEST(Router, ListsItsRoutes) {
  const Router router = jobs_router();
  ASSERT_EQ(router.routes().size(), 7u);
  EXPECT_EQ(router.routes()[2].method, Method::Post);
  EXPECT_EQ(router.routes()[2].pattern, "/api/workspaces/{ws}/sync-jobs");
}

TEST(Router, RefusesBadTables) {
  const auto refused = [](std::vector<Route> routes) { return !Router::create(std::move(routes)); };
  for (const char* pattern :
       {"", "a", "//", "/a/", "/a//b", "/{}", "/a{b}", "/{a}b", "/a?b", "/%20"}) {
    EXPECT_TRUE(refused({{Method::Get, pattern, says("")}})) << pattern;
  }
  EXPECT_TRUE(refused({{Method::Get, "/a", nullptr}}));
  EXPECT_TRUE(refused({{Method::Head, "/a", says("")}}));
  EXPECT_TRUE(refused({{Method::Other, "/a", says("")}}));
  EXPECT_TRUE(refused({{Method::Get, "/a/{x}", says("")}, {Method::Get, "/a/{y}", says("")}}));
  EXPECT_FALSE(refused({{Method::Get, "/a/{x}", says("")}, {Method::Put, "/a/{y}", says("")}}));
}

TEST(Router, ErrorsAndExceptionsBecomeAnswers) {
  auto router = Router::create(
      {{Method::Get, "/error",
        [](const Request&) -> Result<Response> {
          return fail(Code::Conflict, "in use", "in_use");
        }},
       {Method::Get, "/throw",
        [](const Request&) -> Result<Response> { throw std::runtime_error("secret path"); }},
       {Method::Get, "/throw-int", [](const Request&) -> Result<Response> { throw 1; }}});
  ASSERT_TRUE(router);
  EXPECT_EQ(call(*router, Method::Get, "/error"), "409");
  EXPECT_EQ(call(*router, Method::Get, "/throw-int"), "500");
  auto request = Request::make(Method::Get, "/throw");
  const Response r = router->handle(*request);
  EXPECT_EQ(r.status, 500);
  EXPECT_THAT(r.body, ::testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace tidegate::http
