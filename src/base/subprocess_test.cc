#include "base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

namespace tidegate {
namespace {

Child start(std::string script, std::vector<std::string> env = {"PATH=/usr/bin:/bin"}) {
  auto child = spawn({{"/bin/sh", "-c", std::move(script)}, std::move(env)});
  EXPECT_TRUE(child) << describe(child.error());
  return child ? std::move(*child) : Child{};
}

// Everything until end of file.
std::string read_all(const UniqueFd& fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    pollfd ready{fd.get(), POLLIN, 0};
    if (poll(&ready, 1, -1) < 0) continue;
    const ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

ExitStatus wait_for(const Child& child) {
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  while (poll(&ended, 1, -1) < 0) continue;
  auto status = reap(child);
  EXPECT_TRUE(status);
  return status.value_or(ExitStatus{-1, -1});
}

TEST(Subprocess, PipesCarryRequestEventsAndOutput) {
  Child child = start("cat <&3 >&4; echo out; echo err >&2; exit 7");
  ASSERT_EQ(write(child.request.get(), "hello\n", 6), 6);
  child.request.reset();
  EXPECT_EQ(read_all(child.events), "hello\n");
  EXPECT_EQ(read_all(child.out), "out\n");
  EXPECT_EQ(read_all(child.err), "err\n");
  const ExitStatus status = wait_for(child);
  EXPECT_EQ(status.code, 7);
  EXPECT_EQ(status.signal, 0);
}

TEST(Subprocess, ARequestLiesInThePipeBeforeTheChildBegins) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{1} << 20}) {
    const std::string request(size, 'x');
    auto child = spawn({{"/bin/sh", "-c", "wc -c <&3"}, {"PATH=/usr/bin:/bin"}, request});
    ASSERT_TRUE(child);
    EXPECT_GE(child->request_written, 100U);
    EXPECT_EQ(child->request_written == size, size == 100);  // a pipe does not hold a megabyte
    const std::size_t written = child->request_written;
    child->request.reset();
    EXPECT_EQ(std::stoul(read_all(child->out)), written);
    EXPECT_EQ(wait_for(*child).code, 0);
  }
}

TEST(Subprocess, StdinIsEmptyAndNoOtherDescriptorIsInherited) {
  const UniqueFd leaky(open("/dev/null", O_RDONLY));  // a library that forgot O_CLOEXEC
  // No pipeline: the shell would hold its pipe while ls looks. The last one is ls's own, of the
  // folder.
  Child child = start("cat; exec ls /proc/self/fd");
  child.request.reset();
  EXPECT_EQ(read_all(child.out), "0\n1\n2\n3\n4\n5\n");
  wait_for(child);
}

TEST(Subprocess, EnvironmentHoldsOnlyAllowedNames) {
  setenv("TIDEGATE_ADMIN_TOKEN", "canary-secret", 1);
  setenv("DATABASE_URL", "postgres://user:canary-secret@host/db", 1);
  Child child = start("tr '\\0' '\\n' < /proc/$$/environ", scrubbed_environment());
  const std::string seen = read_all(child.out);
  EXPECT_NE(seen.find("PATH="), std::string::npos);
  EXPECT_EQ(seen.find("canary-secret"), std::string::npos);
  EXPECT_EQ(seen.find("TIDEGATE"), std::string::npos);
  wait_for(child);
  unsetenv("TIDEGATE_ADMIN_TOKEN");
  unsetenv("DATABASE_URL");
}

TEST(Subprocess, SignalReachesTheWholeGroupAndIsReported) {
  Child child = start("sleep 1000 & echo $!; wait");
  pollfd ready{child.out.get(), POLLIN, 0};
  ASSERT_EQ(poll(&ready, 1, -1), 1);
  signal_group(child, SIGTERM);
  EXPECT_EQ(wait_for(child).signal, SIGTERM);
  // End of file: the grandchild, which held the pipe too, is gone as well.
  EXPECT_FALSE(read_all(child.out).empty());
}

TEST(Subprocess, ReapingEndsWhatTheChildLeftBehind) {
  Child child = start("sleep 1000 & exit 0");
  EXPECT_EQ(wait_for(child).code, 0);
  EXPECT_EQ(read_all(child.out), "");
}

TEST(Subprocess, ReapOfARunningChildSaysSo) {
  Child child = start("cat <&3");
  auto status = reap(child);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::Unavailable);
  child.request.reset();
  EXPECT_EQ(wait_for(child).code, 0);
}

TEST(Subprocess, MissingAndUnexecutableProgramsAreNamed) {
  auto missing = spawn({{"/nonexistent/tidegate-sync"}, {}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::NotFound);
  EXPECT_NE(missing.error().message.find("/nonexistent/tidegate-sync"), std::string::npos);
  auto folder = spawn({{"/etc/passwd"}, {}});
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, Code::Forbidden);
}

TEST(Subprocess, SignalsAreAtTheirDefaultsInTheChild) {
  // A server ignores SIGPIPE and blocks signals in its threads; a child that inherited that could
  // not be terminated.
  signal(SIGPIPE, SIG_IGN);
  sigset_t term, before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, &before);
  // exec: a shell blocks signals itself while it forks.
  Child child = start("exec sed -n 's/^Sig\\(Blk\\|Ign\\):\\t//p' /proc/self/status");
  const std::string masks = read_all(child.out);
  ASSERT_EQ(masks.size(), 34U) << masks;
  // Signals 32 and 33 belong to the C library.
  constexpr std::uint64_t kUsers = 0x7fffffff;
  EXPECT_EQ(std::stoull(masks.substr(0, 16), nullptr, 16) & kUsers, 0U) << "blocked";
  EXPECT_EQ(std::stoull(masks.substr(17, 16), nullptr, 16) & kUsers, 0U) << "ignored";
  wait_for(child);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  signal(SIGPIPE, SIG_DFL);
}

}  // namespace
}  // namespace tidegate
