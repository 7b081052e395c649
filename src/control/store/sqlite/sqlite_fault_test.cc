// What happens to the store's files, or to its readers, while it is open.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "control/store/contract/contract.h"
#include "control/store/sqlite/sqlite_store.h"

namespace tidegate::store {
namespace {

namespace fs = std::filesystem;
using contract::code_of;
using contract::ManualClock;
using contract::must;
using contract::reason_of;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::chrono::seconds kBound{60};  // on a loaded machine

class SqliteFault : public testing::Test {
 protected:
  SqliteFault() {
    std::string pattern = (fs::temp_directory_path() / "tidegate-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/store.db";
  }
  ~SqliteFault() override {
    bound_files(0);
    fs::remove_all(folder_);
  }

  Result<std::unique_ptr<Store>> open() {
    return open_sqlite_store({.path = path_, .boot_id = "boot-1"}, clock_);
  }
  static Result<Created<WorkspaceId>> write(Store& store, const std::string& name) {
    return store.create_workspace({.id = WorkspaceId(name), .name = name}, {});
  }
  // In the workspace `default`, due now.
  WorkspaceId make_jobs(Store& store, std::initializer_list<std::string> ids) const {
    const WorkspaceId ws = must(store.find_workspace("default")).id;
    model::Connection c{.id = ConnectionId("src"), .workspace = ws};
    c.kind = model::ConnectionKind::Source;
    c.name = "c";
    must(store.create_connection(c, {}));
    c.id = ConnectionId("dst");
    c.kind = model::ConnectionKind::Destination;
    must(store.create_connection(c, {}));
    for (const std::string& id : ids) {
      model::SyncJob job{.id = JobId(id), .workspace = ws};
      job.spec.name = id;
      job.spec.source_id = ConnectionId("src");
      job.spec.destination_id = ConnectionId("dst");
      job.next_slot = clock_.now();
      must(store.create_job(job, {}));
    }
    return ws;
  }
  // As damage, or a newer version of the server, leaves it.
  void spoil(const std::string& sql) const {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    EXPECT_GT(sqlite3_changes(db), 0) << sql;
    sqlite3_close(db);
  }
  // Bounds the size of files of this process, as a full disk does; 0: no bound.
  static void bound_files(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }

  ManualClock clock_{from_ms(1'767'225'600'000)};
  std::string folder_, path_;
};

// Seen here: `rm -r` of the data folder; the server went on, acknowledged and lost, and a second
// one led beside it.
TEST_F(SqliteFault, ADeletedStoreRefusesWritesForGoodAndSaysWhy) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const auto store = must(open());
    must(write(*store, std::string("before") + suffix));
    const auto lease = must(store->acquire_leader(OwnerId("leader"), Millis(8'000)));
    fs::rename(path_ + suffix, folder_ + "/away");

    const auto refused = write(*store, "lost");
    ASSERT_EQ(code_of(refused), Code::Unavailable) << suffix;
    EXPECT_EQ(refused.error().reason, "store_replaced");
    EXPECT_THAT(refused.error().message, AllOf(HasSubstr(path_), HasSubstr("start it again")));
    EXPECT_EQ(reason_of(store->ping()), "store_replaced") << suffix;
    EXPECT_EQ(reason_of(store->renew_leader(*lease)), "store_replaced") << suffix;

    // Somebody else may have written to it meanwhile.
    fs::rename(folder_ + "/away", path_ + suffix);
    EXPECT_EQ(reason_of(write(*store, "back")), "store_replaced") << suffix;
  }
  EXPECT_EQ(must(must(open())->list_workspaces()).size(), 4U) << "default and the three before";
}

TEST_F(SqliteFault, AStoreReplacedByAnotherIsNotMixedWithIt) {
  const auto first = must(open());
  must(write(*first, "first"));
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(path_ + suffix);
  const auto second = must(open());
  must(write(*second, "second"));
  EXPECT_EQ(reason_of(write(*first, "lost")), "store_replaced");
  EXPECT_EQ(reason_of(first->list_workspaces()), "store_replaced");
  EXPECT_EQ(must(second->list_workspaces()).size(), 2U);
  EXPECT_TRUE(second->ping());
}

TEST_F(SqliteFault, WhileWritesFailPingSaysWhyAndItRecoversByItself) {
  const auto store = must(open());
  EXPECT_TRUE(store->ping());
  model::Connection big;
  big.workspace = WorkspaceId("01900000-0000-7000-8000-000000000001");
  big.id = ConnectionId("big");
  big.name = "big";
  big.config["blob"] = std::string(1'000'000, 'x');
  bound_files(4'096);
  EXPECT_EQ(code_of(store->create_connection(big, {})), Code::Unavailable);
  const Status failing = store->ping();
  EXPECT_EQ(code_of(failing), Code::Unavailable);
  bound_files(0);
  EXPECT_TRUE(store->ping());
  must(store->create_connection(big, {}));
  EXPECT_TRUE(store->ping());
}

// Stops the statements of lists until it is opened: `lower` occurs in them only.
class Gate {
 public:
  static void wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [] { return open_; });
  }
  static bool wait_for(int readers) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kBound, [&] { return waiting_ >= readers; });
  }
  static void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  static inline std::mutex mutex_;
  static inline std::condition_variable changed_;
  static inline int waiting_ = 0;
  static inline bool open_ = false;
};
int install_gate(sqlite3* db, const char**, const sqlite3_api_routines*) {
  const auto slow_lower = [](sqlite3_context* context, int, sqlite3_value** values) {
    Gate::wait();
    sqlite3_result_value(context, values[0]);
  };
  return sqlite3_create_function(db, "lower", 1, SQLITE_UTF8, nullptr, slow_lower, nullptr,
                                 nullptr);
}

TEST_F(SqliteFault, OneUnreadableRowHoldsUpNoOther) {
  const auto store = must(open());
  const WorkspaceId ws = make_jobs(*store, {"bad spec", "bad job", "good"});
  spoil("UPDATE job_revisions SET spec = '{' WHERE job_id = 'bad spec'");
  spoil("UPDATE sync_jobs SET success_durations = '{' WHERE id = 'bad job'");
  const auto due = must(store->due_jobs(clock_.now(), 10));
  ASSERT_EQ(due.jobs.size(), 1U);
  EXPECT_EQ(due.jobs[0].job.id, JobId("good"));

  // The unreadable ones were first: they must not take the place of the one that can be claimed.
  for (const char* id : {"bad spec", "bad job", "good"}) {
    must(store->trigger_run({.workspace = ws, .job = JobId(id), .run = RunId(id)}));
  }
  const ClaimParams one{.owner = OwnerId("w"), .max = 1, .lease_ttl = Millis(1'000)};
  const auto claimed = must(store->claim_runs(one)).runs;
  ASSERT_EQ(claimed.size(), 1U);
  EXPECT_EQ(claimed[0].run.id, RunId("good"));
  EXPECT_EQ(must(store->claim_runs(one)).runs.size(), 0U);

  spoil(
      "UPDATE sync_runs SET state = 'running', lease_until = 0, lease_boot_id = 'boot-1', detail "
      "= '{' WHERE id = 'bad spec'");
  clock_.advance(Millis(1'001));
  const auto expired = must(store->expired_runs(10));
  ASSERT_EQ(expired.size(), 1U);
  EXPECT_EQ(expired[0].run.id, RunId("good"));
}

// Three long lists stopped every commit: the poller waited for a reader while it held commits up.
TEST_F(SqliteFault, SlowListsHoldUpNeitherCommitsNorPlanningNorSingleThings) {
  auto* const extension = reinterpret_cast<void (*)()>(install_gate);
  ASSERT_EQ(sqlite3_auto_extension(extension), SQLITE_OK);
  const auto store = must(open());
  const WorkspaceId ws = make_jobs(*store, {"job"});

  std::vector<std::jthread> readers;
  for (int i = 0; i < 5; ++i) {
    readers.emplace_back([&] { (void)store->list_jobs({.workspace = ws, .name_contains = "o"}); });
  }
  EXPECT_TRUE(Gate::wait_for(3));
  auto others = std::async(std::launch::async, [&] {
    const auto watching = store->watch([](const Change&) {});
    for (int i = 0; i < 3; ++i) must(write(*store, "w" + std::to_string(i)));
    must(store->get_job(ws, JobId("job")));
    must(store->find_token("hash"));
    must(store->due_jobs(clock_.now(), 10));
    must(store->claim_runs({.owner = OwnerId("w"), .max = 1}));
    must(store->expired_runs(10));
  });
  EXPECT_EQ(others.wait_for(kBound), std::future_status::ready) << "behind the lists";
  Gate::open();
  others.get();
  readers.clear();
  sqlite3_cancel_auto_extension(extension);
}

}  // namespace
}  // namespace tidegate::store
