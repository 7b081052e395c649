#include "control/http/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidegate::http {
namespace {

constexpr ParserLimits kLimits{.max_header_bytes = 1024, .max_body_bytes = 100};

struct Parsed {
  std::string outcome;  // "done", "more", or the error's reason
  std::string request;  // method, target, body
  std::size_t taken = 0;
  bool operator==(const Parsed&) const = default;
};

// Feeds as a connection does: untaken bytes come again, followed by the next piece.
Parsed parse(std::string_view bytes, std::size_t piece) {
  Request request;
  RequestParser parser(request, kLimits);
  Parsed p;
  std::size_t given = 0;
  while (!parser.done() && given < bytes.size()) {
    given = std::min(bytes.size(), given + piece);
    const auto taken = parser.feed(bytes.substr(p.taken, given - p.taken));
    if (!taken) return {.outcome = taken.error().reason};
    p.taken += *taken;
  }
  p.outcome = parser.done() ? "done" : "more";
  if (parser.done()) {
    p.request = std::string(method_name(request.method())) + " " + std::string(request.target()) +
                " " + request.body();
  }
  return p;
}

struct Case {
  const char* what;
  std::string bytes;
  const char* outcome;
  const char* request = "";
};

const std::string kHost = "Host: x\r\n";

std::vector<Case> accepted_or_unfinished() {
  return {
      {"plain", "GET /a HTTP/1.1\r\n" + kHost + "\r\n", "done", "GET /a "},
      {"HTTP/1.0 needs no host", "GET /a HTTP/1.0\r\n\r\n", "done", "GET /a "},
      {"empty lines first", "\r\n\r\nGET /a HTTP/1.1\r\n" + kHost + "\r\n", "done", "GET /a "},
      {"length", "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 3\r\n\r\nabc", "done",
       "POST /a abc"},
      {"zero length", "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 0\r\n\r\n", "done",
       "POST /a "},
      {"chunks",
       "POST /a HTTP/1.1\r\n" + kHost +
           "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
       "done", "POST /a abc"},
      {"trailers are dropped",
       "POST /a HTTP/1.1\r\n" + kHost +
           "Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n",
       "done", "POST /a a"},
      {"unknown method", "BREW /a HTTP/1.1\r\n" + kHost + "\r\n", "done", "OTHER /a "},
      {"not complete", "GET /a HTTP/1.1\r\n" + kHost, "more"},
      {"body not complete", "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 3\r\n\r\nab", "more"},
  };
}

std::vector<Case> malformed() {
  using namespace std::string_literals;
  return {
      {"no host", "GET /a HTTP/1.1\r\n\r\n", "bad_request"},
      {"two hosts", "GET /a HTTP/1.1\r\n" + kHost + kHost + "\r\n", "bad_request"},
      // Request smuggling: two hops that disagree on where a body ends (RFC 9112 §11.2).
      {"length and chunked",
       "POST /a HTTP/1.1\r\n" + kHost +
           "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "bad_request"},
      {"chunked and length",
       "POST /a HTTP/1.1\r\n" + kHost +
           "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
       "bad_request"},
      {"two lengths",
       "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
       "bad_request"},
      {"one length twice",
       "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
       "bad_request"},
      {"list of lengths", "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 3, 3\r\n\r\nabc",
       "bad_request"},
      {"signed length", "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: +3\r\n\r\nabc",
       "bad_request"},
      {"negative length", "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: -3\r\n\r\nabc",
       "bad_request"},
      {"huge length",
       "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 99999999999999999999999\r\n\r\n",
       "bad_request"},
      {"other coding", "POST /a HTTP/1.1\r\n" + kHost + "Transfer-Encoding: gzip\r\n\r\n",
       "bad_request"},
      {"coding list",
       "POST /a HTTP/1.1\r\n" + kHost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
       "bad_request"},
      {"chunked twice",
       "POST /a HTTP/1.1\r\n" + kHost +
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "bad_request"},
      {"chunked in 1.0", "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "bad_request"},
      {"space before colon", "GET /a HTTP/1.1\r\nHost : x\r\n\r\n", "bad_request"},
      {"bad chunk size",
       "POST /a HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\nz\r\nabc",
       "bad_request"},
      {"no CRLF after a chunk",
       "POST /a HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
       "bad_request"},
      {"bare LF", "GET /a HTTP/1.1\nHost: x\n\n", "bad_request"},
      {"bad version", "GET /a HTTP/2.0\r\n" + kHost + "\r\n", "bad_request"},
      {"no version", "GET /a\r\n" + kHost + "\r\n", "bad_request"},
      {"NUL in target", "GET /a\0b HTTP/1.1\r\n"s + kHost + "\r\n", "bad_request"},
      {"NUL in header", "GET /a HTTP/1.1\r\nHost: x\0y\r\n\r\n"s, "bad_request"},
      {"no method", " /a HTTP/1.1\r\n" + kHost + "\r\n", "bad_request"},
      {"TLS to a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s, "bad_request"},
      {"bad escape", "GET /%zz HTTP/1.1\r\n" + kHost + "\r\n", "bad_target"},
      {"authority form", "CONNECT host:80 HTTP/1.1\r\n" + kHost + "\r\n", "bad_target"},
      {"other expectation",
       "POST /a HTTP/1.1\r\n" + kHost + "Expect: tea\r\nContent-Length: 1\r\n\r\na",
       "expectation_failed"},
  };
}

std::vector<Case> too_large() {
  return {
      {"large body", "POST /a HTTP/1.1\r\n" + kHost + "Content-Length: 101\r\n\r\n",
       "body_too_large"},
      {"large chunk",
       "POST /a HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n65\r\nabc",
       "body_too_large"},
      {"many chunks",
       "POST /a HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n32\r\n" +
           std::string(50, 'a') + "\r\n33\r\n" + std::string(51, 'a') + "\r\n",
       "body_too_large"},
      {"large request line", "GET /" + std::string(2000, 'a') + " HTTP/1.1\r\n",
       "headers_too_large"},
      {"large header", "GET /a HTTP/1.1\r\nA: " + std::string(2000, 'a'), "headers_too_large"},
      {"many headers",
       "GET /a HTTP/1.1\r\n" + kHost + "A: " + std::string(600, 'a') +
           "\r\nB: " + std::string(600, 'a') + "\r\n\r\n",
       "headers_too_large"},
      {"endless chunk extension",
       "POST /a HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n1;" +
           std::string(2000, 'a'),
       "headers_too_large"},
      {"endless trailers",
       "POST /a HTTP/1.1\r\n" + kHost +
           "Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + std::string(2000, 'a'),
       "headers_too_large"},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all = accepted_or_unfinished();
  for (const auto& more : {malformed(), too_large()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(Parser, Table) {
  for (const Case& c : cases()) {
    const Parsed p = parse(c.bytes, c.bytes.size());
    EXPECT_EQ(p.outcome, c.outcome) << c.what;
    EXPECT_EQ(p.request, c.request) << c.what;
  }
}

TEST(Parser, PiecesDoNotMatter) {
  for (const Case& c : cases()) {
    // Beast looks for the whole header's end first when it comes in pieces: refused by the
    // deadline.
    if (std::string_view(c.what) == "bare LF") continue;
    for (const std::size_t piece : {1u, 2u, 3u, 7u, 64u}) {
      const Parsed p = parse(c.bytes, piece);
      EXPECT_EQ(p.outcome, c.outcome) << c.what << " in pieces of " << piece;
      EXPECT_EQ(p.request, c.request) << c.what;
    }
  }
}

TEST(Parser, LeavesTheNextRequestAlone) {
  const std::string first = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na";
  const Parsed p = parse(first + "GET /b HTTP/1.1\r\n", 1000);
  EXPECT_EQ(p.outcome, "done");
  EXPECT_EQ(p.taken, first.size());
}

TEST(Parser, SlowHeadersCannotPassTheLimitPieceByPiece) {
  Request request;
  RequestParser parser(request, kLimits);
  std::string pending = "GET /a HTTP/1.1\r\n";
  int fields = 0;
  while (fields < 1000) {
    const auto taken = parser.feed(pending);
    if (!taken) break;
    pending.erase(0, *taken);
    pending += "A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    ++fields;
  }
  EXPECT_LT(fields, 25);
}

TEST(Parser, ContinueIsWantedUntilTheBodyComes) {
  Request request;
  RequestParser parser(request, kLimits);
  ASSERT_TRUE(parser.feed(
      "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_TRUE(parser.headers_done());
  EXPECT_TRUE(parser.wants_continue());
  ASSERT_TRUE(parser.feed("a"));
  EXPECT_FALSE(parser.wants_continue());
  EXPECT_THAT(parser.truncated().message, ::testing::HasSubstr("body"));
}

TEST(Parser, KeepAlive) {
  const struct {
    std::string bytes;
    bool keep;
  } kCases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
  };
  for (const auto& c : kCases) {
    Request request;
    RequestParser parser(request, kLimits);
    ASSERT_TRUE(parser.feed(c.bytes));
    ASSERT_TRUE(parser.done());
    EXPECT_EQ(parser.keep_alive(), c.keep) << c.bytes;
  }
}

TEST(Parser, ResetForgetsTheRequest) {
  Request request;
  RequestParser parser(request, kLimits);
  ASSERT_TRUE(parser.feed("POST /a?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"));
  ASSERT_TRUE(parser.done());
  parser.reset();
  EXPECT_FALSE(parser.started());
  EXPECT_EQ(request.body(), "");
  EXPECT_EQ(request.header_count(), 0u);
  EXPECT_EQ(request.query_count(), 0u);
}

}  // namespace
}  // namespace tidegate::http
