// Four processes claim and finish on one file: every run is executed exactly once, under its own
// fence, and never two of a job at a time.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <set>

#include "control/store/sqlite/sqlite_store.h"
#include "tests/crash/scratch.h"
#include "tests/crash/store_script.h"

namespace tidegate::crash {
namespace {

using store::contract::must;

constexpr int kProcesses = 4, kJobs = 50, kSlots = 40;

void fill(const std::string& path) {
  const SystemClock clock;
  auto store = must(store::open_sqlite_store({.path = path}, clock));
  const auto ws = must(store->find_workspace("default")).id;
  for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
    model::Connection c;
    c.id = ConnectionId(kind == model::ConnectionKind::Source ? "src" : "dst");
    c.workspace = ws;
    c.kind = kind;
    c.name = "c";
    must(store->create_connection(c, {}));
  }
  const auto lease = *must(store->acquire_leader(OwnerId("leader"), Millis(60'000)));
  for (int j = 0; j < kJobs; ++j) {
    model::SyncJob job;
    job.id = JobId("job-" + std::to_string(j));
    job.workspace = ws;
    job.spec.name = job.id.str();
    job.spec.source_id = ConnectionId("src");
    job.spec.destination_id = ConnectionId("dst");
    job.next_slot = script_start();
    must(store->create_job(job, {}));
    store::PlanStep step{
        .job = job.id, .expected_revision = 1, .expected_next_slot = job.next_slot};
    for (int s = 0; s < kSlots; ++s) {
      step.runs.push_back({RunId(job.id.str() + "-" + std::to_string(s)),
                           script_start() + Seconds(s), model::Trigger::Schedule, script_start()});
    }
    ASSERT_EQ(must(store->apply_plan(lease, {&step, 1})), std::vector{store::PlanResult::Applied});
  }
}

// Prints every run it executed.
[[noreturn]] void work(const std::string& path, int self, int out) {
  try {
    const SystemClock clock;
    auto store = must(store::open_sqlite_store({.path = path}, clock));
    const OwnerId owner("worker-" + std::to_string(self));
    for (;;) {
      const auto claimed = must(store->claim_runs({.owner = owner, .max = 7})).runs;
      std::vector<store::AttemptEnd> ends;
      std::string said;
      for (const auto& c : claimed) {
        ends.push_back(store::contract::end_of(c, model::RunState::Succeeded));
        said += c.run.id.str() + "\n";
      }
      if (write(out, said.data(), said.size()) < 0) _exit(3);
      for (const auto& s : must(store->finish_attempts(ends))) {
        if (!s) _exit(4);
      }
      if (!claimed.empty()) continue;
      // Nothing to start: either all is done, or another one's run has to end first.
      if (must(store->list_runs({.state = model::RunState::Queued})).total == 0) break;
      sched_yield();
    }
    store.reset();
    _exit(0);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "worker: %s\n", e.what());
    _exit(2);
  }
}

TEST(ClaimRace, FourProcessesExecuteEachRunOnce) {
  const Scratch scratch;
  fill(scratch.store());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (int i = 0; i < kProcesses; ++i) {
    if (fork() == 0) {
      close(ends[0]);
      work(scratch.store(), i, ends[1]);
    }
  }
  close(ends[1]);
  std::multiset<std::string> executed;
  FILE* in = fdopen(ends[0], "r");
  char line[100];
  while (std::fgets(line, sizeof line, in) != nullptr) executed.insert(line);
  std::fclose(in);
  for (int i = 0; i < kProcesses; ++i) {
    int status = 0;
    wait(&status);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_EQ(executed.size(), std::size_t{kJobs * kSlots});
  EXPECT_EQ(std::set<std::string>(executed.begin(), executed.end()).size(), executed.size());

  const SystemClock clock;
  auto store = must(store::open_sqlite_store({.path = scratch.store()}, clock));
  EXPECT_EQ(must(store->list_runs({.state = model::RunState::Succeeded})).total, kJobs * kSlots);
  std::set<std::string> owners;
  for (int j = 0; j < kJobs; ++j) {
    std::set<Fence> fences;
    store::RunQuery query{.job = JobId("job-" + std::to_string(j))};
    query.page.limit = 1000;
    for (const auto& run : must(store->list_runs(query)).items) {
      EXPECT_EQ(run.attempt, 1);
      EXPECT_TRUE(fences.insert(run.fence).second);
      owners.insert(run.attempts.at(0).owner.str());
    }
  }
  EXPECT_GT(owners.size(), 1u) << "a race needs more than one";
}

}  // namespace
}  // namespace tidegate::crash
