// Symptom: an attempt was frozen in its very first transaction, before its claim was committed, and
// every later attempt failed with "database is locked".

#include "engine/connectors/sqlite/lock_holder.h"

#include <arrow/type.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/process.h"
#include "engine/connectors/sqlite/db.h"
#include "engine/connectors/sqlite/sqlite.h"
#include "engine/contract/fixture.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr const char* kHold = "TIDEGATE_TEST_HOLD";  // the database to lock
constexpr const char* kHow = "TIDEGATE_TEST_HOW";    // the statements that lock it

// The holder is this program started again under an attempt's command line, which GoogleTest's main
// must not see: it locks, freezes and never returns.
[[gnu::constructor]] void hold_when_told() {
  const char* path = getenv(kHold);
  if (path == nullptr) return;
  sqlite3* db = nullptr;
  const bool held = sqlite3_open(path, &db) == SQLITE_OK &&
                    sqlite3_exec(db, getenv(kHow), nullptr, nullptr, nullptr) == SQLITE_OK;
  if (held) raise(SIGSTOP);
  _exit(held ? 0 : 1);
}

struct Holder {
  pid_t pid = 0;
  bool frozen = false;

  Holder(const std::string& path, const std::string& how, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "tidegate-sync");
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    pid = fork();
    if (pid == 0) {
      setenv(kHold, path.c_str(), 1);
      setenv(kHow, how.c_str(), 1);
      execv("/proc/self/exe", argv.data());
      _exit(2);
    }
    int status = 0;
    frozen = waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
  }
  bool ended() const {
    int status = 0;
    return waitpid(pid, &status, WNOHANG) == pid && WIFSIGNALED(status);
  }
  ~Holder() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
};

std::vector<std::string> attempt(const std::string& job, const std::string& fence) {
  return {"--job", job, "--run", "r", "--fence", fence};
}

boost::json::object out_db(const std::string& folder) { return {{"path", folder + "/out.db"}}; }

class FrozenHolder : public testing::Test {
 protected:
  contract::Bench bench_{{.name = "sqlite",
                          .connector = &sqlite_connector,
                          .config = &out_db,
                          .reader = &sqlite_connector,
                          .reader_config = &out_db}};
  std::string path() const { return bench_.folder + "/out.db"; }
};

class FrozenAnywhere : public FrozenHolder, public testing::WithParamInterface<const char*> {};

TEST_P(FrozenAnywhere, TheNextAttemptGetsPastIt) {
  bench_.spec.fence = Fence(2);
  auto& entity = bench_.entity();
  entity.schema = arrow::schema({arrow::field("id", arrow::int64())});
  entity.batches = {contract::batch_of(entity.schema, "[[1], [2]]")};
  const Holder holder(path(), GetParam(), attempt(bench_.spec.job, "1"));
  ASSERT_TRUE(holder.frozen);
  const auto result = bench_.run();
  EXPECT_EQ(result.outcome, protocol::EntityOutcome::Succeeded) << result.error.value_or("");
  EXPECT_TRUE(holder.ended());
  EXPECT_EQ(bench_.stored(), bench_.expected());
}

INSTANTIATE_TEST_SUITE_P(
    Sqlite, FrozenAnywhere,
    testing::Values("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; CREATE TABLE x (a)",
                    "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE",
                    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
                    "CREATE TABLE x (a)"));

TEST_F(FrozenHolder, NobodyElseIsEnded) {
  const std::string job = bench_.spec.job;
  for (const auto& arguments :
       {attempt(job, "2"), attempt(job, "3"), attempt("another", "1"),
        std::vector<std::string>{"--job", job}, std::vector<std::string>{}}) {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const Holder holder(path(), "BEGIN IMMEDIATE", arguments);
    ASSERT_TRUE(holder.frozen);
    const auto db = Db::open(path(), Open::ReadWrite, {});
    ASSERT_TRUE(db);
    SystemClock clock;
    SystemRng rng;
    const PathPolicy paths;
    end_older_attempt(path(), job, 2, {.clock = clock, .rng = rng, .paths = paths, .stop = {}});
    EXPECT_FALSE(holder.ended());
    EXPECT_EQ(lock_holder(path(), 0x40000001, 1), holder.pid);
  }
}

}  // namespace
}  // namespace tidegate::engine::sqlite
