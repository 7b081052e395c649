#include "engine/core/older_session.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/process.h"

namespace tidegate::engine {
namespace {

// A process that is frozen for good, as a writer that was stopped with the destination in its
// hands.
class Frozen {
 public:
  Frozen() : pid_(fork()) {
    if (pid_ == 0) {
      raise(SIGSTOP);
      _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
    EXPECT_TRUE(WIFSTOPPED(status));
    identity_ = {this_process().boot_id, pid_, process_start(pid_).value_or(0)};
  }
  ~Frozen() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

  const ProcessIdentity& identity() const { return identity_; }
  bool alive() const { return is_alive(identity_); }

 private:
  pid_t pid_;
  ProcessIdentity identity_;
};

class OlderSession : public testing::Test {
 protected:
  Status end(const std::string& session, std::int64_t stored, std::int64_t mine, bool serverless) {
    return end_older_session(
        {session, stored}, mine, serverless, "this file",
        {.clock = clock_,
         .rng = rng_,
         .paths = paths_,
         .stop = {},
         .log = [this](LogLevel, const std::string& line) { log_.push_back(line); }});
  }

  SystemClock clock_;
  SystemRng rng_;
  PathPolicy paths_;
  std::vector<std::string> log_;
};

TEST_F(OlderSession, AFrozenOneIsEndedAndTheLogSaysSo) {
  const Frozen older;
  const std::string session = older.identity().encode() + "/3";
  ASSERT_TRUE(older.alive());
  EXPECT_TRUE(end(session, 1, 2, false));
  EXPECT_FALSE(older.alive());
  ASSERT_EQ(log_.size(), 1U);
  EXPECT_NE(log_[0].find(std::to_string(older.identity().pid)), std::string::npos) << log_[0];
}

TEST_F(OlderSession, OneThatIsNoOlderIsLeftToTheClaim) {
  const Frozen other;
  for (const std::int64_t stored : {2, 3}) {
    EXPECT_TRUE(end(other.identity().encode() + "/1", stored, 2, false));
    EXPECT_TRUE(other.alive()) << stored;
  }
}

TEST_F(OlderSession, WithoutAServerItIsNamedAndLeft) {
  const Frozen other;
  const Status status = end(other.identity().encode() + "/1", 1, 2, true);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::Unavailable);
  EXPECT_NE(status.error().message.find("into this file"), std::string::npos);
  EXPECT_TRUE(other.alive());
}

TEST_F(OlderSession, NobodyElseIsEnded) {
  const Frozen other;
  ProcessIdentity another_boot = other.identity(), another_start = other.identity();
  another_boot.boot_id += "x";
  another_start.start_ticks += 1;
  for (const std::string& session : {another_boot.encode(), another_start.encode(),
                                     writer_session(1), std::string("no session"), std::string()}) {
    EXPECT_TRUE(end(session, 1, 2, false)) << session;
    EXPECT_TRUE(other.alive()) << session;
  }
}

}  // namespace
}  // namespace tidegate::engine
