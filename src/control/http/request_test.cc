#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/http/encode.h"
#include "control/http/http.h"

namespace tidegate::http {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> segments(const Request& r) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < r.segment_count(); ++i) all.emplace_back(r.segment(i));
  return all;
}

TEST(RequestTarget, Accepted) {
  const struct {
    std::string_view target, path;
    std::vector<std::string> segments;
  } kCases[] = {
      {"/", "/", {}},
      {"/a", "/a", {"a"}},
      {"/a/b%20c", "/a/b%20c", {"a", "b c"}},
      {"/a%2Fb", "/a%2Fb", {"a/b"}},
      {"/%C3%A9", "/%C3%A9", {"é"}},
      {"/a+b", "/a+b", {"a+b"}},
      {"/...", "/...", {"..."}},
      {"/a?x=1", "/a", {"a"}},
      {"/?", "/", {}},
      {"http://host:80/a/b?x=1", "/a/b", {"a", "b"}},
      {"HTTPS://host", "/", {}},
  };
  for (const auto& c : kCases) {
    const auto r = Request::make(Method::Get, c.target);
    ASSERT_TRUE(r) << c.target << ": " << describe(r.error());
    EXPECT_EQ(r->path(), c.path);
    EXPECT_EQ(segments(*r), c.segments) << c.target;
  }
}

TEST(RequestTarget, Refused) {
  using namespace std::string_view_literals;
  const std::string deep = [] {
    std::string s;
    for (int i = 0; i < 33; ++i) s += "/a";
    return s;
  }();
  for (std::string_view target : {""sv,
                                  "a"sv,
                                  "*"sv,
                                  "host:80"sv,
                                  "//"sv,
                                  "/a//b"sv,
                                  "/a/"sv,
                                  "/."sv,
                                  "/a/.."sv,
                                  "/a/../b"sv,
                                  "/%2e%2E/b"sv,
                                  "/%"sv,
                                  "/%4"sv,
                                  "/%zz"sv,
                                  "/%00"sv,
                                  "/a\0b"sv,
                                  "/\xC3\xA9"sv,
                                  "/a#b"sv,
                                  "/%FF"sv,
                                  "/%C0%AF"sv,
                                  "/%ED%A0%80"sv,
                                  "/%F4%90%80%80"sv,
                                  "/%E2%82"sv,
                                  "/a b"sv,
                                  "/a?x=%"sv,
                                  "/a?x=%00"sv,
                                  "/a?%FF=1"sv,
                                  "ftp://host/a"sv,
                                  "http:///"sv.substr(0, 7),
                                  "/\x7f"sv,
                                  std::string_view(deep)}) {
    const auto r = Request::make(Method::Get, target);
    ASSERT_FALSE(r) << target;
    EXPECT_EQ(r.error().code, Code::Malformed) << target;
    EXPECT_EQ(r.error().reason, "bad_target");
  }
}

TEST(RequestTarget, Query) {
  const auto r = Request::make(Method::Get, "/a?x=1&y=a+b%26c&x=2&flag&&z=");
  ASSERT_TRUE(r);
  ASSERT_EQ(r->query_count(), 5u);
  EXPECT_EQ(r->query("x"), "1");
  EXPECT_EQ(r->query("y"), "a b&c");
  EXPECT_EQ(r->query("flag"), "");
  EXPECT_EQ(r->query("z"), "");
  EXPECT_EQ(r->query("none"), std::nullopt);
  EXPECT_EQ(r->query_at(2).name, "x");
  EXPECT_EQ(r->query_at(2).value, "2");
  std::string many = "/a?";
  for (int i = 0; i < 101; ++i) many += "x=1&";
  EXPECT_FALSE(Request::make(Method::Get, many));
}

TEST(RequestHeaders, LookUpWithoutCase) {
  const auto r =
      Request::make(Method::Get, "/", {{"Content-Type", "a"}, {"X-A", "1"}, {"x-a", "2"}});
  ASSERT_TRUE(r);
  EXPECT_EQ(r->header("content-type"), "a");
  EXPECT_EQ(r->header("X-a"), "1");
  EXPECT_EQ(r->header("X-AB"), std::nullopt);
  ASSERT_EQ(r->header_count(), 3u);
  EXPECT_EQ(r->header_at(2).value, "2");
}

TEST(RequestHeaders, AtMostAHundred) {
  const auto r = Request::make(Method::Get, "/", std::vector<Header>(101, {"a", "b"}));
  ASSERT_FALSE(r);
  EXPECT_EQ(error_response(r.error(), "id").status, 431);
}

TEST(Methods, NamesRoundTrip) {
  for (std::string_view name : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}) {
    EXPECT_EQ(method_name(parse_method(name)), name);
  }
  for (std::string_view name : {"get", "OTHER", "", "TRACE", "CONNECT"}) {
    EXPECT_EQ(parse_method(name), Method::Other) << name;
  }
}

TEST(RequireJson, Table) {
  const struct {
    std::string_view type;
    bool ok;
  } kCases[] = {{"application/json", true},
                {"Application/JSON; charset=utf-8", true},
                {"application/merge-patch+json", true},
                {"application/json ;x", true},
                {"text/json", false},
                {"application/jsonx", false},
                {"application/x-www-form-urlencoded", false},
                {"", false}};
  for (const auto& c : kCases) {
    const auto r = Request::make(Method::Post, "/", {{"content-type", std::string(c.type)}});
    EXPECT_EQ(require_json(*r).has_value(), c.ok) << c.type;
  }
  const auto none = require_json(*Request::make(Method::Post, "/"));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("application/json"));
  EXPECT_EQ(error_response(none.error(), "id").status, 415);
}

TEST(ErrorResponse, FieldsAndStatus) {
  const Error error{
      Code::Invalid, "bad job", "invalid_job", {{"schedule.cron", "no", 4}, {"name", "x", {}}}};
  const Response r = error_response(error, "id");
  EXPECT_EQ(r.status, 422);
  EXPECT_EQ(
      r.body,
      R"({"success":false,"error":"bad job","code":"invalid_job","details":[{"field":"schedule.cron",)"
      R"("message":"no","position":4},{"field":"name","message":"x"}]})");
}

TEST(ErrorResponse, InternalsStayInTheLog) {
  const Response r = error_response({Code::Internal, "/var/lib/x: disk on fire", "", {}}, "ref-7");
  EXPECT_EQ(r.status, 500);
  EXPECT_THAT(r.body, HasSubstr("ref-7"));
  EXPECT_THAT(r.body, ::testing::Not(HasSubstr("fire")));
}

TEST(ErrorResponse, EveryCodeOfTheTable) {
  for (const CodeTraits& t : kCodeTable) {
    const Response r = error_response({t.code, "m", "", {}}, "id");
    EXPECT_EQ(r.status, t.http_status);
    EXPECT_THAT(r.body, HasSubstr("\"code\":\"" + std::string(t.name) + "\""));
    const bool retry = t.http_status == 429 || t.http_status == 503;
    EXPECT_EQ(!r.headers.empty() && r.headers[0].name == "Retry-After", retry) << t.name;
  }
}

TEST(FormatEvent, Table) {
  EXPECT_EQ(format_event("7", "log", "hello"), "id: 7\nevent: log\ndata: hello\n\n");
  EXPECT_EQ(format_event("", "", ""), "data: \n\n");
  EXPECT_EQ(format_event("", "", "a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  // A line end in an id would start a field of the attacker's choice.
  EXPECT_EQ(format_event("7\nevent: x", "e\rdata: y", "z"), "id: 7\nevent: e\ndata: z\n\n");
}

TEST(Encode, Date) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110's own example
  EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(http_date(4107542399), "Sun, 28 Feb 2100 23:59:59 GMT");
}

TEST(Encode, HeadersThatCouldForgeOthersAreUnsafe) {
  const auto safe = [](std::string name, std::string value) {
    Response r;
    r.headers.push_back({std::move(name), std::move(value)});
    return has_safe_headers(r);
  };
  EXPECT_TRUE(safe("ETag", "\"1\""));
  EXPECT_TRUE(safe("X", "é\t"));
  EXPECT_FALSE(safe("X", "a\r\nSet-Cookie: b"));
  EXPECT_FALSE(safe("X", "a\nb"));
  EXPECT_FALSE(safe("X", std::string("a\0b", 3)));
  EXPECT_FALSE(safe("X: y", "a"));
  EXPECT_FALSE(safe("", "a"));
}

TEST(Encode, HandlersCacheControlWins) {
  Response r;
  r.headers.push_back({"cache-control", "max-age=60"});
  std::string out;
  encode_head(r, {.date = "D", .request_id = "I"}, out);
  EXPECT_THAT(out, HasSubstr("cache-control: max-age=60\r\n"));
  EXPECT_THAT(out, ::testing::Not(HasSubstr("no-store")));
}

TEST(Encode, NoContentHasNoLength) {
  std::string out;
  encode_head(Response{.status = 204}, {.date = "D", .request_id = "I"}, out);
  EXPECT_THAT(out, ::testing::Not(HasSubstr("\nContent-")));
  EXPECT_THAT(out, ::testing::StartsWith("HTTP/1.1 204 No Content\r\n"));
}

}  // namespace
}  // namespace tidegate::http
