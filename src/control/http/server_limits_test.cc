// The server against slow, greedy and hostile clients.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <future>
#include <mutex>
#include <semaphore>

#include "control/http/server.h"
#include "control/http/test_client.h"

namespace tidegate::http {
namespace {

using ::testing::HasSubstr;

// Only the deadline under test is short.
ServerOptions with(Millis ServerOptions::* deadline) {
  ServerOptions o;
  o.*deadline = Millis(20);
  return o;
}

TEST(Limits, SlowHeadersAreCutOff) {  // slow loris
  TestServer s(with(&ServerOptions::header_timeout));
  Client c(s.port());
  c.send("GET /inline HTTP/1.1\r\nHost: x\r\nX-A:");
  Reply r = c.read();
  EXPECT_EQ(r.status, 408);
  EXPECT_EQ(r.headers["connection"], "close");
  EXPECT_THAT(r.body, HasSubstr("request_timeout"));
  c.half_close();
  EXPECT_TRUE(c.closed_by_server());
}

TEST(Limits, ATrickleOfHeadersDoesNotExtendTheDeadline) {
  TestServer s(with(&ServerOptions::header_timeout));
  Client c(s.port());
  c.send("GET /inline HTTP/1.1\r\nX: ");
  pollfd answer{.fd = c.fd(), .events = POLLIN, .revents = 0};
  while (::poll(&answer, 1, 1) == 0) c.send("y");
  EXPECT_EQ(c.read().status, 408);
}

TEST(Limits, SlowBodyIsCutOff) {
  TestServer s(with(&ServerOptions::body_timeout));
  for (const char* framing : {"Content-Length: 100", "Transfer-Encoding: chunked"}) {
    Client c(s.port());
    c.send("POST /inline HTTP/1.1\r\nHost: x\r\n" + std::string(framing) + "\r\n\r\n1");
    EXPECT_EQ(c.read().status, 408) << framing;
  }
}

TEST(Limits, SilentConnectionsAreClosedWithoutAWord) {
  TestServer s(with(&ServerOptions::idle_timeout));
  Client silent(s.port()), kept(s.port());
  EXPECT_EQ(kept.ask(get("/inline")).status, 200);
  EXPECT_TRUE(kept.closed_by_server());
  EXPECT_TRUE(silent.closed_by_server());
}

TEST(Limits, AClientThatDoesNotReadIsCutOff) {
  ServerOptions o = with(&ServerOptions::write_timeout);
  o.min_write_rate = 1 << 30;
  const std::string large(32 << 20, 'x');  // more than the kernel buffers between two sockets
  TestServer s(o, {{Method::Get, "/large",
                    [&](const Request&) -> Result<Response> { return Response{.body = large}; }}});
  Client c(s.port());
  c.send(get("/large"));
  pollfd hung_up{.fd = c.fd(), .events = POLLRDHUP, .revents = 0};
  EXPECT_EQ(::poll(&hung_up, 1, 60'000), 1);
  EXPECT_LT(c.read_to_end().size(), large.size());
}

TEST(Limits, LargeBody) {
  ServerOptions o;
  o.max_body_bytes = 10;
  TestServer s(o);
  EXPECT_EQ(Client(s.port()).ask(post("/inline", "1234567890")).status, 200);
  for (const std::string& request :
       {post("/inline", "12345678901"),
        std::string("POST /inline HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                    "chunked\r\n\r\nb\r\n12345678901\r\n"),
        std::string(
            "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n")}) {
    Client c(s.port());
    Reply r = c.ask(request);
    EXPECT_EQ(r.status, 413);
    EXPECT_THAT(r.body, HasSubstr("10 bytes"));
    EXPECT_EQ(r.headers["connection"], "close");
  }
}

TEST(Limits, AHundredMegabytesAreRefusedWithAnAnswerNotAReset) {
  TestServer s;
  Client c(s.port());
  c.send("POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n");
  // The client goes on sending while the answer is on its way.
  const std::string block(1 << 16, 'x');
  for (int i = 0; i < 64 && c.send(block); ++i) {
  }
  EXPECT_EQ(c.read().status, 413);
}

TEST(Limits, LargeHeaders) {
  TestServer s;
  for (const std::string& request :
       {"GET /" + std::string(20000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n",
        get("/inline", "X: " + std::string(20000, 'a') + "\r\n"), get("/inline", [] {
          std::string many;
          for (int i = 0; i < 101; ++i) many += "X: y\r\n";
          return many;
        }())}) {
    Client c(s.port());
    EXPECT_EQ(c.ask(request).status, 431);
  }
}

TEST(Limits, MalformedRequestsGetAnAnswerAndAClose) {
  using namespace std::string_literals;
  TestServer s;
  for (
      const std::string& request :
      {"nonsense\r\n\r\n"s, "GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"s, get("/%zz"), get("/a/../b"),
       get("//a"), "GET /inline HTTP/1.1\r\n\r\n"s,
       "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"s,
       "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"s,
       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"s}) {
    Client c(s.port());
    // What follows must not be served: after a malformed request no byte has a known meaning.
    Reply r = c.ask(request + get("/inline"));
    EXPECT_EQ(r.status, 400) << request;
    EXPECT_EQ(r.headers["connection"], "close");
    EXPECT_THAT(r.body, HasSubstr("\"success\":false"));
    c.half_close();
    EXPECT_TRUE(c.closed_by_server()) << request;
  }
  EXPECT_EQ(Client(s.port()).ask(get("/inline")).status, 200);
}

TEST(Limits, ConnectionsAboveTheLimitAreToldSoWhenAllAreAtWork) {
  std::promise<void> go;
  std::shared_future<void> may_go = go.get_future().share();
  std::counting_semaphore<> entered(0);
  ServerOptions o;
  o.max_connections = 2;
  TestServer s(o, {{Method::Get, "/slow",
                    [&](const Request&) -> Result<Response> {
                      entered.release();
                      may_go.wait();
                      return Response{};
                    }},
                   {Method::Get, "/inline",
                    [](const Request&) -> Result<Response> { return Response{}; }, Run::Inline}});
  Client a(s.port()), b(s.port());
  a.send(get("/slow"));
  b.send(get("/slow"));
  entered.acquire();
  entered.acquire();
  {
    Client c(s.port());
    Reply r = c.ask(get("/inline"));
    EXPECT_EQ(r.status, 503);
    EXPECT_EQ(r.headers["retry-after"], "1");
    c.half_close();
    EXPECT_TRUE(c.closed_by_server());
  }
  go.set_value();
  EXPECT_EQ(a.read().status, 200);
  EXPECT_EQ(b.read().status, 200);
}

// Seen here: 1,024 silent connections kept everybody out for more than a minute.
TEST(Limits, SilentConnectionsGiveWayTheNeverServedAndLongestIdleFirst) {
  ServerOptions o;
  o.max_connections = 3;
  TestServer s(o);
  Client served(s.port());
  EXPECT_EQ(served.ask(get("/inline")).status, 200);
  Client first(s.port()), second(s.port());
  // Connected, and known to the server: it has answered something later.
  second.send("GET /inline HTTP/1.1\r\n");
  Client other(s.port());
  EXPECT_EQ(other.ask(get("/inline")).status, 200);
  EXPECT_TRUE(first.closed_by_server());
  Client another(s.port());
  EXPECT_EQ(another.ask(get("/inline")).status, 200);
  EXPECT_TRUE(second.closed_by_server()) << "a begun request is no place for ever";
  EXPECT_EQ(served.ask(get("/inline")).status, 200);
  Client last(s.port());
  EXPECT_EQ(last.ask(get("/inline")).status, 200);
  EXPECT_TRUE(other.closed_by_server()) << "all were served: the longest idle one goes";
}

TEST(Limits, FullQueueIsAnsweredAtOnce) {
  std::promise<void> entered, go;
  std::shared_future<void> may_go = go.get_future().share();
  std::once_flag once;
  ServerOptions o;
  o.workers = 1;
  o.max_queue = 1;
  TestServer s(o, {{Method::Get, "/slow",
                    [&](const Request&) -> Result<Response> {
                      std::call_once(once, [&] { entered.set_value(); });
                      may_go.wait();
                      return Response{};
                    }},
                   {Method::Get, "/quick",
                    [](const Request&) -> Result<Response> { return Response{}; }, Run::Inline}});
  Client running(s.port()), a(s.port()), b(s.port()), other(s.port());
  running.send(get("/slow"));
  entered.get_future().wait();
  a.send(get("/slow"));
  b.send(get("/slow"));
  // One of the two is in the queue, the other one is answered.
  pollfd both[] = {{.fd = a.fd(), .events = POLLIN, .revents = 0},
                   {.fd = b.fd(), .events = POLLIN, .revents = 0}};
  ASSERT_EQ(::poll(both, 2, 60'000), 1);
  const bool a_refused = both[0].revents != 0;
  Client& refused = a_refused ? a : b;
  Client& queued = a_refused ? b : a;
  Reply r = refused.read();
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.headers["retry-after"], "1");
  EXPECT_THAT(r.body, HasSubstr("overloaded"));
  EXPECT_EQ(other.ask(get("/quick")).status, 200);  // inline routes are served meanwhile
  go.set_value();
  EXPECT_EQ(running.read().status, 200);
  EXPECT_EQ(queued.read().status, 200);
}

}  // namespace
}  // namespace tidegate::http
