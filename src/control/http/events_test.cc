// Server-sent events: order, wake-ups, heartbeats, and who goes first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>

#include "control/http/server.h"
#include "control/http/test_client.h"

namespace tidegate::http {
namespace {

using ::testing::HasSubstr;

// What a test pushes, a client receives. Outlives the connection, as the API's event hub does.
struct Feed {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> events;
  EventSource::Wake wake;
  bool ended = false;
  int open = 0;  // sources alive

  void push(std::string event) {
    EventSource::Wake call;
    {
      const std::lock_guard lock(mutex);
      events.push_back(std::move(event));
      call = wake;
    }
    if (call) call();
  }
  void end() {
    EventSource::Wake call;
    {
      const std::lock_guard lock(mutex);
      ended = true;
      call = wake;
    }
    if (call) call();
  }
  void wait_until_open(int n) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return open == n; });
  }
};

class FeedSource final : public EventSource {
 public:
  explicit FeedSource(Feed& feed) : feed_(feed) {}
  ~FeedSource() override {
    const std::lock_guard lock(feed_.mutex);
    --feed_.open;
    feed_.changed.notify_all();
  }
  void open(Wake wake) override {
    const std::lock_guard lock(feed_.mutex);
    feed_.wake = std::move(wake);
    ++feed_.open;
    feed_.changed.notify_all();
  }
  std::optional<std::string> pull() override {
    const std::lock_guard lock(feed_.mutex);
    if (!feed_.events.empty()) {
      std::string next = std::move(feed_.events.front());
      feed_.events.pop_front();
      return next;
    }
    return feed_.ended ? std::nullopt : std::optional<std::string>("");
  }

 private:
  Feed& feed_;
};

std::vector<Route> feed_routes(Feed& feed) {
  const Handler open = [&feed](const Request&) -> Result<Response> {
    return Response{.events = std::make_unique<FeedSource>(feed)};
  };
  auto routes = echo_routes();
  routes.push_back({Method::Get, "/events", open, Run::Pool});
  routes.push_back({Method::Get, "/events-inline", open, Run::Inline});
  return routes;
}

TEST(Events, ArriveInOrderAndEnd) {
  for (const char* target : {"/events", "/events-inline"}) {
    Feed feed;
    feed.events = {"data: 1\n\n", "data: 2\n\n"};
    TestServer s({}, feed_routes(feed));
    Client c(s.port());
    c.send(get(target));
    Reply head = c.read();
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers["content-type"], "text/event-stream");
    EXPECT_EQ(head.headers["transfer-encoding"], "chunked");
    EXPECT_EQ(head.headers["cache-control"], "no-store");
    EXPECT_EQ(head.headers["connection"], "close");
    EXPECT_EQ(c.read_chunk(), "data: 1\n\n");
    EXPECT_EQ(c.read_chunk(), "data: 2\n\n");
    feed.push("data: 3\n\n");
    EXPECT_EQ(c.read_chunk(), "data: 3\n\n");
    feed.end();
    EXPECT_EQ(c.read_chunk(), "");
    EXPECT_TRUE(c.closed_by_server());
    feed.wait_until_open(0);
  }
}

TEST(Events, ToHttp10WithoutChunks) {
  Feed feed;
  feed.events = {"data: 1\n\n"};
  feed.ended = true;
  TestServer s({}, feed_routes(feed));
  Client c(s.port());
  c.send("GET /events HTTP/1.0\r\n\r\n");
  EXPECT_THAT(c.read_to_end(), ::testing::EndsWith("\r\n\r\ndata: 1\n\n"));
}

TEST(Events, HeadOpensNothing) {
  Feed feed;
  TestServer s({}, {{Method::Get, "/events", [&](const Request&) -> Result<Response> {
                       ++feed.open;  // as open() would
                       return Response{.events = std::make_unique<FeedSource>(feed)};
                     }}});
  Client c(s.port());
  c.send("HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(c.read(true).headers["content-type"], "text/event-stream");
  feed.wait_until_open(0);
  EXPECT_FALSE(feed.wake);
}

TEST(Events, ManyWakeUpsLoseNothing) {
  Feed feed;
  TestServer s({}, feed_routes(feed));
  Client c(s.port());
  c.send(get("/events"));
  EXPECT_EQ(c.read().status, 200);
  feed.wait_until_open(1);
  for (int i = 0; i < 1000; ++i) feed.push("data: " + std::to_string(i) + "\n\n");
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(c.read_chunk(), "data: " + std::to_string(i) + "\n\n");
}

TEST(Events, HeartbeatsWhileSilent) {
  Feed feed;
  ServerOptions o;
  o.heartbeat = Millis(10);
  TestServer s(o, feed_routes(feed));
  Client c(s.port());
  c.send(get("/events"));
  EXPECT_EQ(c.read().status, 200);
  EXPECT_EQ(c.read_chunk(), ": \n\n");
  EXPECT_EQ(c.read_chunk(), ": \n\n");
  feed.push("data: 1\n\n");
  std::string next;
  while ((next = c.read_chunk()) == ": \n\n") {
  }
  EXPECT_EQ(next, "data: 1\n\n");
}

TEST(Events, ADisconnectedClientFreesItsSource) {
  Feed feed;
  TestServer s({}, feed_routes(feed));
  {
    Client c(s.port());
    c.send(get("/events"));
    EXPECT_EQ(c.read().status, 200);
    feed.wait_until_open(1);
  }
  feed.wait_until_open(0);  // nothing was written: the server saw the close itself
  feed.push("data: to nobody\n\n");
  EXPECT_EQ(Client(s.port()).ask(get("/inline")).status, 200);
}

TEST(Events, AnOpenStreamHoldsNoWorker) {
  Feed feed;
  ServerOptions o;
  o.workers = 1;
  TestServer s(o, feed_routes(feed));
  Client a(s.port()), b(s.port()), c(s.port());
  for (Client* stream : {&a, &b}) {
    stream->send(get("/events"));
    EXPECT_EQ(stream->read().status, 200);
  }
  feed.wait_until_open(2);
  EXPECT_EQ(c.ask(get("/pool")).status, 200);
}

TEST(Events, ASourceThatThrowsEndsItsStream) {
  class Bad final : public EventSource {
    std::optional<std::string> pull() override { throw std::runtime_error("bad"); }
  };
  TestServer s({}, {{Method::Get, "/events", [](const Request&) -> Result<Response> {
                       return Response{.events = std::make_unique<Bad>()};
                     }}});
  Client c(s.port());
  c.send(get("/events"));
  EXPECT_EQ(c.read().status, 200);
  EXPECT_EQ(c.read_chunk(), "");
}

TEST(Events, StopEndsStreamsInOrder) {
  Feed feed;
  {
    TestServer s({}, feed_routes(feed));
    Client c(s.port());
    c.send(get("/events"));
    EXPECT_EQ(c.read().status, 200);
    feed.wait_until_open(1);
    std::thread stopper([&] { s.server->stop(); });
    EXPECT_EQ(c.read_to_end(),
              "0\r\n\r\n");  // the last chunk, so a client knows the end from a cut
    c.close();
    stopper.join();
  }
  feed.wait_until_open(0);
  feed.push("data: after the server's end\n\n");  // its wake must be harmless
}

}  // namespace
}  // namespace tidegate::http
