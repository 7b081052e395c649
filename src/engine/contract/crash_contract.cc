// promises.md 3: whatever fails or dies at any step, the next attempt ends with destination =
// source.

#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "engine/contract/fixture.h"

namespace tidegate::engine::contract {

int link_crash_suite() { return 1; }

void CrashContract::SetUp() {
  DestinationContract::SetUp();
  auto& e = bench_->entity();
  e.schema =
      arrow::schema({arrow::field("id", arrow::int64()), arrow::field("at", arrow::int64())});
  e.ordered = true;
  e.batches = {batch_of(e.schema, "[[8, null], [1, 10], [2, 20]]"),
               batch_of(e.schema, "[[3, 30], [4, 30]]")};
}

namespace {

using protocol::EntityOutcome;
using protocol::SyncMode;

constexpr Call kCalls[] = {Call::Open,  Call::Begin,  Call::Write,
                           Call::Flush, Call::Commit, Call::Finish};

struct Case {
  SyncMode mode;
  Call call;
  Moment moment;
  int nth;  // the how many-th such call
};

std::vector<Case> cases(const DestinationUnderTest& d) {
  std::vector<Case> out;
  for (const SyncMode mode :
       {SyncMode::Full, SyncMode::FullAppend, SyncMode::Incremental, SyncMode::IncrementalAppend}) {
    if (mode == SyncMode::Incremental && !d.merges) continue;
    if ((mode == SyncMode::FullAppend || mode == SyncMode::IncrementalAppend) && !d.appends)
      continue;
    for (const Call call : kCalls) {
      for (const Moment moment : {Moment::Before, Moment::After}) {
        // Incremental modes commit twice with the checkpoint below.
        const int times =
            call == Call::Write || call == Call::Flush || call == Call::Commit ? 2 : 1;
        for (int nth = 1; nth <= times; ++nth) out.push_back({mode, call, moment, nth});
      }
    }
  }
  return out;
}

std::string describe_case(const Case& c) {
  return fmt::format("{} {} {} #{}", protocol::kSyncModeNames[static_cast<std::size_t>(c.mode)],
                     c.moment == Moment::Before ? "before" : "after",
                     kCallNames[static_cast<std::size_t>(c.call)], c.nth);
}

// A first load, then more rows in the source, which the faulty attempt is to bring.
void prepare(Bench& bench, const Case& c, const ScriptedEntity& rows) {
  bench.entity() = rows;
  bench.checkpoint_rows = 1;
  bench.spec.mode = c.mode;
  bench.spec.entities["t"].cursor = "at";
  const bool no_keys = c.mode == SyncMode::Full && !bench.under_test.merges;
  if (!no_keys) bench.spec.entities["t"].primary_key = {"id"};
  ASSERT_EQ(bench.run().outcome, EntityOutcome::Succeeded);
  auto& e = bench.entity();
  if (c.mode == SyncMode::Full) {
    e.batches.erase(e.batches.begin());
  }
  e.batches.push_back(batch_of(e.schema, "[[5, 30], [6, 40]]"));
  e.batches.push_back(batch_of(e.schema, "[[7, 40]]"));
  bench.spec.run_id = RunId("run-2");
  bench.spec.fence = Fence(2);
}

// The rows of both loads for full_append, the source's rows otherwise.
std::vector<std::string> wanted(Bench& bench, const Case& c, const ScriptedEntity& first) {
  auto rows = bench.expected();
  if (c.mode == SyncMode::FullAppend) {
    for (auto& text : row_texts(first.batches, first.schema->field_names()))
      rows.push_back(std::move(text));
    std::ranges::sort(rows);
  }
  return rows;
}

Fault fault_at(const Case& c, std::function<Status()> what, int& hits) {
  return [c, what = std::move(what), seen = 0, &hits](Call call, Moment moment) mutable -> Status {
    if (call != c.call || moment != c.moment || ++seen != c.nth) return {};
    ++hits;
    return what();
  };
}

TEST_P(CrashContract, AFailedCallAtEveryStepLosesAndDoublesNothing) {
  int bitten = 0;
  for (const Case& c : cases(GetParam())) {
    SCOPED_TRACE(describe_case(c));
    Bench bench(GetParam());
    ASSERT_NO_FATAL_FAILURE(prepare(bench, c, bench_->entity()));
    int hits = 0;
    const auto real = bench.destination();
    FaultyDestination faulty(
        *real, fault_at(c, [] { return Status(fail(Code::Unavailable, "injected")); }, hits));
    const auto r = bench.run(faulty);
    bitten += hits;
    if (hits > 0 && c.call != Call::Finish) EXPECT_NE(r.outcome, EntityOutcome::Succeeded);
    bench.spec.fence = Fence(3);
    bench.spec.attempt = 2;
    const auto again = bench.run();
    EXPECT_EQ(again.outcome, EntityOutcome::Succeeded) << again.error.value_or("");
    EXPECT_EQ(bench.stored(), wanted(bench, c, bench_->entity()));
    // Symptom: a run that was retried behind its first commit had written 0 rows, by its record.
    if (is_incremental(c.mode)) EXPECT_EQ(again.rows_written, 3);
  }
  EXPECT_GT(bitten, 20) << "the faults must really happen";
}

std::vector<SyncMode> incremental_modes(const DestinationUnderTest& d) {
  std::vector<SyncMode> out;
  if (d.merges) out.push_back(SyncMode::Incremental);
  if (d.appends) out.push_back(SyncMode::IncrementalAppend);
  return out;
}

// Symptom: a first incremental load that was stopped kept nothing, and said it had written it.
TEST_P(CrashContract, AFirstLoadThatIsStoppedKeepsItsCheckpointsAndCountsOnlyThem) {
  for (const SyncMode mode : incremental_modes(GetParam())) {
    for (const bool cancel : {false, true}) {
      Bench bench(GetParam());
      bench.entity() = bench_->entity();
      auto& e = bench.entity();
      const auto committed = row_texts(e.batches, e.schema->field_names());
      e.batches.push_back(batch_of(e.schema, "[[5, 40], [6, 50]]"));
      bench.checkpoint_rows = 1;
      bench.spec.mode = mode;
      bench.spec.entities["t"] = {.cursor = "at", .primary_key = {"id"}};
      int hits = 0;
      const auto stop = [&]() -> Status {
        if (!cancel) return fail(Code::Unavailable, "injected");
        bench.lease->cancel("the run was cancelled");
        return {};
      };
      const auto real = bench.destination();
      FaultyDestination faulty(*real, fault_at({mode, Call::Write, Moment::Before, 3}, stop, hits));
      const auto r = bench.run(faulty);
      ASSERT_EQ(hits, 1);
      EXPECT_EQ(r.outcome, cancel ? EntityOutcome::Cancelled : EntityOutcome::Failed);
      EXPECT_EQ(r.rows_written, 5) << r.error.value_or("");
      if (cancel) EXPECT_NE(r.error->find("5 rows were committed"), std::string::npos) << *r.error;
      EXPECT_EQ(bench.stored(), committed);
      const SystemClock clock;
      bench.lease = std::make_unique<LeaseGuard>(clock, std::nullopt, Millis(0));
      bench.spec.fence = Fence(2);
      if (cancel) {
        bench.spec.run_id = RunId("another");
      } else {
        bench.spec.attempt = 2;
      }
      const auto again = bench.run();
      EXPECT_EQ(again.outcome, EntityOutcome::Succeeded) << again.error.value_or("");
      EXPECT_EQ(again.rows_written, cancel ? 2 : 7);
      EXPECT_EQ(bench.stored(), bench.expected());
    }
  }
}

TEST_P(CrashContract, ALoadThatFailsBeforeItsCommitHasWrittenNothing) {
  int hits = 0;
  const auto real = bench_->destination();
  FaultyDestination faulty(*real,
                           fault_at(
                               {SyncMode::Full, Call::Commit, Moment::Before, 1},
                               [] { return Status(fail(Code::Unavailable, "injected")); }, hits));
  const auto r = bench_->run(faulty);
  EXPECT_EQ(hits, 1);
  EXPECT_EQ(r.rows_read, 5);
  EXPECT_EQ(r.rows_written, 0);
}

// Symptom: a destination that was removed in mid-run took the rows with it, and the run succeeded.
TEST_P(CrashContract, ADestinationThatIsMovedAwayInMidRunFailsTheRun) {
  auto modes = incremental_modes(GetParam());
  modes.push_back(SyncMode::Full);
  for (const SyncMode mode : modes) {
    for (const auto loss :
         {DestinationUnderTest::Loss::Moved, DestinationUnderTest::Loss::Removed}) {
      Bench bench(GetParam());
      const Case c{mode, Call::Flush, Moment::After, 1};
      ASSERT_NO_FATAL_FAILURE(prepare(bench, c, bench_->entity()));
      int hits = 0;
      {
        const auto real = bench.destination();
        FaultyDestination faulty(*real, fault_at(
                                            c,
                                            [&]() -> Status {
                                              GetParam().lose(bench.folder, loss);
                                              return {};
                                            },
                                            hits));
        const auto r = bench.run(faulty);
        ASSERT_EQ(hits, 1);
        EXPECT_EQ(r.outcome, EntityOutcome::Failed);
        EXPECT_EQ(r.error_kind, "transient") << r.error.value_or("");
        EXPECT_EQ(r.rows_written, 0);
      }
      bench.spec.fence = Fence(3);
      const auto again = bench.run();
      EXPECT_EQ(again.outcome, EntityOutcome::Succeeded) << again.error.value_or("");
      EXPECT_EQ(bench.stored(), bench.expected());
    }
  }
}

// Runs `attempt` in a process of its own and waits for its end.
int in_a_process(const std::function<void()>& attempt) {
  const pid_t pid = fork();
  if (pid == 0) {
    attempt();
    _exit(0);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

TEST_P(CrashContract, AKillAtEveryStepLosesAndDoublesNothing) {
  int killed = 0;
  for (const Case& c : cases(GetParam())) {
    SCOPED_TRACE(describe_case(c));
    Bench bench(GetParam());
    ASSERT_NO_FATAL_FAILURE(prepare(bench, c, bench_->entity()));
    const int status = in_a_process([&] {
      int hits = 0;
      const auto real = bench.destination();
      FaultyDestination faulty(*real, fault_at(
                                          c,
                                          [] {
                                            raise(SIGKILL);
                                            return Status();
                                          },
                                          hits));
      bench.run(faulty);
    });
    if (WIFSIGNALED(status)) ++killed;
    bench.spec.fence = Fence(3);
    bench.spec.attempt = 2;
    const auto again = bench.run();
    EXPECT_EQ(again.outcome, EntityOutcome::Succeeded) << again.error.value_or("");
    EXPECT_EQ(bench.stored(), wanted(bench, c, bench_->entity()));
  }
  EXPECT_GT(killed, 20) << "the kills must really happen";
}

// As `ps` shows the process of an attempt (protocol/arguments.h): some destinations know an older
// one by that alone. What /proc/PID/cmdline shows is this process's own memory (proc_pid_stat(5)).
void take_name_of_attempt(const protocol::RunSpec& run) {
  std::ifstream stat("/proc/self/stat");
  const std::string line((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(line.substr(line.rfind(')') + 2));
  std::vector<std::uintptr_t> numbers;  // from field 3, which is a letter
  for (std::string word; fields >> word;) numbers.push_back(strtoull(word.c_str(), nullptr, 10));
  const std::uintptr_t begin = numbers.at(48 - 3), end = numbers.at(49 - 3);
  const std::string before = fmt::format("tidegate-sync\n--job\n{}\n--run\n", run.job);
  const std::string behind = fmt::format("\n--fence\n{}\n", value(run.fence));
  ASSERT_GT(end - begin, before.size() + behind.size()) << "start the test by a longer path";
  // As long as it was: the name of the run does not count.
  std::string words =
      before + std::string(end - begin - before.size() - behind.size(), 'r') + behind;
  std::ranges::replace(words, '\n', '\0');
  std::memcpy(reinterpret_cast<void*>(begin), words.data(), words.size());  // NOLINT
}

// A worker frozen inside its transaction keeps the destination's lock for ever; the next attempt
// must get past it, and the frozen one must not write when it is continued.
TEST_P(CrashContract, AFrozenHolderIsEndedByTheNextAttempt) {
  for (const Call call : {Call::Write, Call::Flush}) {
    Bench bench(GetParam());
    const Case c{SyncMode::Full, call, Moment::After, 1};
    SCOPED_TRACE(describe_case(c));
    ASSERT_NO_FATAL_FAILURE(prepare(bench, c, bench_->entity()));
    const pid_t pid = fork();
    if (pid == 0) {
      take_name_of_attempt(bench.spec);
      int hits = 0;
      const auto real = bench.destination();
      FaultyDestination faulty(*real, fault_at(
                                          c,
                                          [] {
                                            raise(SIGSTOP);
                                            return Status();
                                          },
                                          hits));
      bench.run(faulty);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    ASSERT_TRUE(WIFSTOPPED(status));
    bench.spec.fence = Fence(3);
    bench.spec.attempt = 2;
    const auto again = bench.run();
    EXPECT_EQ(again.outcome, EntityOutcome::Succeeded) << again.error.value_or("");
    kill(pid, SIGCONT);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(bench.stored(), wanted(bench, c, bench_->entity()));
  }
}

}  // namespace
}  // namespace tidegate::engine::contract
