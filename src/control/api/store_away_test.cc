// The server while its store gives no answer: what needs no store is answered all the same.
#include <semaphore>
#include <thread>

#include "control/api/test_fixture.h"
#include "control/http/test_client.h"
#include "control/worker/faulty_store.h"

namespace tidegate::api {
namespace {

// Over a network, as far as the API can tell.
class RemoteStore final : public worker::testing::FaultyStore {
 public:
  using FaultyStore::FaultyStore;
  store::Capabilities capabilities() const override {
    store::Capabilities c = FaultyStore::capabilities();
    c.local_reads = false;
    return c;
  }
};

class StoreAway : public ApiTest {
 protected:
  StoreAway() : remote_(store_) {}

  std::vector<std::string> inline_routes(store::Store& store) {
    Api api({store, engine_, keys_, clock_, rng_}, {});
    std::vector<std::string> patterns;
    const http::Router router = api.router().value();
    for (const http::Route& route : router.routes()) {
      if (route.run == http::Run::Inline) patterns.push_back(route.pattern);
    }
    return patterns;
  }

  RemoteStore remote_;
};

// A PostgreSQL that swallows packets: one GET of a job stopped /healthz, and the service manager
// would have restarted the server.
TEST_F(StoreAway, AReadThatHangsHoldsNobodyElse) {
  const std::string job = kDefault + "/sync-jobs/" + make_job();
  Api api({remote_, engine_, keys_, clock_, rng_}, {});
  http::ServerOptions options;
  options.listen = "127.0.0.1:0";
  const SystemClock clock;  // its own, as clock_ is moved here
  SystemRng rng;
  http::Server server(options, api.router().value(), clock, rng);
  ASSERT_TRUE(server.start().has_value());
  std::binary_semaphore hangs{0}, goes_on{0};
  for (const char* method : {"find_token", "find_workspace", "get_job"}) {
    SCOPED_TRACE(method);
    remote_.set_gate([&, method](std::string_view called) {
      if (called == method) {
        hangs.release();
        goes_on.acquire();
      }
      return worker::testing::Fault::None;
    });
    http::Client waits(server.port()), other(server.port());
    ASSERT_TRUE(waits.send(http::get(job, "Authorization: Bearer " + admin_ + "\r\n")));
    hangs.acquire();
    EXPECT_EQ(other.ask(http::get("/healthz")).status, 200);
    goes_on.release();
    EXPECT_EQ(waits.read().status, 200);
    remote_.set_gate({});
    clock_.ms += 2'000;  // what the API keeps of tokens and workspaces is out of date
  }
  server.stop();
}

// That of a job is benchmarked: a local store answers it without the way over another thread.
TEST_F(StoreAway, OnlyALocalStoreIsReadOnTheThreadOfAllConnections) {
  const std::vector<std::string> without_store{"/healthz", "/api/openapi.json"};
  EXPECT_THAT(inline_routes(remote_), ::testing::UnorderedElementsAreArray(without_store));
  EXPECT_THAT(inline_routes(*store_),
              ::testing::UnorderedElementsAre("/healthz", "/api/openapi.json",
                                              "/api/workspaces/{ws}/sync-jobs/{id}"));
}

}  // namespace
}  // namespace tidegate::api
