// A failure at every store write, before it and after it with the reply lost, with and without a
// restart: the invariants hold and the work gets done.

#include <gtest/gtest.h>

#include "control/store/memory/memory_store.h"
#include "control/store/sqlite/sqlite_store.h"
#include "tests/crash/faulty_store.h"
#include "tests/crash/scratch.h"
#include "tests/crash/store_script.h"

namespace tidegate::crash {
namespace {

using contract::ManualClock;
using contract::must;

struct Case {
  ManualClock clock{script_start()};
  std::unique_ptr<Store> inner;
  FaultyStore faulty;
  Acknowledged told;
  int faults = 0;

  void play(const std::function<void()>& restart) {
    Script script({.store = [this]() -> Store& { return faulty; },
                   .unavailable =
                       [&] {
                         ++faults;
                         restart();
                       },
                   .acknowledge = [this](const std::string& line) { told.add(line); }},
                  clock);
    script.run();
    check_invariants(*inner, told);
    script.drain();
    check_invariants(*inner, told);
    EXPECT_EQ(must(inner->list_runs({.state = model::RunState::Queued})).total, 0);
    EXPECT_EQ(must(inner->list_runs({.state = model::RunState::Running})).total, 0);
  }
};

std::int64_t writes_of_the_script() {
  Case c;
  c.inner = make_memory_store(c.clock);
  c.faulty.set_inner(*c.inner);
  c.play([] {});
  return c.faulty.writes();
}

TEST(Failpoints, MemoryStoreAtEveryWrite) {
  const std::int64_t writes = writes_of_the_script();
  ASSERT_GT(writes, 60);
  for (const Fault fault : {Fault::Before, Fault::After}) {
    for (std::int64_t n = 1; n <= writes; ++n) {
      SCOPED_TRACE(testing::Message()
                   << (fault == Fault::After ? "after" : "before") << " write " << n);
      Case c;
      c.inner = make_memory_store(c.clock);
      c.faulty.set_inner(*c.inner);
      c.faulty.fail_write(n, fault);
      c.play([] {});
      EXPECT_EQ(c.faults, 1) << "the fault must bite";
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(Failpoints, SqliteStoreAtEveryWriteWithARestart) {
  const std::int64_t writes = writes_of_the_script();
  for (const Fault fault : {Fault::Before, Fault::After}) {
    for (std::int64_t n = 1; n <= writes; ++n) {
      SCOPED_TRACE(testing::Message()
                   << (fault == Fault::After ? "after" : "before") << " write " << n);
      const Scratch scratch;
      Case c;
      const auto open = [&] {
        c.inner.reset();
        c.inner = must(open_sqlite_store({.path = scratch.store(), .boot_id = "boot-1"}, c.clock));
        c.faulty.set_inner(*c.inner);
      };
      open();
      c.faulty.fail_write(n, fault);
      c.play(open);
      EXPECT_EQ(c.faults, 1) << "the fault must bite";
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace tidegate::crash
