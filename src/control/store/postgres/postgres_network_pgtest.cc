// Networks that swallow everything, and servers that change their role.
#include <gmock/gmock.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "control/store/contract/tcp_proxy.h"
#include "control/store/postgres/pg_test_fixture.h"

namespace tidegate::store {
namespace {

using contract::code_of;
using contract::must;
using testing::Contains;
using testing::Not;
using namespace std::chrono_literals;

constexpr Millis kLimit{1'000};
// Far above what kLimit leads to, far below what TCP and the system allow for (15 minutes).
constexpr auto kBounded = 20s;

int server_port() {
  const std::string url = server_url();
  return std::stoi(url.substr(url.rfind(':') + 1));
}

class PostgresNetwork : public testing::Test {
 protected:
  PostgresOptions options() {
    std::string url = schema_.url();
    const auto at = url.rfind(':', url.rfind('/')) + 1;
    url.replace(at, url.find('/', at) - at, std::to_string(proxy_.port()));
    return {.url = Secret(url), .connect_timeout = kLimit, .answer_timeout = kLimit};
  }
  // The code of what `f` answers; fails the test when that takes too long.
  template <class F>
  Code bounded(F f) {
    auto answer = std::async(std::launch::async, [&] { return code_of(f()); });
    if (answer.wait_for(kBounded) != std::future_status::ready) {
      ADD_FAILURE() << "it still waits";
      proxy_.pass();  // ends the connections
    }
    return answer.get();
  }
  static bool works_again(Store& store) {
    const auto end = std::chrono::steady_clock::now() + kBounded;
    while (std::chrono::steady_clock::now() < end) {
      if (store.ping()) return true;
    }
    return false;
  }

  ScratchSchema schema_;
  contract::TcpProxy proxy_{server_port()};
  SystemRng rng_;
};

// A half-open connection held a worker for as long as TCP repeats what nobody acknowledges.
TEST_F(PostgresNetwork, ABlackHoleIsUnavailableInTimeThenAllGoesOn) {
  const auto store = must(open_postgres_store(options(), rng_));
  contract::Listener heard;
  const auto subscription = store->watch(heard.handler());
  EXPECT_TRUE(store->ping());
  proxy_.swallow();
  EXPECT_EQ(bounded([&] { return store->ping(); }), Code::Unavailable) << "a connection in use";
  EXPECT_EQ(bounded([&] { return store->ping(); }), Code::Unavailable) << "a new one";
  EXPECT_GE(proxy_.swallowed(), 1);
  proxy_.pass();
  EXPECT_TRUE(works_again(*store));
}

// Each of the others cost its caller the whole time-out, and with a few of them a lease was gone.
TEST_F(PostgresNetwork, AfterOneDeadConnectionItsSiblingsAreNotTried) {
  const auto store = must(open_postgres_store(options(), rng_));
  schema_.console.run("BEGIN; LOCK TABLE " + schema_.name() + ".workspaces");
  std::vector<std::future<bool>> asked;
  for (int i = 0; i < 3; ++i) {
    asked.push_back(
        std::async(std::launch::async, [&] { return store->find_workspace("none").has_value(); }));
  }
  EXPECT_TRUE(
      Console().eventually("(SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '" +
                           schema_.name() + ".workspaces'::regclass) = 3"));
  schema_.console.run("COMMIT");
  for (auto& answer : asked) EXPECT_FALSE(answer.get());
  proxy_.swallow();
  EXPECT_EQ(bounded([&] { return store->ping(); }), Code::Unavailable);
  const int before = proxy_.swallowed();
  EXPECT_EQ(bounded([&] { return store->ping(); }), Code::Unavailable);
  EXPECT_GT(proxy_.swallowed(), before) << "a new one was tried";
}

TEST_F(PostgresNetwork, AConnectionThatIsSwallowedWhileItIsSetUpIsGivenUp) {
  proxy_.swallow("statement_timeout");
  EXPECT_EQ(bounded([&] {
              auto opened = open_postgres_store(options(), rng_);
              return opened ? Status() : Status(fail(opened.error()));
            }),
            Code::Unavailable);
  EXPECT_GE(proxy_.swallowed(), 1);
  proxy_.pass();
  EXPECT_TRUE(open_postgres_store(options(), rng_));
}

// The notes of commits were thrown away with the connection that could not pass them on.
TEST_F(PostgresNetwork, WhatTheFeedCouldNotSendIsToldByItsNextConnection) {
  const auto writer = must(open_postgres_store(options(), rng_));
  const auto reader = must(schema_.open());
  contract::Listener mine, theirs;
  const auto a = writer->watch(mine.handler());
  const auto b = reader->watch(theirs.handler());
  proxy_.swallow("LISTEN");
  must(writer->create_workspace({.id = WorkspaceId("w"), .name = "w"}, {}));
  const auto end = std::chrono::steady_clock::now() + kBounded;
  while (proxy_.swallowed() < 2 && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  ASSERT_GE(proxy_.swallowed(), 2) << "it tried again, so the first one was given up";
  EXPECT_THAT(theirs.take(), testing::IsEmpty());
  proxy_.pass();
  EXPECT_TRUE(theirs.wait_for(ChangeKind::Workspace, "w"));
}

// Connections to a primary that had become a standby were kept.
TEST_F(PostgresNetwork, AConnectionThatTakesNoWritesIsReplaced) {
  const std::string database = "d" + schema_.name();
  schema_.console.run("CREATE DATABASE " + database);
  std::string url = server_url();
  url.replace(url.rfind('/') + 1, std::string::npos, database);
  auto store = must(open_postgres_store({.url = Secret(url)}, rng_));
  const auto write = [&](const std::string& name) {
    return store->create_workspace({.id = WorkspaceId(name), .name = name}, {});
  };
  schema_.console.run("ALTER DATABASE " + database + " SET default_transaction_read_only = on");
  schema_.console.run(
      "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = '" + database +
      "'");
  EXPECT_EQ(code_of(write("w")), Code::Unavailable);
  schema_.console.run("ALTER DATABASE " + database + " RESET default_transaction_read_only");
  EXPECT_TRUE(write("w"));
  store.reset();
  schema_.console.run("DROP DATABASE " + database + " WITH (FORCE)");
}

// Says in PostgreSQL's protocol that it is so old, and refuses whatever it is asked.
class OldServer {
 public:
  OldServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&at), &length), 0);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~OldServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  int port() const { return port_; }
  // After the client is gone.
  bool was_asked() {
    thread_.join();
    return asked_;
  }

 private:
  static std::string message(char type, const std::string& body) {
    std::string out(1, type);
    postgres::put_int(out, static_cast<std::int64_t>(body.size()) + 4, 4);
    return out + body;
  }
  void serve() {
    const UniqueFd peer(accept(listener_.get(), nullptr, nullptr));
    char piece[4096];
    if (!peer || recv(peer.get(), piece, sizeof piece, 0) <= 0) return;
    const std::string hello = message('R', std::string(4, '\0')) +
                              message('S', std::string("server_version\0"
                                                       "11.22\0",
                                                       21)) +
                              message('Z', "I");
    (void)send(peer.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
    // 'X' is goodbye.
    asked_ = recv(peer.get(), piece, sizeof piece, 0) > 0 && piece[0] != 'X';
    const std::string no = message('E', std::string("SERROR\0C42704\0Mno\0\0", 19));
    (void)send(peer.get(), no.data(), no.size(), MSG_NOSIGNAL);
  }

  UniqueFd listener_;
  int port_ = 0;
  bool asked_ = false;
  std::thread thread_;
};

// It was asked for what it does not know, and the error was one of a defect.
TEST_F(PostgresNetwork, AServerThatIsTooOldIsRefusedBeforeAnythingIsSent) {
  OldServer server;
  const auto refused = open_postgres_store(
      {.url = Secret("postgres://u:p@127.0.0.1:" + std::to_string(server.port()) +
                     "/db?sslmode=disable&gssencmode=disable")},
      rng_);
  ASSERT_EQ(code_of(refused), Code::Invalid);
  EXPECT_EQ(refused.error().reason, "store_too_old");
  EXPECT_THAT(refused.error().message,
              testing::AllOf(testing::HasSubstr("11.22"), testing::HasSubstr("13 or newer")));
  EXPECT_FALSE(server.was_asked());
}

class PostgresTls : public PostgresNetwork {
 protected:
  // The server takes TLS from here to the end of the test, with a certificate that is its own
  // authority; "other.crt" is one of somebody else.
  PostgresTls() {
    for (const std::string name : {"server", "other"}) {
      schema_.console.run(
          "COPY (SELECT 1) TO PROGRAM 'openssl req -x509 -newkey ec -pkeyopt "
          "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 -addext "
          "subjectAltName=IP:127.0.0.1 -keyout " +
          name + ".key -out " + name + ".crt 2>&1'");
    }
    set("on");
  }
  ~PostgresTls() override { set("off"); }
  void set(const std::string& ssl) {
    schema_.console.run("ALTER SYSTEM SET ssl = " + ssl);
    schema_.console.run("SELECT pg_reload_conf()");
    EXPECT_TRUE(schema_.console.eventually("current_setting('ssl') = '" + ssl + "'"));
  }
  std::string verified_by(const std::string& certificate) {
    return schema_.url() + "&sslmode=verify-full&sslrootcert=" +
           schema_.console.ask("SELECT current_setting('data_directory')") + "/" + certificate;
  }
};

TEST_F(PostgresTls, IsVerifiedAsTheUrlSays) {
  const auto store = must(open_postgres_store({.url = Secret(verified_by("server.crt"))}, rng_));
  contract::Listener heard;
  const auto subscription = store->watch(heard.handler());
  EXPECT_TRUE(store->ping());
  EXPECT_EQ(schema_.console.ask("SELECT bool_and(ssl)::text FROM pg_stat_ssl JOIN pg_stat_activity "
                                "USING (pid) WHERE application_name = 'tidegate'"),
            "true");
  const auto refused = open_postgres_store({.url = Secret(verified_by("other.crt"))}, rng_);
  EXPECT_EQ(code_of(refused), Code::Invalid) << "waiting mends nothing";
  EXPECT_THAT(refused.error().message,
              testing::AllOf(testing::HasSubstr("certificate verify failed"),
                             testing::HasSubstr("sslrootcert")));
}

TEST_F(PostgresNetwork, OfSeveralHostsTheOneThatTakesWritesIsAskedFor) {
  const auto keys = [](const char* url) {
    return must(postgres::Target::parse(Secret(url))).hosts().at(0).keys;
  };
  EXPECT_THAT(keys("postgres://u@a,b/db"), Contains("target_session_attrs"));
  EXPECT_THAT(keys("postgres://u@a/db"), Not(Contains("target_session_attrs")));
}

// Leases that were scaled down ended before the rows that a frozen leader held were free.
TEST_F(PostgresNetwork, TimeOutsEndBeforeTheLeaseDoes) {
  PostgresOptions o;
  fit_to_lease(o, 8s);
  EXPECT_EQ(o.idle_in_transaction_timeout, 4s);
  EXPECT_EQ(o.lock_timeout, 4s);
  EXPECT_EQ(o.answer_timeout, 4s);
  EXPECT_EQ(o.connect_timeout, 4s);
  fit_to_lease(o, 1s);
  EXPECT_EQ(o.idle_in_transaction_timeout, 500ms);
  EXPECT_EQ(o.lock_timeout, 500ms);
  EXPECT_EQ(o.answer_timeout, 2s) << "a server that is only slow is not given up";
  fit_to_lease(o, 1h);
  EXPECT_EQ(o.idle_in_transaction_timeout, 500ms) << "nothing is made longer";
}

}  // namespace
}  // namespace tidegate::store
