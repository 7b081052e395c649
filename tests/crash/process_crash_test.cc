// kill -9, and power cuts that lose what was not synced, at every write and sync of SQLite's files:
// what was acknowledged is there, nothing is half there, and the work can be finished.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "control/store/sqlite/sqlite_store.h"
#include "tests/crash/crash_vfs.h"
#include "tests/crash/scratch.h"
#include "tests/crash/store_script.h"

namespace tidegate::crash {
namespace {

using store::contract::ManualClock;
using store::contract::must;

struct Outcome {
  Acknowledged told;
  std::int64_t points = 0;  // of a run to the end
  bool killed = false;
};

// The child: runs the script and says on the pipe what was acknowledged.
[[noreturn]] void play(const std::string& path, const CrashPlan& plan, int pipe) {
  install_crash_vfs(plan);
  const auto say = [&](const std::string& line) {
    const std::string text = line + "\n";
    if (write(pipe, text.data(), text.size()) < 0) _exit(3);
  };
  try {
    ManualClock clock(script_start());
    auto store = must(store::open_sqlite_store({.path = path, .boot_id = "boot-1"}, clock));
    Script({.store = [&]() -> store::Store& { return *store; }, .acknowledge = say}, clock).run();
    store.reset();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "script: %s\n", e.what());
    _exit(2);
  }
  say("points - " + std::to_string(crash_points()));
  _exit(0);
}

Outcome run_child(const std::string& path, const CrashPlan& plan) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    play(path, plan, ends[1]);
  }
  close(ends[1]);
  Outcome outcome;
  FILE* in = fdopen(ends[0], "r");
  char line[200];
  while (std::fgets(line, sizeof line, in) != nullptr) {
    long long points = 0;
    if (std::sscanf(line, "points - %lld", &points) == 1) outcome.points = points;
    outcome.told.add(line);
  }
  std::fclose(in);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  EXPECT_TRUE(outcome.killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
  return outcome;
}

void check_after_crash(const std::string& path, const Outcome& outcome) {
  ManualClock clock(script_start());
  auto store = must(store::open_sqlite_store({.path = path, .boot_id = "boot-1"}, clock));
  check_invariants(*store, outcome.told);
  clock.advance(std::chrono::hours(2));
  check_fences_grow(*store, outcome.told);
  Script script({.store = [&]() -> store::Store& { return *store; }}, clock);
  script.drain();
  check_invariants(*store, outcome.told);
  EXPECT_EQ(must(store->list_runs({.state = model::RunState::Queued})).total, 0);
  EXPECT_EQ(must(store->list_runs({.state = model::RunState::Running})).total, 0);
}

void crash_everywhere(Loss loss, std::int64_t tries) {
  std::int64_t points = 0;
  {
    const Scratch scratch;
    points = run_child(scratch.store(), {}).points;
  }
  ASSERT_GT(points, 200);
  const std::int64_t step = std::max<std::int64_t>(1, points / tries);
  std::int64_t bit = 0;
  for (std::int64_t n = 1; n <= points; n += step) {
    SCOPED_TRACE(testing::Message() << "crash at write " << n << " of " << points);
    const Scratch scratch;
    const Outcome outcome = run_child(scratch.store(), {.at = n, .loss = loss});
    bit += outcome.killed ? 1 : 0;
    // The index of the WAL is memory: after a power cut there is none.
    if (loss != Loss::None) std::filesystem::remove(scratch.store() + "-shm");
    check_after_crash(scratch.store(), outcome);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GE(bit, tries / 2) << "crashes must happen";
}

TEST(ProcessCrash, KillAtEveryFewWrites) { crash_everywhere(Loss::None, 45); }
TEST(ProcessCrash, PowerCutLosesNothingAcknowledged) { crash_everywhere(Loss::Unsynced, 45); }
TEST(ProcessCrash, PowerCutThatKeptSomeWrites) { crash_everywhere(Loss::Tail, 25); }

}  // namespace
}  // namespace tidegate::crash
