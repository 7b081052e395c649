// A process frozen (SIGSTOP) inside a transaction keeps SQLite's write lock: nothing would ever be
// planned or written again. A standby proves who it is and ends it; a stranger is left alone.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/store/sqlite/sqlite_store.h"
#include "tests/crash/crash_vfs.h"
#include "tests/crash/scratch.h"
#include "tests/crash/store_script.h"

namespace tidegate::crash {
namespace {

using store::contract::code_of;
using store::contract::ManualClock;
using store::contract::must;
using store::contract::reason_of;

model::Workspace workspace(const std::string& name) {
  return {.id = WorkspaceId(name), .name = name, .revision = 1, .created_at = script_start()};
}

template <class F>
pid_t child(F body) {
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  return pid;
}

TEST(FrozenHolder, IsEndedAndNothingOfItsTransactionIsThere) {
  const Scratch scratch;
  ManualClock clock(script_start());
  const store::SqliteOptions options{.path = scratch.store(), .lock_patience = Millis(300)};
  const pid_t frozen = child([&] {
    install_crash_vfs({});
    auto store = must(store::open_sqlite_store(options, clock));
    must(store->create_workspace(workspace("before"), {}));
    freeze_at_next_commit();
    (void)store->create_workspace(workspace("frozen"), {});
  });
  int status = 0;
  ASSERT_EQ(waitpid(frozen, &status, WUNTRACED), frozen);
  ASSERT_TRUE(WIFSTOPPED(status));

  auto store = must(store::open_sqlite_store(options, clock));
  EXPECT_TRUE(store->find_workspace("before")) << "readers are not held up";
  EXPECT_TRUE(store->create_workspace(workspace("after"), {}));
  ASSERT_EQ(waitpid(frozen, &status, 0), frozen);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(store->find_workspace("after"));
  EXPECT_EQ(code_of(store->find_workspace("frozen")), Code::NotFound);
}

TEST(FrozenHolder, AStrangerIsNamedAndLeftAlone) {
  const Scratch scratch;
  ManualClock clock(script_start());
  {
    (void)must(store::open_sqlite_store({.path = scratch.store()}, clock));
  }
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t stranger = child([&] {
    sqlite3* db = nullptr;
    sqlite3_open(scratch.store().c_str(), &db);
    sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  });
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);

  auto store = must(
      store::open_sqlite_store({.path = scratch.store(), .lock_patience = Millis(200)}, clock));
  const auto refused = store->create_workspace(workspace("w"), {});
  ASSERT_EQ(code_of(refused), Code::Unavailable);
  EXPECT_EQ(refused.error().reason, "store_locked");
  EXPECT_THAT(refused.error().message, testing::HasSubstr("process " + std::to_string(stranger)));
  EXPECT_TRUE(store->find_workspace("default"));
  EXPECT_EQ(reason_of(store->ping()), "store_locked") << "/readyz names it too";
  EXPECT_EQ(kill(stranger, 0), 0) << "it lives";

  kill(stranger, SIGKILL);
  int status = 0;
  waitpid(stranger, &status, 0);
  EXPECT_TRUE(store->create_workspace(workspace("w"), {}));
  EXPECT_TRUE(store->ping());
  close(ready[0]);
  close(ready[1]);
}

}  // namespace
}  // namespace tidegate::crash
