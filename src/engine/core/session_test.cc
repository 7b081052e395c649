#include "engine/core/session.h"

#include <arrow/type.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <semaphore>
#include <thread>

#include "engine/core/queue.h"
#include "engine/core/schema.h"

namespace tidegate::engine {
namespace {

using protocol::ExitCode;
using protocol::RequestKind;

// A source whose discover() waits until the run is stopped.
class WaitingSource final : public Source {
 public:
  explicit WaitingSource(const Context& context) : context_(context) {}
  std::string identity() const override { return "waiting"; }
  Status check() override { return {}; }
  Result<Catalog> discover(const Wanted&) override {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    changed.wait(lock, context_.stop, [] { return false; });
    return fail(Code::Cancelled, "stopped");
  }
  Result<std::unique_ptr<Reader>> open(const ReadParams&, const Partition&) override {
    return fail(Code::Internal, "not reached");
  }

 private:
  const Context& context_;
};

// A source whose discover() waits for the test, and then has more to tell than a line can hold.
class WideSource final : public Source {
 public:
  std::string identity() const override { return "wide"; }
  Status check() override {
    release.acquire();
    return {};
  }
  Result<Catalog> discover(const Wanted&) override {
    Catalog catalog;
    for (int i = 0; i < 20; ++i) {
      EntityInfo e;
      e.name = std::to_string(i);
      e.schema = arrow::schema({arrow::field(std::string(1 << 20, 'c'), arrow::int64())});
      catalog.entities.push_back(std::move(e));
    }
    return catalog;
  }
  Result<std::unique_ptr<Reader>> open(const ReadParams&, const Partition&) override {
    return fail(Code::Internal, "not reached");
  }

  inline static std::binary_semaphore release{0};
};

class NoDestination final : public Destination {
 public:
  std::string identity() const override { return "none"; }
  Status check() override { return fail(Code::Forbidden, "no access"); }
  Result<WriterState> inspect(const WritePlan&) override {
    return fail(Code::Internal, "not reached");
  }
  Result<std::unique_ptr<Writer>> open(const WritePlan&) override {
    return fail(Code::Internal, "not reached");
  }
};

const Connector kWaiting{
    .name = "waiting",
    .title = "Waits",
    .spec = R"({"type": "object"})",
    .make_source = [](const boost::json::object&, const Context& context)
        -> Result<std::unique_ptr<Source>> { return std::make_unique<WaitingSource>(context); },
    .make_destination = [](const boost::json::object&, const Context&)
        -> Result<std::unique_ptr<Destination>> { return std::make_unique<NoDestination>(); }};
const Connector kWide{.name = "wide",
                      .title = "Has wide entities",
                      .spec = R"({"type": "object"})",
                      .make_source = [](const boost::json::object&,
                                        const Context&) -> Result<std::unique_ptr<Source>> {
                        return std::make_unique<WideSource>();
                      }};
const Connector* const kConnectors[] = {&kWaiting, &kWide};

// The parent's two ends, and the session on a thread.
class Session {
 public:
  Session() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, to_child_.data()), 0);
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, from_child_.data()), 0);
    thread_ = std::thread([this] {
      code_ = serve_session(to_child_[1], from_child_[1], kConnectors, clock_, rng_);
      shutdown(from_child_[1], SHUT_WR);
    });
  }
  ~Session() {
    if (thread_.joinable()) thread_.join();
    for (const int fd : {to_child_[0], to_child_[1], from_child_[0], from_child_[1]}) close(fd);
  }
  void send(const std::string& line) { send_part(line + "\n"); }
  void send_part(const std::string& text) {
    ASSERT_EQ(write(to_child_[0], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Returns when the session has taken everything that was sent.
  void wait_until_read() {
    for (int left = 1; left > 0; std::this_thread::yield()) {
      ASSERT_EQ(ioctl(to_child_[1], FIONREAD, &left), 0);
    }
  }
  void end_of_file() { shutdown(to_child_[0], SHUT_WR); }
  // All events until the end.
  std::vector<protocol::Event> finish() {
    std::string text;
    std::array<char, 4096> chunk;
    for (ssize_t n = 0; (n = read(from_child_[0], chunk.data(), chunk.size())) > 0;) {
      text.append(chunk.data(), static_cast<std::size_t>(n));
    }
    thread_.join();
    std::vector<protocol::Event> events;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      events.push_back(protocol::parse_event(text.substr(at, end - at)).value().value());
      at = end + 1;
    }
    return events;
  }
  ExitCode code() const { return code_; }

 private:
  std::array<int, 2> to_child_{}, from_child_{};
  SystemClock clock_;
  SystemRng rng_;
  ExitCode code_ = ExitCode::Done;
  std::thread thread_;
};

protocol::Request request(RequestKind kind) {
  protocol::Request r;
  r.kind = kind;
  if (kind != RequestKind::Spec) r.source = protocol::Endpoint{"waiting", {}};
  if (kind == RequestKind::Run) r.destination = protocol::Endpoint{"waiting", {}};
  r.run.job = "j";
  return r;
}

const protocol::RunResult& result(const std::vector<protocol::Event>& events) {
  return std::get<protocol::RunResult>(events.back());
}

TEST(SessionTest, SpecListsTheConnectors) {
  Session s;
  s.send(protocol::encode(request(RequestKind::Spec)));
  const auto events = s.finish();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<protocol::Started>(events[0]));
  EXPECT_EQ(result(events).reply.at("connectors").at(0).at("name").as_string(), "waiting");
  EXPECT_EQ(s.code(), ExitCode::Done);
}

TEST(SessionTest, ACheckThatFailsSaysWhy) {
  Session s;
  protocol::Request r = request(RequestKind::Check);
  r.source.reset();
  r.destination = protocol::Endpoint{"waiting", {}};
  s.send(protocol::encode(r));
  const auto events = s.finish();
  EXPECT_FALSE(result(events).reply.at("ok").as_bool());
  EXPECT_EQ(result(events).error_kind, "permission");
}

TEST(SessionTest, AnUnknownConnectorIsNamed) {
  Session s;
  protocol::Request r = request(RequestKind::Check);
  r.source->type = "oracle";
  s.send(protocol::encode(r));
  const auto events = s.finish();
  EXPECT_EQ(s.code(), ExitCode::Configuration);
  EXPECT_NE(result(events).error->find("oracle"), std::string::npos);
}

TEST(SessionTest, BadRequestsGetAResult) {
  for (const char* line : {"garbage", "{}", R"({"type":"request","kind":"run"})"}) {
    Session s;
    s.send(line);
    const auto events = s.finish();
    ASSERT_EQ(events.size(), 1U) << line;
    EXPECT_EQ(s.code(), ExitCode::Configuration) << line;
  }
  Session silent;
  silent.end_of_file();
  EXPECT_EQ(silent.finish().size(), 1U);
}

TEST(SessionTest, ACancelStopsTheRun) {
  Session s;
  s.send(protocol::encode(request(RequestKind::Run)));
  s.send(R"({"type":"from the future"})");
  s.send(protocol::encode(protocol::Control{protocol::LeaseRenewed{BootInstant(Millis(1))}}));
  s.send(protocol::encode(protocol::Control{protocol::CancelRequested{}}));
  const auto events = s.finish();
  EXPECT_EQ(s.code(), ExitCode::Cancelled);
  EXPECT_EQ(result(events).error_kind, "cancelled");
}

// Seen here: `discover` of 150 files with 1,900 long-named columns ended with `started` alone and
// exit code 0.
TEST(SessionTest, AnAnswerThatIsTooLongIsAnErrorThatSaysSo) {
  Session s;
  protocol::Request r = request(RequestKind::Discover);
  r.source->type = "wide";
  s.send(protocol::encode(r));
  const auto events = s.finish();
  EXPECT_EQ(s.code(), ExitCode::Failed);
  EXPECT_EQ(result(events).code, ExitCode::Failed);
  EXPECT_EQ(result(events).error_kind, "internal");
  EXPECT_NE(result(events).error.value_or("").find("20.0 MiB"), std::string::npos)
      << result(events).error.value_or("");
  EXPECT_TRUE(result(events).reply.is_null());
}

// Seen here: the process never ended when its parent had sent a part of a line.
TEST(SessionTest, AHalfWrittenLineDoesNotKeepTheProcess) {
  Session s;
  protocol::Request r = request(RequestKind::Check);
  r.source->type = "wide";
  s.send(protocol::encode(r));
  s.wait_until_read();
  s.send_part(R"({"type":"ca)");
  s.wait_until_read();
  WideSource::release.release();
  EXPECT_EQ(result(s.finish()).reply.at("ok").as_bool(), true);
}

TEST(SessionTest, TheParentsEndStopsTheRun) {
  Session s;
  s.send(protocol::encode(request(RequestKind::Run)));
  s.end_of_file();
  s.finish();
  EXPECT_EQ(s.code(), ExitCode::Cancelled);
}

class ManualClock final : public Clock {
 public:
  Instant now() const override { return from_ms(0); }
  BootInstant boot_now() const override { return BootInstant(Millis(ms_++)); }

 private:
  mutable std::atomic<std::int64_t> ms_ = 1000;  // a millisecond passes with each look
};

TEST(LeaseGuardTest, ALostLeasePausesTheCommitUntilItIsRenewed) {
  const ManualClock clock;
  LeaseGuard lease(clock, BootInstant(Millis(500)), Millis(1'000'000));
  std::thread renewer([&] { lease.renew(BootInstant(Millis(1'000'000'000))); });
  EXPECT_TRUE(lease.before_commit());
  renewer.join();
}

TEST(LeaseGuardTest, PatienceEnds) {
  const ManualClock clock;
  LeaseGuard lease(clock, BootInstant(Millis(500)), Millis(2));
  const Status s = lease.before_commit();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::Fenced);
}

TEST(LeaseGuardTest, ACancelWinsOverALostLease) {
  const ManualClock clock;
  LeaseGuard lease(clock, BootInstant(Millis(500)), Millis(1'000'000));
  std::thread canceller([&] { lease.cancel("enough"); });
  const Status s = lease.before_commit();
  canceller.join();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::Cancelled);
  EXPECT_TRUE(lease.stop_token().stop_requested());
}

TEST(LeaseGuardTest, WithoutALeaseThereIsNothingToLose) {
  const ManualClock clock;
  LeaseGuard lease(clock, std::nullopt, Millis(0));
  EXPECT_TRUE(lease.before_commit());
}

TEST(BatchQueueTest, BoundsWhatLiesBetween) {
  BatchQueue queue(2, 100);
  std::atomic<int> pushed = 0;
  std::thread producer([&] {
    for (int i = 0; i < 50; ++i) {
      ReadBatch b;
      b.bytes = i;
      ASSERT_TRUE(queue.push(std::move(b), 60));  // two never fit together
      ++pushed;
    }
    queue.finish({});
  });
  for (int i = 0; i < 50; ++i) {
    const auto b = queue.pop();
    ASSERT_TRUE(b && *b);
    EXPECT_EQ((*b)->bytes, i);
    EXPECT_LE(pushed, i + 2);
  }
  EXPECT_FALSE(*queue.pop());
  producer.join();
}

TEST(BatchQueueTest, AnErrorComesAfterTheBatchesBeforeIt) {
  BatchQueue queue(4, 100);
  ASSERT_TRUE(queue.push({}, 1));
  queue.finish(fail(Code::Unavailable, "gone"));
  EXPECT_TRUE(*queue.pop());
  EXPECT_EQ(queue.pop().error().code, Code::Unavailable);
}

TEST(BatchQueueTest, AConsumerThatLeavesFreesTheProducer) {
  BatchQueue queue(1, 100);
  ASSERT_TRUE(queue.push({}, 1));
  std::thread consumer([&] { queue.leave(); });
  EXPECT_FALSE(queue.push({}, 1));
  consumer.join();
}

}  // namespace
}  // namespace tidegate::engine
