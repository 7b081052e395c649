// Connections that are cut, competitors, owners that freeze.
#include <gmock/gmock.h>

#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "control/store/postgres/attempts.h"
#include "control/store/postgres/pg_test_fixture.h"

namespace tidegate::store {
namespace {

using contract::code_of;
using contract::must;
using model::RunState;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using namespace std::chrono_literals;

class PostgresFault : public testing::Test {
 protected:
  PostgresFault() : store_(must(schema_.open())), console_(schema_.url()) {
    ws_ = must(store_->find_workspace("default")).id;
    for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
      add_connection(kind == model::ConnectionKind::Source ? "src" : "dst", kind);
    }
  }
  void add_connection(const std::string& id, model::ConnectionKind kind, std::string key = "") {
    model::Connection c{.id = ConnectionId(id), .workspace = ws_, .kind = kind, .name = id};
    c.exclusive_key = std::move(key);
    must(store_->create_connection(c, {}));
  }
  JobId add_job(const std::string& id, const std::string& destination = "dst") {
    model::SyncJob j;
    j.id = JobId(id);
    j.workspace = ws_;
    j.spec.name = id;
    j.spec.source_id = ConnectionId("src");
    j.spec.destination_id = ConnectionId(destination);
    return must(store_->create_job(j, {})).id;
  }
  void trigger(const JobId& job, const std::string& run) {
    must(store_->trigger_run({.workspace = ws_, .job = job, .run = RunId(run)}));
  }
  std::vector<ClaimedRun> claim(Store& store, const std::string& owner, std::size_t max = 10) {
    return must(store.claim_runs({.owner = OwnerId(owner), .max = max})).runs;
  }
  // A write that waits for a row of job "a", which somebody else holds.
  std::future<Status> blocked_write() {
    console_.run("BEGIN; SELECT 1 FROM sync_jobs WHERE id = 'a' FOR UPDATE");
    auto waiting = std::async(std::launch::async, [this]() -> Status {
      const auto done = store_->set_pause(ws_, JobId("a"), {}, model::Pause{}, {});
      return done ? Status() : fail(done.error());
    });
    EXPECT_TRUE(schema_.console.eventually(kWaiting));
    return waiting;
  }

  static constexpr const char* kWaiting =
      "EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name "
      "= "
      "'tidegate')";
  ScratchSchema schema_;
  std::unique_ptr<Store> store_;
  Console console_;
  WorkspaceId ws_;
};

TEST_F(PostgresFault, AConnectionCutInUseIsUnavailableThenAllGoesOn) {
  add_job("a");
  auto write = blocked_write();
  schema_.console.run(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
      "application_name = 'tidegate'");
  const Status cut = write.get();
  ASSERT_EQ(code_of(cut), Code::Unavailable);
  EXPECT_THAT(cut.error().message,
              AllOf(HasSubstr("127.0.0.1 port"), HasSubstr("database tidegate"),
                    Not(HasSubstr("tidegate-test"))));
  console_.run("ROLLBACK");
  EXPECT_TRUE(store_->set_pause(ws_, JobId("a"), {}, model::Pause{}, {}));
  EXPECT_EQ(must(store_->get_job(ws_, JobId("a"))).revision, 2) << "the cut one wrote nothing";
}

TEST_F(PostgresFault, IdleConnectionsThatTheServerClosedAreReplacedUnnoticed) {
  add_job("a");
  for (int i = 0; i < 3; ++i) {
    schema_.console.run(
        "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE "
        "application_name = 'tidegate'");
    EXPECT_TRUE(store_->get_job(ws_, JobId("a")));
  }
}

TEST_F(PostgresFault, AServerThatGoesAwayComesBack) {
  const std::string database = "d" + schema_.name();
  schema_.console.run("CREATE DATABASE " + database);
  std::string url = server_url();
  url.replace(url.rfind('/') + 1, std::string::npos, database);
  SystemRng rng;
  auto store = must(open_postgres_store({.url = Secret(url)}, rng));
  schema_.console.run("ALTER DATABASE " + database + " ALLOW_CONNECTIONS false");
  schema_.console.run(
      "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = '" + database +
      "'");
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(code_of(store->ping()), Code::Unavailable);
  EXPECT_THAT(store->ping().error().message, HasSubstr("database " + database));
  schema_.console.run("ALTER DATABASE " + database + " ALLOW_CONNECTIONS true");
  Status back = store->ping();
  for (const auto end = std::chrono::steady_clock::now() + 20s;
       !back && std::chrono::steady_clock::now() < end;) {
    back = store->ping();
  }
  EXPECT_TRUE(back);
  store.reset();
  schema_.console.run("DROP DATABASE " + database + " WITH (FORCE)");
}

// A later migration, by a newer server that is started beside this one, may change a column's type.
TEST_F(PostgresFault, StatementsPreparedBeforeAMigrationArePreparedAgain) {
  add_job("a");
  EXPECT_TRUE(store_->list_workspaces());
  for (const char* type : {"integer", "bigint"}) {
    console_.run(std::string("ALTER TABLE workspaces ALTER COLUMN revision TYPE ") + type);
    EXPECT_TRUE(store_->list_workspaces());
    console_.run(std::string("ALTER TABLE job_revisions ALTER COLUMN spec TYPE ") +
                 (type == std::string("bigint") ? "json USING spec::json" : "text"));
    EXPECT_TRUE(store_->set_pause(ws_, JobId("a"), {}, model::Pause{}, {}));
  }
}

// ---- transactions

// The run was there and its job had not moved, or the other way round.
TEST_F(PostgresFault, APlanIsWrittenWholeOrNotAtAll) {
  const JobId job = add_job("a");
  const auto lease = *must(store_->acquire_leader(OwnerId("l"), 8s));
  const PlanStep step{.job = job,
                      .expected_revision = 1,
                      .next_slot = must(store_->now()) + 1h,
                      .runs = {{RunId("r"), std::nullopt, model::Trigger::Manual, {}}}};
  console_.run(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
      "CREATE TRIGGER refuse BEFORE UPDATE OF next_slot ON sync_jobs FOR EACH ROW EXECUTE FUNCTION "
      "refuse()");
  EXPECT_EQ(code_of(store_->apply_plan(lease, {&step, 1})), Code::Internal);
  EXPECT_EQ(code_of(store_->get_run(ws_, RunId("r"))), Code::NotFound);
  console_.run("DROP TRIGGER refuse ON sync_jobs");
  EXPECT_THAT(must(store_->apply_plan(lease, {&step, 1})), ElementsAre(PlanResult::Applied));
}

TEST_F(PostgresFault, ANameTakenInTheSameMomentIsSeenByTheNextLook) {
  console_.run("BEGIN; INSERT INTO workspaces VALUES ('x', 'same', 1, now())");
  auto made = std::async(std::launch::async, [&] {
    return contract::reason_of(
        store_->create_workspace({.id = WorkspaceId("w"), .name = "same"}, {}));
  });
  EXPECT_TRUE(schema_.console.eventually(kWaiting));
  console_.run("COMMIT");
  EXPECT_EQ(made.get(), "name_taken");
}

// ---- owners

// A process that froze inside a transaction held its rows for as long as it was frozen.
TEST_F(PostgresFault, AHolderThatIsIdleInATransactionIsEnded) {
  add_job("a");
  Console frozen(schema_.url(), {.idle_in_transaction = Millis(300)});
  frozen.run("BEGIN; SELECT 1 FROM sync_jobs WHERE id = 'a' FOR UPDATE");
  EXPECT_TRUE(store_->set_pause(ws_, JobId("a"), {}, model::Pause{}, {}));
  EXPECT_ANY_THROW(frozen.run("COMMIT"));
}

TEST_F(PostgresFault, ALockedJobHoldsUpNoOtherAndIsLookedForAgainSoon) {
  trigger(add_job("a"), "ra");
  trigger(add_job("b"), "rb");
  console_.run("BEGIN; SELECT 1 FROM sync_jobs WHERE id = 'a' FOR UPDATE");
  const auto first = must(store_->claim_runs({.owner = OwnerId("w"), .max = 10}));
  ASSERT_THAT(first.runs, testing::SizeIs(1));
  EXPECT_EQ(first.runs[0].run.id, RunId("rb"));
  ASSERT_TRUE(first.next);
  EXPECT_LE(*first.next - must(store_->now()), Millis(100));
  console_.run("COMMIT");
  const auto second = must(store_->claim_runs({.owner = OwnerId("w"), .max = 10}));
  ASSERT_THAT(second.runs, testing::SizeIs(1));
  EXPECT_EQ(second.next, std::nullopt);
}

TEST_F(PostgresFault, ALeaderThatIsBeingReplacedCannotSlipItsPlanIn) {
  add_job("a");
  const auto lease = *must(store_->acquire_leader(OwnerId("old"), 8s));
  console_.run("BEGIN; UPDATE worker_locks SET owner = 'new', fence = fence + 1");
  auto planned = std::async(std::launch::async, [&] {
    const PlanStep step{.job = JobId("a"),
                        .expected_revision = 1,
                        .runs = {{RunId("r"), std::nullopt, model::Trigger::Manual, {}}}};
    return code_of(store_->apply_plan(lease, {&step, 1}));
  });
  EXPECT_TRUE(schema_.console.eventually(kWaiting));
  console_.run("COMMIT");
  EXPECT_EQ(planned.get(), Code::Fenced);
  EXPECT_EQ(code_of(store_->get_run(ws_, RunId("r"))), Code::NotFound);
}

TEST_F(PostgresFault, AnAttemptThatIsBeingTakenOverCannotSlipItsEndIn) {
  trigger(add_job("a"), "r");
  const auto run = claim(*store_, "old").at(0);
  console_.run("BEGIN; UPDATE job_execution_locks SET owner = 'new', fence = fence + 1");
  auto ended = std::async(std::launch::async, [&] {
    const AttemptEnd end = contract::end_of(run, RunState::Succeeded);
    return code_of(must(store_->finish_attempts({&end, 1})).at(0));
  });
  EXPECT_TRUE(schema_.console.eventually(kWaiting));
  console_.run("COMMIT");
  EXPECT_EQ(ended.get(), Code::Fenced);
  EXPECT_EQ(must(store_->get_run(ws_, run.run.id)).state, RunState::Running);
}

TEST_F(PostgresFault, OfManyEndsOneThatWasTakenOverIsRefusedAndTheOthersCountOnce) {
  std::vector<AttemptEnd> ends;
  for (const char* id : {"a", "b", "c"}) trigger(add_job(id), id);
  for (const auto& run : claim(*store_, "old")) {
    ends.push_back(contract::end_of(run, RunState::Succeeded));
  }
  console_.run(
      "UPDATE job_execution_locks SET owner = 'new', fence = fence + 1 WHERE run_id = 'b'");
  const auto results = must(store_->finish_attempts(ends));
  EXPECT_TRUE(results.at(0));
  EXPECT_EQ(code_of(results.at(1)), Code::Fenced);
  EXPECT_TRUE(results.at(2));
  EXPECT_EQ(must(store_->get_run(ws_, RunId("b"))).state, RunState::Running);
  EXPECT_EQ(must(store_->get_job(ws_, JobId("a"))).run_count, 1);
  EXPECT_EQ(must(store_->get_job(ws_, JobId("b"))).run_count, 0);
  EXPECT_EQ(must(store_->get_job(ws_, JobId("c"))).run_count, 1);
}

// Whoever waits for one job must not hold a later one: a plan may hold the first and want both.
TEST_F(PostgresFault, EndsLockTheirJobsInOrder) {
  trigger(add_job("a"), "1");
  trigger(add_job("b"), "2");
  std::vector<AttemptEnd> ends;
  for (const auto& run : claim(*store_, "w")) {
    ends.push_back(contract::end_of(run, RunState::Succeeded));
  }
  ends.at(1).committed = {{"e", contract::known(0, 1)}};
  console_.run("BEGIN; SELECT FROM sync_jobs WHERE id = 'a' FOR UPDATE");
  auto ended = std::async(std::launch::async, [&] { return must(store_->finish_attempts(ends)); });
  EXPECT_TRUE(schema_.console.eventually(kWaiting));
  console_.run("SELECT FROM sync_jobs WHERE id = 'b' FOR UPDATE NOWAIT; COMMIT");
  for (const Status& status : ended.get()) EXPECT_TRUE(status);
}

// The cancel came after its worker had last asked for one: the worker wants to try the run again.
TEST_F(PostgresFault, ACancelOfARunWhoseAttemptEndsIsHeeded) {
  trigger(add_job("a"), "r");
  AttemptEnd end = contract::end_of(claim(*store_, "w").at(0), RunState::Queued);
  must(must(schema_.open())->request_cancel(ws_, RunId("r"), {}));
  EXPECT_TRUE(must(store_->finish_attempts({&end, 1})).at(0));
  EXPECT_EQ(must(store_->get_run(ws_, RunId("r"))).state, RunState::Cancelled);
}

// ---- competitors

// The claim has its snapshot and not yet the lock of the job, when another worker takes the run and
// ends it.
TEST_F(PostgresFault, ARunThatLeftTheQueueMeanwhileIsNotTaken) {
  trigger(add_job("a"), "r");
  console_.run(
      "CREATE OR REPLACE FUNCTION tidegate_now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN "
      "IF current_query() LIKE '%picked%' THEN PERFORM pg_advisory_xact_lock_shared(77); END IF; "
      "RETURN date_trunc('milliseconds', clock_timestamp()); END $$; SELECT pg_advisory_lock(77)");
  auto claimed = std::async(std::launch::async, [&] { return claim(*store_, "late", 1).size(); });
  EXPECT_TRUE(schema_.console.eventually(kWaiting));
  console_.run("DELETE FROM run_queue; SELECT pg_advisory_unlock(77)");
  EXPECT_EQ(claimed.get(), 0u);
  EXPECT_EQ(console_.ask("SELECT count(*)::text FROM job_execution_locks"), "0");
}

TEST_F(PostgresFault, CompetingClaimersTakeEachRunOnceAndLimitsHold) {
  constexpr int kJobs = 120, kThreads = 8;
  for (const char* d : {"x", "y", "z"}) {
    add_connection(d, model::ConnectionKind::Destination, std::string("sqlite:/") + d);
  }
  for (int i = 0; i < kJobs; ++i) {
    const std::string n = std::to_string(i);
    trigger(add_job("j" + n, i % 2 == 0 ? "dst" : std::string(1, "xyz"[i % 3])), "r" + n);
  }
  const auto other = must(schema_.open());
  std::mutex mutex;
  std::multiset<std::string> taken, busy;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Store& store = t % 2 == 0 ? *store_ : *other;
      const auto deadline = std::chrono::steady_clock::now() + 60s;
      while (std::chrono::steady_clock::now() < deadline) {
        const auto runs = claim(store, "w" + std::to_string(t), 3);
        std::vector<AttemptEnd> ends;
        {
          const std::scoped_lock lock(mutex);
          for (const auto& r : runs) {
            taken.insert(r.run.id.str());
            if (!r.run.exclusive_key.empty()) busy.insert(r.run.exclusive_key);
            EXPECT_LE(busy.count(r.run.exclusive_key), 1u);
            ends.push_back(contract::end_of(r, RunState::Succeeded));
          }
          if (taken.size() >= kJobs && runs.empty()) return;
          // From here on another one may have the key: it ends no earlier than below.
          for (const auto& r : runs) busy.erase(r.run.exclusive_key);
        }
        for (const auto& s : must(store.finish_attempts(ends))) EXPECT_TRUE(s);
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(taken.size(), static_cast<std::size_t>(kJobs));
  EXPECT_EQ(std::set(taken.begin(), taken.end()).size(), static_cast<std::size_t>(kJobs));
  EXPECT_EQ(must(store_->list_runs({.workspace = ws_, .state = RunState::Succeeded})).total, kJobs);
  EXPECT_EQ(console_.ask("SELECT count(*)::text FROM run_queue"), "0");
  EXPECT_EQ(console_.ask("SELECT count(*)::text FROM job_execution_locks"), "0");
}

TEST_F(PostgresFault, OneOfManyRequestsWithOneKeyCreates) {
  std::vector<std::future<Created<JobId>>> made;
  for (int i = 0; i < 8; ++i) {
    made.push_back(std::async(std::launch::async, [&, i] {
      model::SyncJob j;
      j.id = JobId("j" + std::to_string(i));
      j.workspace = ws_;
      j.spec.name = "same";
      j.spec.source_id = ConnectionId("src");
      j.spec.destination_id = ConnectionId("dst");
      return must(store_->create_job(j, Idempotency{"s", "k", "h"}));
    }));
  }
  std::set<JobId> ids;
  int fresh = 0;
  for (auto& m : made) {
    const auto created = m.get();
    ids.insert(created.id);
    fresh += created.replayed ? 0 : 1;
  }
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_EQ(fresh, 1);
}

// Those that cannot be read come first, and only one is asked for.
TEST_F(PostgresFault, RowsThatCannotBeReadTakeNoPlaceOfOthers) {
  for (const char* id : {"a bad job", "b bad run", "good"}) {
    trigger(add_job(id), id);
  }
  console_.run(
      "UPDATE sync_jobs SET next_slot = tidegate_now(); UPDATE sync_jobs SET success_durations = "
      "'{}' WHERE id = 'a bad job'; UPDATE sync_runs SET detail = '[]' WHERE id = 'b bad run'");
  const auto due = must(store_->due_jobs(must(store_->now()) + 1h, 1));
  ASSERT_THAT(due.jobs, testing::SizeIs(1));
  EXPECT_EQ(due.jobs[0].job.id, JobId("good"));
  EXPECT_THAT(due.jobs[0].active, testing::SizeIs(1));
  std::vector<RunId> claimed;
  for (int i = 0; i < 3; ++i) {
    for (const auto& run : claim(*store_, "w", 1)) claimed.push_back(run.run.id);
  }
  EXPECT_THAT(claimed, ElementsAre(RunId("a bad job"), RunId("good")))
      << "what a run needs of its job can be read";
}

// One damaged run took the leases and the ends of all others of its worker along.
TEST_F(PostgresFault, ARunThatCannotBeReadHoldsUpNoOther) {
  for (const char* id : {"a", "b", "c"}) trigger(add_job(id), id);
  const auto runs = claim(*store_, "w");
  ASSERT_THAT(runs, testing::SizeIs(3));
  console_.run(
      "UPDATE sync_runs SET detail = '[]' WHERE id = 'a'; UPDATE sync_jobs SET success_durations "
      "= '{}' WHERE id = 'b'");
  std::vector<Renewal> renewals;
  std::vector<AttemptEnd> ends;
  for (const auto& r : runs) {
    renewals.push_back({.held = contract::held(r),
                        .progress = {{"e", {.rows_read = 1}}},
                        .committed = {{"e", contract::known(0, 1)}}});
    ends.push_back(contract::end_of(r, RunState::Succeeded));
  }
  for (const auto& r : must(store_->renew_runs(OwnerId("w"), 12s, renewals))) EXPECT_TRUE(r.held);
  EXPECT_EQ(must(store_->get_job(ws_, JobId("c"))).known_state.size(), 1u);
  // This one has not claimed them, so it has to read them all.
  const auto results = must(must(schema_.open())->finish_attempts(ends));
  EXPECT_EQ(code_of(results.at(0)), Code::Internal);
  EXPECT_TRUE(results.at(1)) << "what cannot be read begins anew";
  EXPECT_TRUE(results.at(2));
  EXPECT_EQ(must(store_->get_job(ws_, JobId("b"))).success_durations.size(), 1u);
  std::vector<bool> held;
  for (const auto& r : must(store_->renew_runs(OwnerId("w"), 12s, renewals))) {
    held.push_back(r.held);
  }
  EXPECT_THAT(held, ElementsAre(true, false, false)) << "what did not end keeps its lock";
}

// PostgreSQL refuses NUL and what is no UTF-8: a run whose error quotes raw data could never end.
TEST_F(PostgresFault, RawBytesInAnErrorAreReplaced) {
  trigger(add_job("a"), "r");
  const auto run = claim(*store_, "w").at(0);
  const model::RunLogLine line{.at = must(store_->now()), .message = std::string("a\0b\xff", 4)};
  must(store_->append_log(contract::held(run), {&line, 1}, 10'000));
  AttemptEnd end = contract::end_of(run, RunState::Failed);
  end.error = std::string("bad \xff byte and \0 too", 20);
  end.warnings = {std::string("\xc3(", 2)};
  EXPECT_TRUE(must(store_->finish_attempts({&end, 1})).at(0));
  EXPECT_EQ(must(store_->get_run(ws_, RunId("r"))).error, "bad \uFFFD byte and \uFFFD too");
}

// ---- the change feed

std::ptrdiff_t count(const std::vector<Change>& seen, ChangeKind kind, const std::string& id) {
  return std::ranges::count_if(seen, [&](const Change& c) { return c.kind == kind && c.id == id; });
}

TEST_F(PostgresFault, AFeedThatIsCutIsOpenedAgainAndHintsAtEverything) {
  const auto other = must(schema_.open());
  contract::Listener heard;
  const auto subscription = other->watch(heard.handler());
  EXPECT_THAT(heard.take(), IsEmpty()) << "it reads after it subscribed";
  schema_.console.run(
      "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE application_name = "
      "'tidegate' AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%')");
  EXPECT_TRUE(heard.wait_for(ChangeKind::Job, "any"));
  EXPECT_TRUE(heard.wait_for(ChangeKind::Token, "any"));
  heard.take();
  add_job("a");
  EXPECT_TRUE(heard.wait_for(ChangeKind::Job, "a"));
}

// A change feed's own writes triggered re-scheduling.
TEST_F(PostgresFault, OwnWritesAreToldOnce) {
  const auto other = must(schema_.open());
  contract::Listener mine, theirs;
  const auto a = store_->watch(mine.handler());
  const auto b = other->watch(theirs.handler());
  add_job("mine");
  ASSERT_TRUE(theirs.wait_for(ChangeKind::Job, "mine"));
  // Comes after the own one over the same channel.
  must(other->set_pause(ws_, JobId("mine"), {}, model::Pause{}, {}));
  ASSERT_TRUE(theirs.wait_for(ChangeKind::Job, "mine"));
  must(other->create_workspace({.id = WorkspaceId("w2"), .name = "w2"}, {}));
  ASSERT_TRUE(mine.wait_for(ChangeKind::Workspace, "w2"));
  EXPECT_EQ(count(mine.take(), ChangeKind::Job, "mine"), 2)
      << "its own at once, the other's by the feed";
}

TEST_F(PostgresFault, MoreChangesThanOneMessageHoldsAreToldAsAnything) {
  const auto other = must(schema_.open());
  contract::Listener theirs;
  const auto b = other->watch(theirs.handler());
  const JobId job = add_job("a");
  ASSERT_TRUE(theirs.wait_for(ChangeKind::Job, "a"));
  std::vector<NewRun> runs;
  for (int i = 0; i < 300; ++i) {
    runs.push_back({RunId("a-run-with-a-rather-long-name-" + std::to_string(i)),
                    std::nullopt,
                    model::Trigger::Manual,
                    {}});
  }
  const PlanStep step{.job = job, .expected_revision = 1, .runs = std::move(runs)};
  const auto lease = *must(store_->acquire_leader(OwnerId("l"), 8s));
  EXPECT_THAT(must(store_->apply_plan(lease, {&step, 1})), ElementsAre(PlanResult::Applied));
  EXPECT_TRUE(theirs.wait_for(ChangeKind::Run, "any"));
}

// Seen: the end of a batch compared every job of the store with each of its runs, because the
// planner may not sort and so walked through all jobs in their order.
TEST_F(PostgresFault, TheJobsOfRunsAreLookedUpAndNoOthersRead) {
  const std::vector<RunId> runs{RunId("a"), RunId("b")};
  for (const std::string& plan : {console_.plan_of(postgres::lock_jobs_of(runs)),
                                  console_.plan_of(postgres::JobStates::look(runs))}) {
    EXPECT_THAT(plan, AllOf(HasSubstr("Index Cond"), Not(HasSubstr("Nested Loop")),
                            Not(HasSubstr("Seq Scan"))));
  }
  for (auto& query : postgres::tell_jobs({{.job = JobId("a"), .fence = Fence{1}}})) {
    EXPECT_THAT(console_.plan_of(std::move(query)),
                AllOf(HasSubstr("sync_jobs_pkey"), Not(HasSubstr("Seq Scan"))));
  }
}

}  // namespace
}  // namespace tidegate::store
