// What opening a store does to files, and what a bad one gets.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "control/store/contract/contract.h"
#include "control/store/sqlite/sqlite_store.h"

namespace tidegate::store {
namespace {

namespace fs = std::filesystem;
using contract::code_of;
using contract::ManualClock;
using contract::must;
using testing::AllOf;
using testing::HasSubstr;

class SqliteOpen : public testing::Test {
 protected:
  SqliteOpen() {
    std::string pattern = (fs::temp_directory_path() / "tidegate-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/store.db";
  }
  ~SqliteOpen() override { fs::remove_all(folder_); }

  Result<std::unique_ptr<Store>> open(const std::string& boot = "boot-1") {
    return open_sqlite_store({.path = path_, .boot_id = boot}, clock_);
  }
  void sql(const std::string& script) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, script.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_close(db);
  }
  std::string content() {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Bounds the size of files of this process, as a full disk does; 0: no bound.
  static void bound_files(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  static unsigned mode(const std::string& path) {
    struct stat st{};
    EXPECT_EQ(stat(path.c_str(), &st), 0) << path;
    return st.st_mode & 07777;
  }

  ManualClock clock_{from_ms(1'767'225'600'000)};
  std::string folder_, path_;
};

TEST_F(SqliteOpen, CreatesPrivateFilesInPrivateFolders) {
  path_ = folder_ + "/a/b/store.db";
  const auto store = must(open());
  must(store->create_workspace({.id = WorkspaceId("w"), .name = "w"}, {}));
  EXPECT_EQ(mode(folder_ + "/a"), 0700u);
  EXPECT_EQ(mode(folder_ + "/a/b"), 0700u);
  EXPECT_EQ(mode(path_), 0600u);
  EXPECT_EQ(mode(path_ + "-wal"), 0600u);
  EXPECT_EQ(mode(path_ + "-shm"), 0600u);
  EXPECT_EQ(must(store->list_workspaces()).at(0).name, "default");
}

TEST_F(SqliteOpen, KeepsWhatWasWritten) {
  {
    must(must(open())->create_workspace({.id = WorkspaceId("w"), .name = "w"}, {}));
  }
  EXPECT_EQ(must(must(open())->list_workspaces()).size(), 2u);
}

TEST_F(SqliteOpen, ANewerSchemaIsRefusedUntouched) {
  {
    (void)must(open());
  }
  sql("INSERT INTO schema_migrations VALUES (99, 'future', 0)");
  const std::string before = content();
  const auto refused = open();
  ASSERT_EQ(code_of(refused), Code::Invalid);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr(path_), HasSubstr("99"), HasSubstr("newer")));
  EXPECT_EQ(content(), before);
}

TEST_F(SqliteOpen, AnotherProgramsDatabaseIsRefusedUntouched) {
  sql("CREATE TABLE invoices (id INTEGER)");
  const std::string before = content();
  const auto refused = open();
  ASSERT_EQ(code_of(refused), Code::Invalid);
  EXPECT_EQ(refused.error().reason, "not_a_store");
  EXPECT_EQ(content(), before);
}

TEST_F(SqliteOpen, WhatIsNoDatabaseIsRefusedUntouched) {
  const std::string text(5000, 'x');
  std::ofstream(path_) << text;
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "not_a_database");
  EXPECT_THAT(refused.error().message, HasSubstr(path_));
  EXPECT_EQ(content(), text);
}

TEST_F(SqliteOpen, AFolderIsNoStore) {
  path_ = folder_;
  EXPECT_EQ(code_of(open()), Code::Invalid);
}

TEST_F(SqliteOpen, AFolderThatCannotBeMadeIsNamed) {
  std::ofstream(folder_ + "/file") << "x";
  path_ = folder_ + "/file/store.db";
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr(folder_ + "/file"));
}

TEST_F(SqliteOpen, ADamagedStoreSaysSoWithTheRemedy) {
  {
    const auto store = must(open());
    for (int i = 0; i < 200; ++i) {
      const std::string name = "workspace-" + std::to_string(i);
      must(store->create_workspace({.id = WorkspaceId(name), .name = name}, {}));
    }
  }
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    const std::string noise(static_cast<std::size_t>(fs::file_size(path_)) - 4096, '\x5a');
    file << noise;
  }
  auto opened = open();
  const Error error = opened ? (*opened)->list_workspaces().error() : opened.error();
  EXPECT_EQ(error.reason, "store_corrupt");
  EXPECT_THAT(error.message, AllOf(HasSubstr("damaged"), HasSubstr("backup")));
}

TEST_F(SqliteOpen, AFullDiskIsUnavailableAndLosesNothing) {
  const auto store = must(open());
  model::Connection big;
  big.id = ConnectionId("c");
  big.workspace = WorkspaceId("01900000-0000-7000-8000-000000000001");
  big.name = "big";
  big.config["blob"] = std::string(1'000'000, 'x');
  bound_files(2 << 20);
  Code seen = Code{255};
  for (int i = 0; i < 10 && seen == Code{255}; ++i) {
    big.id = ConnectionId("c" + std::to_string(i));
    big.name = big.id.str();
    seen = code_of(store->create_connection(big, {}));
  }
  bound_files(0);
  EXPECT_EQ(seen, Code::Unavailable);
  must(store->create_connection(big, {}));
}

// A reboot while runs were under way: their leases mean nothing any more.
TEST_F(SqliteOpen, ARestoreThatARebootInterruptedStaysOne) {
  Instant began;
  {
    const auto store = must(open("boot-1"));
    began = must(store->begin_restore("a"));
  }
  clock_.advance(std::chrono::hours(1));
  const auto store = must(open("boot-2"));
  EXPECT_FALSE(must(store->acquire_leader(OwnerId("hasty"), Millis(8000))));
  EXPECT_EQ(must(store->begin_restore("a")), began);
  must(store->end_restore("a"));
  EXPECT_TRUE(must(store->acquire_leader(OwnerId("next"), Millis(8000))));
}

TEST_F(SqliteOpen, LeasesOfAnotherBootAreExpired) {
  {
    ASSERT_TRUE(must(must(open("boot-1"))->acquire_leader(OwnerId("a"), Millis(8000))));
  }
  const auto store = must(open("boot-2"));
  EXPECT_TRUE(must(store->acquire_leader(OwnerId("b"), Millis(8000))));
}

// Rows that the writing connection has changed, as it commits.
std::atomic<std::int64_t> rows_written = 0;
int count_rows(sqlite3* db, const char**, const sqlite3_api_routines*) {
  const auto on_commit = [](void* of) {
    rows_written = sqlite3_total_changes64(static_cast<sqlite3*>(of));
    return 0;
  };
  sqlite3_commit_hook(db, on_commit, db);
  return SQLITE_OK;
}

void add_connections(Store& store, const WorkspaceId& ws) {
  model::Connection c{.id = ConnectionId("src"), .workspace = ws};
  c.kind = model::ConnectionKind::Source;
  c.name = "c";
  c.type = "file";
  must(store.create_connection(c, {}));
  c.id = ConnectionId("dst");
  c.kind = model::ConnectionKind::Destination;
  must(store.create_connection(c, {}));
}

model::SyncJob due_job(const WorkspaceId& ws, const char* name, Instant now) {
  model::SyncJob job;
  job.id = JobId(name);
  job.workspace = ws;
  job.spec.name = name;
  job.spec.source_id = ConnectionId("src");
  job.spec.destination_id = ConnectionId("dst");
  job.spec.schedule = model::AtSchedule{now};
  job.created_at = job.updated_at = now;
  job.next_slot = now;
  return job;
}

// Each run costs its claim and its end two rows: the run's and the job's. A change counter that
// every transaction raises, too, was one too many.
TEST_F(SqliteOpen, ARunCostsFourWrites) {
  auto* const extension = reinterpret_cast<void (*)()>(count_rows);
  ASSERT_EQ(sqlite3_auto_extension(extension), SQLITE_OK);
  const auto store = must(open());
  sqlite3_cancel_auto_extension(extension);
  const WorkspaceId ws = must(store->find_workspace("default")).id;
  const auto lease = must(store->acquire_leader(OwnerId("leader"), Millis(8'000)));
  add_connections(*store, ws);
  std::vector<PlanStep> steps;
  for (const char* name : {"a", "b", "c"}) {
    const model::SyncJob job = due_job(ws, name, clock_.now());
    must(store->create_job(job, {}));
    steps.push_back(
        {.job = job.id,
         .expected_revision = 1,
         .expected_next_slot = job.next_slot,
         .runs = {{RunId(name), clock_.now(), model::Trigger::Schedule, clock_.now()}}});
  }
  must(store->apply_plan(*lease, steps));

  const std::int64_t before = rows_written;
  std::vector<AttemptEnd> ends;
  for (const auto& run : must(store->claim_runs({.owner = OwnerId("w"), .max = 10})).runs) {
    ends.push_back(
        {.held = contract::held(run), .next = model::RunState::Succeeded, .outcome = "succeeded"});
  }
  ASSERT_EQ(ends.size(), 3U);
  for (const Status& ended : must(store->finish_attempts(ends))) EXPECT_TRUE(ended);
  EXPECT_EQ(rows_written - before, 3 * 4);
}

// Instructions of SQLite's virtual machine, of every statement that has ended.
std::atomic<std::int64_t> machine_steps = 0;
int count_steps(sqlite3* db, const char**, const sqlite3_api_routines*) {
  const auto on_end = [](unsigned, void*, void* statement, void*) {
    machine_steps +=
        sqlite3_stmt_status(static_cast<sqlite3_stmt*>(statement), SQLITE_STMTSTATUS_VM_STEP, 1);
    return 0;
  };
  sqlite3_trace_v2(db, SQLITE_TRACE_PROFILE, on_end, nullptr);
  return SQLITE_OK;
}

// A store that counts its steps, with two jobs: `busy` gets slots, `quiet` has none.
class SqliteSteps : public SqliteOpen {
 protected:
  SqliteSteps() {
    EXPECT_EQ(sqlite3_auto_extension(extension()), SQLITE_OK);
    store_ = must(open());
    ws_ = must(store_->find_workspace("default")).id;
    add_connections(*store_, ws_);
    for (const JobId& id : {busy_, quiet_}) {
      model::SyncJob job = due_job(ws_, id.str().c_str(), clock_.now());
      job.spec.overlap = model::Overlap::Allow;
      must(store_->create_job(job, {}));
    }
  }
  ~SqliteSteps() override { sqlite3_cancel_auto_extension(extension()); }

  // `add` puts each of `count` slots, from now on backwards, into the step of the busy job.
  template <class Add>
  void plan(int count, const Add& add) {
    PlanStep step{.job = busy_, .expected_revision = 1, .expected_next_slot = clock_.now()};
    for (int i = 0; i < count; ++i) add(step, i, clock_.now() - Millis(i));
    const auto lease = must(store_->acquire_leader(OwnerId("leader"), Millis(8'000)));
    must(store_->apply_plan(*lease, std::vector{step}));
  }
  template <class Call>
  static std::int64_t steps_of(const Call& call) {
    machine_steps = 0;
    call();
    return machine_steps;
  }

  const JobId busy_{"busy"}, quiet_{"quiet"};
  std::unique_ptr<Store> store_;
  WorkspaceId ws_;

 private:
  static void (*extension())() { return reinterpret_cast<void (*)()>(count_steps); }
};

// Seen as a job's status that took 30 ms beside 20,000 runs of other jobs: it read them all.
TEST_F(SqliteSteps, TheRunsOfAJobCostNothingForThoseOfOthers) {
  plan(500, [](PlanStep& step, int i, Instant slot) {
    step.runs.push_back({RunId("run " + std::to_string(i)), slot, model::Trigger::Schedule, slot});
  });
  RunQuery query{.workspace = ws_, .job = quiet_};
  for (const auto state :
       {std::optional<model::RunState>(), std::optional(model::RunState::Queued)}) {
    query.state = state;
    const auto steps = steps_of([&] { EXPECT_EQ(must(store_->list_runs(query)).total, 0); });
    EXPECT_GT(steps, 0);
    EXPECT_LT(steps, 500);
  }
}

// Every look counted the slot records of all jobs, and read the ids of all runs that are too many.
TEST_F(SqliteSteps, TheLookForWhatIsTooManyCostsNothingForTheRest) {
  plan(1000, [&](PlanStep& step, int i, Instant slot) {
    if (i % 2 == 0) {
      step.runs.push_back({RunId(fmt::format("{:03}", i)), slot, model::Trigger::Schedule, slot});
    } else {
      step.records.insert(step.records.begin(), {.job = busy_, .first = slot, .last = slot});
    }
  });
  std::vector<AttemptEnd> ends;
  for (const auto& run : must(store_->claim_runs({.owner = OwnerId("w"), .max = 1000})).runs) {
    ends.push_back(contract::end_of(run, model::RunState::Succeeded));
  }
  ASSERT_EQ(ends.size(), 500U);
  must(store_->finish_attempts(ends));

  Retention retention{.runs_per_job = 500, .batch = 10};
  const auto pruned = [&] { return must(store_->prune(retention, clock_.now())); };
  EXPECT_LT(steps_of([&] { EXPECT_EQ(pruned(), 0U); }), 1'000);
  retention.runs_per_job = 400;
  EXPECT_LT(steps_of([&] { EXPECT_EQ(pruned(), 10U); }), 5'000);
  while (pruned() > 0) {
  }
  EXPECT_EQ(must(store_->list_runs({.workspace = ws_})).total, 400);
  EXPECT_EQ(must(store_->list_slots({.workspace = ws_, .job = busy_})).total, 800);
}

TEST_F(SqliteOpen, AMigrationCountsTheSlotRecordsThatAreThere) {
  JobId id("job");
  {
    const auto store = must(open());
    const WorkspaceId ws = must(store->find_workspace("default")).id;
    add_connections(*store, ws);
    must(store->create_job(due_job(ws, "job", clock_.now()), {}));
    const auto lease = must(store->acquire_leader(OwnerId("leader"), Millis(8'000)));
    PlanStep step{.job = id, .expected_revision = 1, .expected_next_slot = clock_.now()};
    for (int i = 0; i < 5; ++i) {
      const Instant slot = clock_.now() + Millis(i);
      step.records.push_back(
          {.job = id, .first = slot, .last = slot, .reason = i % 2 == 0 ? "paused" : "disabled"});
    }
    must(store->apply_plan(*lease, std::vector{step}));
  }
  sql("DROP TRIGGER slot_records_added; DROP TRIGGER slot_records_removed; ALTER TABLE sync_jobs "
      "DROP COLUMN records_kept; DELETE FROM schema_migrations WHERE version = 6");
  const auto store = must(open());
  EXPECT_EQ(must(store->prune({.runs_per_job = 2}, clock_.now())), 3U);
  EXPECT_EQ(must(store->prune({.runs_per_job = 2}, clock_.now())), 0U);
}

// Five hundred runs with logs of ten megabytes each were one transaction.
TEST_F(SqliteOpen, PruneIsBoundedInBytesToo) {
  const auto store = must(open());
  const WorkspaceId ws = must(store->find_workspace("default")).id;
  for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
    model::Connection c{.id = ConnectionId(kind == model::ConnectionKind::Source ? "src" : "dst"),
                        .workspace = ws};
    c.kind = kind;
    c.name = "c";
    must(store->create_connection(c, {}));
  }
  model::SyncJob job{.id = JobId("job"), .workspace = ws};
  job.spec.name = "job";
  job.spec.source_id = ConnectionId("src");
  job.spec.destination_id = ConnectionId("dst");
  must(store->create_job(job, {}));
  const model::RunLogLine line{.message = std::string(5 << 20, 'x')};
  for (const char* id : {"a", "b", "c"}) {
    must(store->trigger_run({.workspace = ws, .job = job.id, .run = RunId(id)}));
    const auto claimed = must(store->claim_runs({.owner = OwnerId("w")})).runs.at(0);
    must(store->append_log(contract::held(claimed), {&line, 1}, 10 << 20));
    const auto end = contract::end_of(claimed, model::RunState::Succeeded);
    must(must(store->finish_attempts({&end, 1})).at(0));
  }
  clock_.advance(Millis(std::int64_t{31} * 86'400'000));
  for (int left = 3; left > 0; --left) {
    EXPECT_EQ(must(store->list_runs({.workspace = ws})).total, left);
    EXPECT_EQ(must(store->prune({}, clock_.now())), 1U);
  }
  EXPECT_EQ(must(store->prune({}, clock_.now())), 0U);
}

// Operators query these names with plain SQL.
TEST_F(SqliteOpen, TablesAndViewsOfOperators) {
  {
    (void)must(open());
  }
  for (const char* name : {"sync_jobs", "sync_runs", "worker_locks", "job_execution_locks", "slots",
                           "run_logs", "data_sources", "destinations", "workspaces", "api_tokens",
                           "workers", "readable_jobs", "readable_runs"}) {
    sql(std::string("SELECT count(*) FROM ") + name);
  }
  sql("SELECT name, last_run_at, last_error FROM sync_jobs; SELECT job_id, scheduled_for, attempt, "
      "created_at FROM sync_runs; SELECT job_id, run_id, owner, fence, expires_at FROM "
      "job_execution_locks; SELECT id, owner, fence, acquired_at, renewed_at, expires_at FROM "
      "worker_locks");
}

}  // namespace
}  // namespace tidegate::store
