// Many clients, streams and a stop at once; under TSan.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <mutex>
#include <thread>

#include "control/http/pool.h"
#include "control/http/server.h"
#include "control/http/test_client.h"

namespace tidegate::http {
namespace {

TEST(ServerThreads, ManyClientsGetTheirOwnAnswers) {
  std::atomic<int> reported = 0;
  ServerOptions o;
  o.on_access = [&](const Access&) { ++reported; };
  TestServer s(o);
  std::vector<std::jthread> clients;
  for (int n = 0; n < 8; ++n) {
    clients.emplace_back([&, n] {
      Client c(s.port());
      for (int i = 0; i < 50; ++i) {
        const std::string mine = std::to_string(n) + ":" + std::to_string(i);
        const char* target = i % 2 == 0 ? "/pool" : "/inline";
        EXPECT_EQ(c.ask(post(target, mine)).body,
                  "POST " + std::string(target) + "  [" + mine + "]");
      }
    });
  }
  clients.clear();
  EXPECT_EQ(reported, 8 * 50);
}

TEST(ServerThreads, StopWhileClientsAsk) {
  TestServer s;
  std::latch all_started(5);
  std::vector<std::jthread> clients;
  for (int n = 0; n < 4; ++n) {
    clients.emplace_back([&, n] {
      bool first = true;
      while (true) {  // until the server is gone
        Client c(s.port());
        int status = 1;
        while (status != 0) {
          status = c.ask(get(n % 2 == 0 ? "/pool" : "/inline")).status;
          if (status != 0) EXPECT_EQ(status, 200);
          if (std::exchange(first, false)) all_started.count_down();
        }
        if (!c.connected()) return;
      }
    });
  }
  all_started.arrive_and_wait();
  std::jthread second([&] { s.server->stop(); });
  s.server->stop();
}

// Ticks for ever, woken by a thread of its own that outlives the connection and the server.
struct Ticker {
  std::mutex mutex;
  std::vector<EventSource::Wake> wakes;
  std::atomic<bool> done = false;
  std::atomic<int> alive = 0;

  class Source final : public EventSource {
   public:
    explicit Source(Ticker& t) : t_(t) { ++t_.alive; }
    ~Source() override { --t_.alive; }
    void open(Wake wake) override {
      const std::lock_guard lock(t_.mutex);
      t_.wakes.push_back(std::move(wake));
    }
    std::optional<std::string> pull() override {
      give_ = !give_;
      return give_ ? "data: tick\n\n" : "";
    }

   private:
    Ticker& t_;
    bool give_ = false;
  };
};

TEST(ServerThreads, WakesFromOtherThreadsDuringDisconnectsAndStop) {
  Ticker ticker;
  std::jthread waker([&] {
    while (!ticker.done) {
      std::vector<EventSource::Wake> wakes;
      {
        const std::lock_guard lock(ticker.mutex);
        wakes = ticker.wakes;
      }
      for (const auto& wake : wakes) wake();
    }
  });
  {
    TestServer s({}, {{Method::Get, "/events", [&](const Request&) -> Result<Response> {
                         return Response{.events = std::make_unique<Ticker::Source>(ticker)};
                       }}});
    std::vector<std::jthread> clients;
    for (int n = 0; n < 4; ++n) {
      clients.emplace_back([&] {
        for (int i = 0; i < 5; ++i) {
          Client c(s.port());
          c.send(get("/events"));
          EXPECT_EQ(c.read().status, 200);
          for (int e = 0; e < 5; ++e) EXPECT_EQ(c.read_chunk(), "data: tick\n\n");
        }
      });
    }
    Client last(s.port());
    last.send(get("/events"));
    EXPECT_EQ(last.read().status, 200);
    clients.clear();
    std::jthread reader([&] { last.read_to_end(), last.close(); });
    s.server->stop();
  }
  EXPECT_EQ(ticker.alive, 0);
  ticker.done = true;
}

TEST(WorkerPool, RunsEverythingOnceAndRefusesAfterStop) {
  WorkerPool pool(4, 1000);
  pool.start();
  std::atomic<int> ran = 0;
  std::latch done(500);
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(pool.submit([&] {
      ++ran;
      done.count_down();
    }));
  }
  done.wait();
  pool.stop();
  pool.stop();
  EXPECT_EQ(ran, 500);
  EXPECT_FALSE(pool.submit([] {}));
}

}  // namespace
}  // namespace tidegate::http
