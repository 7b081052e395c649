// Networks that swallow everything.
#include <gmock/gmock.h>

#include <future>

#include "control/store/contract/contract.h"
#include "control/store/contract/tcp_proxy.h"
#include "control/store/mongo/servers_mongotest.h"

namespace tidegate::store {
namespace {

using contract::code_of;
using contract::must;
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

}  // namespace
}  // namespace tidegate::store
