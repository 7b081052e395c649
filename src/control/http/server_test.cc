// The server over loopback: what well-behaved and merely odd clients get.
#include "control/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "control/http/test_client.h"

namespace tidegate::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Server, AnswersAndKeepsAlive) {
  TestServer s;
  Client c(s.port());
  for (const char* target : {"/inline", "/pool", "/items/a%20b"}) {
    const Reply r = c.ask(get(target));
    EXPECT_EQ(r.status, 200);
    EXPECT_THAT(r.body, StartsWith(std::string("GET ") + target));
  }
  EXPECT_EQ(c.ask(post("/pool", "hello")).body, "POST /pool  [hello]");
  EXPECT_EQ(s.server->connections(), 1u);
}

TEST(Server, HeadersOnEveryAnswer) {
  TestServer s;
  Client c(s.port());
  for (const char* target : {"/inline", "/nothing"}) {
    Reply r = c.ask(get(target, "X-Request-ID: my.id-1\r\n"));
    EXPECT_EQ(r.headers["x-content-type-options"], "nosniff");
    EXPECT_EQ(r.headers["cache-control"], "no-store");
    EXPECT_EQ(r.headers["content-type"], "application/json; charset=utf-8");
    EXPECT_EQ(r.headers["x-request-id"], "my.id-1");
    EXPECT_THAT(r.headers["date"], ::testing::EndsWith(" GMT"));
  }
  const std::string first = c.ask(get("/inline")).headers["x-request-id"];
  const std::string second =
      c.ask(get("/inline", "X-Request-ID: <script>\r\n")).headers["x-request-id"];
  EXPECT_FALSE(first.empty());
  EXPECT_NE(first, second);
  EXPECT_THAT(second, Not(HasSubstr("script")));
}

TEST(Server, PipelinedAnswersComeInOrder) {
  TestServer s;
  Client c(s.port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += get("/items/" + std::to_string(i));
    if (i % 10 == 5) all += post("/pool", std::to_string(i));
  }
  ASSERT_TRUE(c.send(all));
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(c.read().body, HasSubstr(" " + std::to_string(i) + " ["));
    if (i % 10 == 5) EXPECT_EQ(c.read().body, "POST /pool  [" + std::to_string(i) + "]");
  }
}

TEST(Server, RequestInSingleBytes) {
  TestServer s;
  Client c(s.port());
  for (const char byte : post("/inline", "hello")) ASSERT_TRUE(c.send({&byte, 1}));
  EXPECT_EQ(c.read().body, "POST /inline  [hello]");
}

TEST(Server, HeadHasNoBody) {
  TestServer s;
  Client c(s.port());
  for (const char* target : {"/inline", "/pool", "/nothing"}) {
    c.send(std::string("HEAD ") + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    Reply r = c.read(true);
    EXPECT_GT(std::stoul(r.headers["content-length"]), 0u);
  }
  EXPECT_EQ(c.ask(get("/inline")).status, 200);  // in step: no stray body bytes
}

TEST(Server, NotFoundAndMethodNotAllowed) {
  TestServer s;
  Client c(s.port());
  Reply r = c.ask(get("/nothing"));
  EXPECT_EQ(r.status, 404);
  EXPECT_THAT(r.body, HasSubstr("\"code\":\"route_not_found\""));
  r = c.ask("BREW /inline HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(r.status, 405);
  EXPECT_EQ(r.headers["allow"], "GET, HEAD, POST");
}

TEST(Server, AbsoluteFormTarget) {
  TestServer s;
  EXPECT_EQ(Client(s.port()).ask(get("http://example.org:80/items/7")).body, "GET /items/7 7 []");
}

TEST(Server, ChunkedRequestBody) {
  TestServer s;
  Client c(s.port());
  const Reply r = c.ask(
      "POST /inline HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(r.body, "POST /inline  [abcde]");
  EXPECT_EQ(c.ask(get("/inline")).status, 200);
}

TEST(Server, ExpectContinue) {
  TestServer s;
  Client c(s.port());
  c.send("POST /inline HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(c.read().status, 100);
  EXPECT_EQ(c.ask("hello").body, "POST /inline  [hello]");
}

TEST(Server, ExpectContinueIsRefusedBeforeTheBody) {
  TestServer s;
  const struct {
    const char* request;
    int status;
  } kCases[] = {
      {"POST /nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
       404},
      {"PUT /inline HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 405},
      {"POST /inline HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
       "9999999\r\n\r\n",
       413},
      {"POST /inline HTTP/1.1\r\nHost: x\r\nExpect: more\r\nContent-Length: 5\r\n\r\n", 417}};
  for (const auto& want : kCases) {
    Client c(s.port());
    Reply r = c.ask(want.request);
    EXPECT_EQ(r.status, want.status);
    EXPECT_EQ(r.headers["connection"], "close");
  }
}

TEST(Server, Http10ClosesUnlessAsked) {
  TestServer s;
  {
    Client c(s.port());
    Reply r = c.ask("GET /inline HTTP/1.0\r\n\r\n");
    EXPECT_EQ(r.headers["connection"], "close");
    c.half_close();
    EXPECT_TRUE(c.closed_by_server());
  }
  Client c(s.port());
  EXPECT_EQ(c.ask("GET /inline HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").headers["connection"],
            "keep-alive");
  EXPECT_EQ(c.ask(get("/inline")).status, 200);
}

TEST(Server, ConnectionCloseIsObeyed) {
  TestServer s;
  Client c(s.port());
  // The second request comes after the client said that it would be the last but one.
  c.send(get("/inline", "Connection: close\r\n") + get("/inline"));
  EXPECT_EQ(c.read().headers["connection"], "close");
  c.half_close();
  EXPECT_TRUE(c.closed_by_server());
}

TEST(Server, HalfClosedClientGetsItsAnswer) {
  TestServer s;
  for (const char* target : {"/inline", "/pool"}) {
    Client c(s.port());
    c.send(get(target));
    c.half_close();
    EXPECT_EQ(c.read().status, 200);
    EXPECT_TRUE(c.closed_by_server());
  }
}

TEST(Server, HalfClosedInTheMiddle) {
  TestServer s;
  for (const char* bytes :
       {"GET /inline HT", "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"}) {
    Client c(s.port());
    c.send(bytes);
    c.half_close();
    const Reply r = c.read();
    EXPECT_EQ(r.status, 400);
    EXPECT_THAT(r.body, HasSubstr("truncated_request"));
  }
}

TEST(Server, LargeAnswer) {
  const std::string large(5 << 20, 'x');
  TestServer s({}, {{Method::Get, "/large",
                     [&](const Request&) -> Result<Response> { return Response{.body = large}; }}});
  Client c(s.port());
  c.send(get("/large") + get("/large"));  // both asked for before the first is read
  EXPECT_EQ(c.read().body, large);
  EXPECT_EQ(c.read().body, large);
}

TEST(Server, UnsafeHeaderBecomesAnInternalError) {
  TestServer s({}, {{Method::Get, "/x", [](const Request&) -> Result<Response> {
                       Response r;
                       r.headers.push_back({"X", "a\r\nSet-Cookie: b"});
                       return r;
                     }}});
  const Reply r = Client(s.port()).ask(get("/x"));
  EXPECT_EQ(r.status, 500);
  EXPECT_THAT(r.head, Not(HasSubstr("Set-Cookie")));
}

TEST(Server, ReportsEachRequest) {
  std::vector<std::string> seen;
  ServerOptions o;
  o.on_access = [&](const Access& a) {
    seen.push_back(std::string(method_name(a.method)) + " " + std::string(a.route) + " " +
                   std::to_string(a.status) + " " + std::string(a.remote));
  };
  TestServer s(o);
  Client c(s.port());
  c.ask(get("/items/7"));
  c.ask(get("/nothing"));
  c.ask("nonsense\r\n\r\n");
  s.server->stop();
  EXPECT_THAT(seen, ::testing::ElementsAre("GET /items/{id} 200 127.0.0.1", "GET  404 127.0.0.1",
                                           "OTHER  400 127.0.0.1"));
}

TEST(Server, StartAndStopAreIdempotent) {
  TestServer s;
  const std::uint16_t port = s.port();
  EXPECT_TRUE(s.server->start());
  EXPECT_EQ(s.port(), port);
  EXPECT_EQ(s.server->url(), "http://127.0.0.1:" + std::to_string(port));
  s.server->stop();
  s.server->stop();
  EXPECT_FALSE(s.server->start());
  EXPECT_FALSE(Client(port).connected());
}

TEST(Server, Ipv6) {
  SystemClock clock;
  SeededRng rng(1);
  Server server({.listen = "[::1]:0"}, make_router(echo_routes()), clock, rng);
  const auto status = server.start();
  ASSERT_TRUE(status) << describe(status.error());
  EXPECT_THAT(server.url(), StartsWith("http://[::1]:"));
}

TEST(Server, ListenErrorsNameAddressAndRemedy) {
  TestServer s;
  SystemClock clock;
  SeededRng rng(1);
  const auto start = [&](ServerOptions o) {
    return Server(std::move(o), make_router(echo_routes()), clock, rng).start();
  };
  const std::string taken = "127.0.0.1:" + std::to_string(s.port());
  const auto in_use = start({.listen = taken});
  ASSERT_FALSE(in_use);
  EXPECT_EQ(in_use.error().code, Code::Unavailable);
  EXPECT_THAT(in_use.error().message, HasSubstr(taken));
  EXPECT_THAT(in_use.error().message, HasSubstr("another port"));
  for (const char* listen :
       {"", "8080", ":8080", "localhost", "localhost:", "127.0.0.1:x", "127.0.0.1:65536",
        "::1:8080", "[::1]", "[]:1", "no-such-host.invalid:80", "192.0.2.1:0"}) {
    const auto status = start({.listen = listen});
    ASSERT_FALSE(status) << listen;
    EXPECT_EQ(status.error().code, Code::Invalid) << listen;
    EXPECT_THAT(status.error().message, HasSubstr(listen));
  }
}

TEST(Server, ReplacedRoutesCountFromTheNextRequestOn) {
  std::promise<void> entered, go;
  std::shared_future<void> may_go = go.get_future().share();
  TestServer s({}, {{Method::Get, "/slow", [&](const Request&) -> Result<Response> {
                       entered.set_value();
                       may_go.wait();
                       return Response{.body = "old"};
                     }}});
  Client busy(s.port()), idle(s.port());
  busy.send(get("/slow"));
  entered.get_future().wait();
  s.server->replace_routes(make_router(echo_routes()));
  idle.send(get("/slow"));
  EXPECT_EQ(idle.read().status, 404);
  idle.send(get("/inline"));
  EXPECT_EQ(idle.read().body, "GET /inline  []");
  go.set_value();
  EXPECT_EQ(busy.read().body, "old") << "it is still with the old routes";
  busy.send(get("/inline"));
  EXPECT_EQ(busy.read().status, 200);
}

TEST(Server, StopLetsRequestsInFlightFinish) {
  std::promise<void> entered, go;
  std::shared_future<void> may_go = go.get_future().share();
  TestServer s({}, {{Method::Get, "/slow", [&](const Request&) -> Result<Response> {
                       entered.set_value();
                       may_go.wait();
                       return Response{.body = "done"};
                     }}});
  Client busy(s.port()), idle(s.port());
  busy.send(get("/slow"));
  entered.get_future().wait();
  std::thread stopper([&] { s.server->stop(); });
  EXPECT_TRUE(idle.closed_by_server());  // so the stop has begun
  go.set_value();
  Reply r = busy.read();
  EXPECT_EQ(r.body, "done");
  EXPECT_EQ(r.headers["connection"], "close");
  busy.close();
  stopper.join();
}

TEST(Server, StopIsBoundedWhenAClientStalls) {
  ServerOptions o;
  o.stop_timeout = Millis(20);
  TestServer s(o);
  Client c(s.port());
  c.send("POST /inline HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(c.read().status, 100);  // the server waits for a body that never comes
  s.server->stop();
  EXPECT_TRUE(c.closed_by_server());
}

}  // namespace
}  // namespace tidegate::http
