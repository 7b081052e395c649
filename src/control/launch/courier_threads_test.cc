// Children of spawners that have tables of descriptors of their own.
#include "control/launch/courier.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "control/launch/child_host.h"

namespace tidegate::launch {
namespace {

// Seen here: a child that came while others were being received was lost, its run never ended.
TEST(Launch, EveryOneOfManyConcurrentLaunchesEnds) {
  ChildHost host("/bin/true");
  ASSERT_TRUE(host.start());
  constexpr int kThreads = 4, kEach = 3000, kInFlight = 2;
  std::mutex mutex;
  std::condition_variable changed;
  int ended = 0;
  std::vector<std::jthread> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return i * kThreads - ended < kInFlight * kThreads; });
        }
        host.launch({}, "x", [&](LaunchId, const std::variant<protocol::Event, Exit>& what) {
          if (!std::holds_alternative<Exit>(what)) return;
          const std::lock_guard lock(mutex);
          ++ended;
          changed.notify_all();
        });
      }
    });
  }
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::minutes(2), [&] {
    return ended == kThreads * kEach;
  })) << ended;
}

TEST(Courier, AChildOfAnotherTableOfDescriptorsIsHeardHere) {
  Courier courier;
  ASSERT_TRUE(courier.open());
  std::thread spawner([&] {
    own_descriptors({courier.outgoing()});
    EXPECT_EQ(fcntl(courier.incoming(), F_GETFD), -1) << "the other end is not in this table";
    auto child = spawn({.argv = {"/bin/sh", "-c", "echo hello"}, .env = {}});
    ASSERT_TRUE(child);
    EXPECT_TRUE(courier.send(LaunchId{7}, *child));
  });
  spawner.join();
  const auto delivery = courier.receive();
  ASSERT_TRUE(delivery && delivery->child);
  EXPECT_EQ(delivery->id, LaunchId{7});
  pollfd ended{delivery->child->pidfd.get(), POLLIN, 0};
  ASSERT_EQ(poll(&ended, 1, 60'000), 1);
  char text[16] = {};
  EXPECT_EQ(read(delivery->child->out.get(), text, sizeof text), 6);
  EXPECT_TRUE(reap(*delivery->child));
  EXPECT_FALSE(courier.receive());
}

// It could not be watched: it must neither live on nor stay as a zombie.
TEST(Courier, AChildThatThereIsNoRoomForIsEndedAndReaped) {
  Courier courier;
  ASSERT_TRUE(courier.open());
  pid_t pid = -1;
  {
    auto child = spawn({.argv = {"/bin/sleep", "1000"}, .env = {}});
    ASSERT_TRUE(child);
    pid = child->pid;
    ASSERT_TRUE(courier.send(LaunchId{7}, *child));
  }
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const UniqueFd lowest(open("/dev/null", O_RDONLY | O_CLOEXEC));
  rlimit none = limit;
  none.rlim_cur = static_cast<rlim_t>(lowest.get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto delivery = courier.receive();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_TRUE(delivery);
  ASSERT_FALSE(delivery->child);
  EXPECT_EQ(delivery->child.error().code, Code::Unavailable);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace tidegate::launch
