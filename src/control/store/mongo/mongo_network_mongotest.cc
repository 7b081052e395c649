// Networks that swallow everything, and servers that go away.
#include <gmock/gmock.h>

#include <future>

#include "control/store/contract/contract.h"
#include "control/store/contract/tcp_proxy.h"
#include "control/store/mongo/servers_mongotest.h"

namespace tidegate::store {
namespace {

using contract::code_of;
using contract::must;
using mongo::Conn;
using mongo::Heard;
using namespace std::chrono_literals;

constexpr Millis kLimit{1'000};
// Far above what kLimit leads to, far below what TCP and the system allow for (15 minutes).
constexpr auto kBounded = 60s;

int server_port() {
  const std::string uri = mongo::replica_set();
  return std::stoi(uri.substr(uri.rfind(':') + 1));
}

// On a busy machine the limit may pass while it is opened.
std::unique_ptr<Store> open(const MongoOptions& options, const Clock& clock, Rng& rng) {
  const auto end = std::chrono::steady_clock::now() + kBounded;
  auto opened = open_mongo_store(options, clock, rng);
  while (!opened && std::chrono::steady_clock::now() < end) {
    opened = open_mongo_store(options, clock, rng);
  }
  return must(std::move(opened));
}

// With the driver's retry a call may try two connections, each found by a selection of its own.
TEST(MongoNetwork, ABlackHoleIsUnavailableInTimeThenAllGoesOn) {
  mongo::TestDatabase database(mongo::replica_set());
  contract::TcpProxy proxy(server_port());
  SystemClock clock;
  SystemRng rng;
  MongoOptions options = database.options();
  options.uri =
      Secret("mongodb://127.0.0.1:" + std::to_string(proxy.port()) + "/?directConnection=true");
  options.answer_timeout = kLimit;
  const auto store = open(options, clock, rng);
  const auto bounded = [&](auto call) {
    auto answer = std::async(std::launch::async, [&] { return code_of(call()); });
    EXPECT_EQ(answer.wait_for(kBounded), std::future_status::ready);
    return answer.get();
  };
  const auto write = [&](const std::string& name) {
    return store->create_workspace({.id = WorkspaceId(name), .name = name}, {});
  };
  proxy.swallow();
  EXPECT_EQ(bounded([&] { return store->ping(); }), Code::Unavailable);
  EXPECT_EQ(bounded([&] { return write("w"); }), Code::Unavailable);
  EXPECT_GE(proxy.swallowed(), 1);
  proxy.pass();
  auto back = write("w");
  for (const auto end = std::chrono::steady_clock::now() + kBounded;
       !back && std::chrono::steady_clock::now() < end;) {
    back = write("w");
  }
  EXPECT_TRUE(back);
}

// What happened while the stream was cut off was lost.
TEST(MongoNetwork, AStreamThatWasCutOffGoesOnWhereItStood) {
  mongo::TestDatabase database(mongo::replica_set());
  contract::TcpProxy proxy(server_port());
  SystemClock clock;
  SystemRng rng;
  MongoOptions options = database.options();
  const auto writer = must(open_mongo_store(options, clock, rng));
  options.uri =
      Secret("mongodb://127.0.0.1:" + std::to_string(proxy.port()) + "/?directConnection=true");
  options.answer_timeout = kLimit;
  const auto listener = open(options, clock, rng);
  Heard heard;
  const auto subscription = listener->watch(heard.handler());
  const auto write = [&](const std::string& name) {
    must(writer->create_workspace({.id = WorkspaceId(name), .name = name}, {}));
  };
  write("before");
  EXPECT_TRUE(heard.wait_for(ChangeKind::Workspace, "before"));
  proxy.swallow("$changeStream");
  write("meanwhile");
  // The driver itself resumes once: what counts here is what comes after that.
  const auto end = std::chrono::steady_clock::now() + kBounded;
  while (proxy.swallowed() < 3 && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  ASSERT_GE(proxy.swallowed(), 3);
  proxy.pass();
  EXPECT_TRUE(heard.wait_for(ChangeKind::Workspace, "meanwhile"));
}

// Leases that were scaled down ended before a dead connection was given up.
TEST(MongoNetwork, TimeOutsEndBeforeTheLeaseDoes) {
  MongoOptions o;
  fit_to_lease(o, 8s);
  EXPECT_EQ(o.answer_timeout, 4s);
  fit_to_lease(o, 1s);
  EXPECT_EQ(o.answer_timeout, 2s) << "a server that is only slow is not given up";
}

// ---- a server that goes away

class MongoServer : public testing::Test {
 protected:
  MongoServer() { server_.start(); }
  std::unique_ptr<Store> open() {
    MongoOptions o;
    o.uri = Secret(server_.uri() + "&serverSelectionTimeoutMS=500");
    return must(open_mongo_store(o, clock_, rng_));
  }
  static Result<Created<WorkspaceId>> write(Store& store, const std::string& name) {
    return store.create_workspace({.id = WorkspaceId(name), .name = name}, {});
  }
  // The driver needs a moment to see that the server is back.
  static void write_until_it_is_back(Store& store, const std::string& name) {
    for (int i = 0; i < 100; ++i) {
      const auto made = write(store, name);
      if (made) return;
      ASSERT_EQ(code_of(made), Code::Unavailable) << made.error().message;
    }
    FAIL() << "the server did not come back";
  }

  contract::ManualClock clock_{from_ms(0)};
  SystemRng rng_;
  mongo::PrivateServer server_;
};

TEST_F(MongoServer, TheChangeStreamGoesOnAfterAKill) {
  const auto listener = open(), writer = open();
  Heard heard;
  const auto subscription = listener->watch(heard.handler());
  must(write(*writer, "before"));
  EXPECT_TRUE(heard.wait_for(ChangeKind::Workspace, "before"));
  server_.kill();
  server_.start();
  // Before or after the listener is connected again: it goes on from where it stood.
  write_until_it_is_back(*writer, "after");
  EXPECT_TRUE(heard.wait_for(ChangeKind::Workspace, "after"));
}

TEST_F(MongoServer, ADroppedDatabaseMeansReadEverythingAgain) {
  const auto listener = open();
  Heard heard;
  const auto subscription = listener->watch(heard.handler());
  MongoOptions o;
  o.uri = Secret(server_.uri());
  const auto pool = must(mongo::Pool::open(o));
  must(Conn(*pool).run({{"dropDatabase", 1}}));
  for (const auto kind : {ChangeKind::Job, ChangeKind::Run, ChangeKind::Connection}) {
    EXPECT_TRUE(heard.wait_for(kind, ""));
  }
}

TEST_F(MongoServer, AbsenceIsUnavailableAndLosesNothing) {
  const auto store = open();
  must(write(*store, "first"));
  server_.kill();
  const auto refused = write(*store, "second");
  ASSERT_EQ(code_of(refused), Code::Unavailable);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("'tidegate' on 127.0.0.1"));
  EXPECT_EQ(code_of(store->ping()), Code::Unavailable);
  EXPECT_EQ(code_of(store->claim_runs({.owner = OwnerId("w")})), Code::Unavailable);
  clock_.advance(std::chrono::seconds(2));  // the time is known for a second
  EXPECT_EQ(code_of(store->now()), Code::Unavailable);
  server_.start();
  write_until_it_is_back(*store, "second");
  EXPECT_TRUE(must(store->find_workspace("first")).revision);
  EXPECT_TRUE(store->ping());
}

// A subscriber that comes while the server is away is told to read once it is back.
TEST_F(MongoServer, ASubscriptionMayBeginDuringAnOutage) {
  const auto listener = open();
  server_.kill();
  Heard heard;
  const auto subscription = listener->watch(heard.handler());
  server_.start();
  EXPECT_TRUE(heard.wait_for(ChangeKind::Job, ""));
  const auto writer = open();
  must(write(*writer, "w"));
  EXPECT_TRUE(heard.wait_for(ChangeKind::Workspace, "w"));
}

}  // namespace
}  // namespace tidegate::store
