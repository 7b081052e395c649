#include "base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace tidegate {
namespace {

TEST(Process, IsNamedForEver) {
  const ProcessIdentity me = this_process();
  EXPECT_TRUE(is_alive(me));
  EXPECT_EQ(ProcessIdentity::decode(me.encode()), me);
  ProcessIdentity other = me;
  ++other.start_ticks;
  EXPECT_FALSE(is_alive(other)) << "the pid was reused";
  other = me;
  other.boot_id = "another boot";
  EXPECT_FALSE(is_alive(other));
  for (const char* bad : {"", "a:b", "boot:x:1", "boot:-1:1", "boot:1:"}) {
    EXPECT_FALSE(ProcessIdentity::decode(bad)) << bad;
  }
}

TEST(Process, AFrozenProcessIsEndedAndAnotherOneIsNot) {
  const pid_t pid = fork();
  if (pid == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  ProcessIdentity child = this_process();
  child.pid = pid;
  child.start_ticks = 1;  // not its start: another process of that pid
  EXPECT_TRUE(end_process(child));
  EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0) << "the wrong process was ended";
  kill(pid, SIGKILL);
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(end_process(child)) << "gone already";
}

TEST(Process, SaysItsArguments) {
  const auto mine = command_line(getpid());
  ASSERT_FALSE(mine.empty());
  EXPECT_NE(mine.front().find("base_test"), std::string::npos) << mine.front();
  EXPECT_TRUE(command_line(-1).empty());
}

TEST(Process, TheHolderOfALockIsFound) {
  std::string path = testing::TempDir() + "lockXXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  EXPECT_EQ(lock_holder(path, 0, 100), std::nullopt);
  const pid_t pid = fork();
  if (pid == 0) {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_start = 7;
    lock.l_len = 1;
    _exit(fcntl(fd, F_SETLK, &lock) == 0 ? raise(SIGSTOP) : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(lock_holder(path, 7, 1), pid);
  EXPECT_EQ(lock_holder(path, 0, 100), pid);
  EXPECT_EQ(lock_holder(path, 8, 100), std::nullopt);
  EXPECT_EQ(lock_holder(path + "x", 7, 1), std::nullopt) << "not open here";
  const auto start = process_start(pid);
  ASSERT_TRUE(start);
  EXPECT_TRUE(end_process({this_process().boot_id, pid, *start}));
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(lock_holder(path, 7, 1), std::nullopt);
  close(fd);
  unlink(path.c_str());
}

}  // namespace
}  // namespace tidegate
