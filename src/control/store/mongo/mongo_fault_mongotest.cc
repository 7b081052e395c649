// Several processes at once, and documents that cannot be read.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <mutex>
#include <set>

#include "control/store/contract/contract.h"
#include "control/store/mongo/rows.h"
#include "control/store/mongo/servers_mongotest.h"

namespace tidegate::store {
namespace {

using contract::code_of;
using contract::must;
using contract::reason_of;
using model::ConnectionKind;
using model::RunState;
using mongo::Conn;
using mongo::bj::object;
using testing::ElementsAre;
using testing::SizeIs;
namespace bj = mongo::bj;
namespace coll = mongo::coll;

// A database of one of the servers and stores on it, as so many processes would have.
class Processes {
 public:
  Processes(const std::string& uri, int count) : database_(uri) {
    for (int i = 0; i < count; ++i) {
      stores_.push_back(must(open_mongo_store(database_.options(&clock_), clock_, rng_)));
    }
    ws_ = must(stores_[0]->find_workspace("default")).id;
    for (const auto kind : {ConnectionKind::Source, ConnectionKind::Destination}) {
      model::Connection c{.id = ConnectionId(kind == ConnectionKind::Source ? "src" : "dst"),
                          .workspace = ws_};
      c.kind = kind;
      c.name = "c";
      must(stores_[0]->create_connection(c, {}));
    }
  }

  JobId add(const std::string& name) {
    model::SyncJob job{.id = JobId(name), .workspace = ws_};
    job.spec.name = name;
    job.spec.source_id = ConnectionId("src");
    job.spec.destination_id = ConnectionId("dst");
    job.next_slot = clock_.now();
    return must(stores_[0]->create_job(job, {})).id;
  }
  PlanStep step(const JobId& id, const std::string& run) {
    const auto job = must(stores_[0]->get_job(ws_, id));
    return {.job = id,
            .expected_revision = job.revision,
            .expected_next_slot = job.next_slot,
            .next_slot = *job.next_slot + std::chrono::minutes(1),
            .runs = {{RunId(run), job.next_slot, model::Trigger::Schedule, clock_.now()}}};
  }
  // f(store, number) on a thread for each process, all at once.
  template <class F>
  void at_once(F f) {
    std::vector<std::future<void>> running;
    for (std::size_t i = 0; i < stores_.size(); ++i) {
      running.push_back(std::async(std::launch::async, [&, i] { f(*stores_[i], i); }));
    }
    for (auto& r : running) r.get();
  }
  Store& operator[](std::size_t i) { return *stores_[i]; }
  mongo::Pool& pool() { return database_.pool(); }
  contract::ManualClock& clock() { return clock_; }
  const WorkspaceId& workspace() const { return ws_; }

 private:
  contract::ManualClock clock_{from_ms(1'767'225'600'000)};
  SystemRng rng_;
  mongo::TestDatabase database_;
  std::vector<std::unique_ptr<Store>> stores_;
  WorkspaceId ws_;
};

class MongoFaults : public testing::TestWithParam<bool> {
 protected:
  static std::string uri() { return GetParam() ? mongo::replica_set() : mongo::standalone(); }
};
INSTANTIATE_TEST_SUITE_P(Mongo, MongoFaults, testing::Bool(), [](const auto& info) {
  return info.param ? "replica_set" : "standalone";
});

TEST_P(MongoFaults, CompetingClaimersTakeEachRunOnce) {
  Processes p(uri(), 4);
  constexpr std::size_t kJobs = 24;
  std::vector<PlanStep> steps;
  for (std::size_t i = 0; i < kJobs; ++i) {
    const JobId id = p.add("j" + std::to_string(i));
    steps.push_back(p.step(id, "r" + std::to_string(i)));
  }
  const auto lease = *must(p[0].acquire_leader(OwnerId("leader"), Millis(8000)));
  must(p[0].apply_plan(lease, steps));
  std::mutex mutex;
  std::map<std::string, int> taken;
  p.at_once([&](Store& store, std::size_t i) {
    for (;;) {
      const auto claim =
          must(store.claim_runs({.owner = OwnerId("w" + std::to_string(i)), .max = 3}));
      if (claim.runs.empty()) return;
      const std::scoped_lock lock(mutex);
      for (const auto& c : claim.runs) ++taken[c.run.id.str()];
    }
  });
  EXPECT_THAT(taken, SizeIs(kJobs));
  for (const auto& [run, times] : taken) {
    EXPECT_EQ(times, 1) << run;
    EXPECT_EQ(must(p[0].get_run(p.workspace(), RunId(run))).attempt, 1) << run;
  }
}

// Counting first was a race: two claimers passed a limit of 1.
TEST_P(MongoFaults, CompetingClaimersStartOneRunOfAJob) {
  Processes p(uri(), 4);
  const JobId id = p.add("j");
  const auto lease = *must(p[0].acquire_leader(OwnerId("leader"), Millis(8000)));
  for (int i = 0; i < 4; ++i) {
    const PlanStep s = p.step(id, "r" + std::to_string(i));
    must(p[0].apply_plan(lease, {&s, 1}));
  }
  Fence newest{};
  for (int round = 0; round < 4; ++round) {
    std::mutex mutex;
    std::vector<ClaimedRun> taken;
    p.at_once([&](Store& store, std::size_t i) {
      auto claim = must(store.claim_runs({.owner = OwnerId("w" + std::to_string(i)), .max = 9}));
      const std::scoped_lock lock(mutex);
      std::ranges::move(claim.runs, std::back_inserter(taken));
    });
    ASSERT_THAT(taken, SizeIs(1)) << "in round " << round;
    EXPECT_GT(taken[0].run.fence, newest);
    newest = taken[0].run.fence;
    const auto end = contract::end_of(taken[0], RunState::Succeeded);
    EXPECT_TRUE(must(p[1].finish_attempts({&end, 1})).at(0));
  }
  EXPECT_EQ(must(p[2].get_job(p.workspace(), id)).run_count, 4);
}

TEST_P(MongoFaults, OneOfCompetingLeadersPlansASlotOnce) {
  Processes p(uri(), 4);
  const JobId id = p.add("j");
  std::atomic<int> leaders = 0;
  p.at_once([&](Store& store, std::size_t i) {
    const auto lease = must(store.acquire_leader(OwnerId("l" + std::to_string(i)), Millis(8000)));
    leaders += lease ? 1 : 0;
  });
  EXPECT_EQ(leaders, 1);
  // The same leader twice, as after a reply that came too late.
  p.clock().advance(std::chrono::seconds(9));
  const auto lease = *must(p[0].acquire_leader(OwnerId("again"), Millis(8000)));
  std::atomic<int> applied = 0;
  const PlanStep planned = p.step(id, "");
  p.at_once([&](Store& store, std::size_t i) {
    PlanStep s = planned;
    s.runs[0].id = RunId("r" + std::to_string(i));
    applied += must(store.apply_plan(lease, {&s, 1}))[0] == PlanResult::Applied ? 1 : 0;
  });
  EXPECT_EQ(applied, 1);
  EXPECT_EQ(must(p[0].list_slots({.workspace = p.workspace(), .job = id})).total, 1);
  EXPECT_EQ(must(p[0].list_runs({.workspace = p.workspace()})).total, 1);
}

TEST_P(MongoFaults, OneOfTwoTriggersAtOnceIsAccepted) {
  Processes p(uri(), 4);
  const JobId id = p.add("j");
  std::atomic<int> accepted = 0, refused = 0;
  p.at_once([&](Store& store, std::size_t i) {
    const auto made = store.trigger_run(
        {.workspace = p.workspace(), .job = id, .run = RunId("r" + std::to_string(i))});
    accepted += made ? 1 : 0;
    refused += reason_of(made) == "run_active" ? 1 : 0;
  });
  EXPECT_EQ(accepted, 1);
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(must(p[0].list_runs({.workspace = p.workspace()})).total, 1);
}

// A counter that was read and written back lost ends of runs at the same moment.
TEST_P(MongoFaults, EveryEndIsCountedOnce) {
  Processes p(uri(), 3);
  const JobId id = p.add("j");
  for (int round = 0; round < 3; ++round) {
    must(p[0].trigger_run(
        {.workspace = p.workspace(), .job = id, .run = RunId("r" + std::to_string(round))}));
    const auto c = must(p[0].claim_runs({.owner = OwnerId("w")})).runs.at(0);
    const auto end = contract::end_of(c, RunState::Failed);
    // The worker's reply was lost: it repeats, while somebody else writes the job.
    p.at_once([&](Store& store, std::size_t i) {
      if (i == 0) {
        must(store.set_pause(p.workspace(), id, {}, std::nullopt, {}));
      } else {
        EXPECT_TRUE(must(store.finish_attempts({&end, 1})).at(0));
      }
    });
  }
  const auto job = must(p[0].get_job(p.workspace(), id));
  EXPECT_EQ(job.run_count, 3);
  EXPECT_EQ(job.consecutive_failures, 3);
  EXPECT_EQ(job.revision, 4);
}

// The leader died between the insert of a run and the move of its job (no transactions there).
TEST_P(MongoFaults, APlanThatWasCutShortIsCompletedByTheNext) {
  Processes p(uri(), 1);
  const JobId id = p.add("j");
  const auto lease = *must(p[0].acquire_leader(OwnerId("leader"), Millis(8000)));
  const PlanStep first = p.step(id, "r1");
  must(p[0].apply_plan(lease, {&first, 1}));
  must(Conn(p.pool()).update(
      coll::kJobs, {{"_id", "j"}},
      {{"$set", object{{"nextSlot", mongo::date(*first.expected_next_slot)}}}}));
  PlanStep again = p.step(id, "r2");
  EXPECT_THAT(must(p[0].apply_plan(lease, {&again, 1})), ElementsAre(PlanResult::Applied));
  EXPECT_EQ(must(p[0].get_job(p.workspace(), id)).next_slot, first.next_slot);
  EXPECT_EQ(must(p[0].list_slots({.workspace = p.workspace(), .job = id})).total, 1);
}

// A leader that slept through its successor's work: `planFence` stops it where nothing else does.
TEST_P(MongoFaults, AnOlderPlanFenceMovesNoJob) {
  Processes p(uri(), 1);
  const JobId id = p.add("j");
  const auto lease = *must(p[0].acquire_leader(OwnerId("leader"), Millis(8000)));
  must(Conn(p.pool()).update(coll::kJobs, {{"_id", "j"}},
                             {{"$set", object{{"planFence", value(lease.fence) + 1}}}}));
  PlanStep s = p.step(id, "r1");
  s.records.push_back({.job = id,
                       .first = *s.expected_next_slot - std::chrono::minutes(1),
                       .last = *s.expected_next_slot - std::chrono::minutes(1),
                       .count = 1,
                       .reason = "overlap"});
  EXPECT_THAT(must(p[0].apply_plan(lease, {&s, 1})), ElementsAre(PlanResult::Stale));
  EXPECT_EQ(must(p[0].list_slots({.workspace = p.workspace(), .job = id})).total, 0)
      << "neither its run nor its record is left";
}

// It holds the lease, and was asleep between the look and the first write.
TEST(MongoStandalone, AReplacedLeaderLeavesNothingBehindWithoutTransactions) {
  Processes p(mongo::standalone(), 2);
  const JobId id = p.add("j");
  const auto old = *must(p[0].acquire_leader(OwnerId("old"), Millis(8000)));
  const PlanStep stale = p.step(id, "r-old");
  p.clock().advance(std::chrono::seconds(9));
  const auto lease = *must(p[1].acquire_leader(OwnerId("new"), Millis(8000)));
  const PlanStep next = p.step(id, "r-new");
  must(p[1].apply_plan(lease, {&next, 1}));
  // As it was between its look at the lease and its step.
  must(Conn(p.pool()).update(coll::kLocks, {{"_id", "scheduler"}},
                             {{"$set", object{{"owner", "old"}, {"fence", value(old.fence)}}}}));
  EXPECT_THAT(must(p[0].apply_plan(old, {&stale, 1})), ElementsAre(PlanResult::Stale));
  EXPECT_EQ(must(p[0].list_runs({.workspace = p.workspace()})).total, 1);
}

// A fence that is only read says nothing of who commits first.
TEST(MongoReplicaSet, ALeaderThatIsBeingReplacedCannotSlipItsPlanIn) {
  Processes p(mongo::replica_set(), 1);
  const JobId id = p.add("j");
  const auto lease = *must(p[0].acquire_leader(OwnerId("old"), Millis(8000)));
  const PlanStep step = p.step(id, "r");
  Conn other(p.pool());
  must(other.begin());
  must(other.update(coll::kLocks, {{"_id", "scheduler"}},
                    {{"$set", object{{"owner", "new"}}}, {"$inc", object{{"fence", 1}}}}));
  auto planned =
      std::async(std::launch::async, [&] { return code_of(p[0].apply_plan(lease, {&step, 1})); });
  // Either it waits for the other transaction, or it loses to it and tries again.
  EXPECT_EQ(planned.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  must(other.commit());
  EXPECT_EQ(planned.get(), Code::Fenced);
  EXPECT_EQ(must(p[0].list_runs({.workspace = p.workspace()})).total, 0);
}

TEST(MongoReplicaSet, APlanIsWrittenWholeOrNotAtAll) {
  Processes p(mongo::replica_set(), 1);
  const std::vector<PlanStep> steps{p.step(p.add("j1"), "r1"), p.step(p.add("j2"), "r2")};
  const auto lease = *must(p[0].acquire_leader(OwnerId("leader"), Millis(8000)));
  must(Conn(p.pool()).update(coll::kJobs, {{"_id", "j2"}},
                             {{"$set", object{{"revision", "damaged"}}}}));
  EXPECT_EQ(code_of(p[0].apply_plan(lease, steps)), Code::Internal);
  EXPECT_EQ(must(p[0].list_runs({.workspace = p.workspace()})).total, 0);
  EXPECT_EQ(must(p[0].get_job(p.workspace(), JobId("j1"))).next_slot, p.clock().now());
}

// What was old when it was found may not be so any more: a slot would have lost its outcome.
TEST(MongoReplicaSet, ARecordThatIsExtendedMeanwhileIsNotPruned) {
  Processes p(mongo::replica_set(), 1);
  const JobId id = p.add("j");
  const auto lease = *must(p[0].acquire_leader(OwnerId("leader"), Millis(8000)));
  PlanStep step = p.step(id, "");
  const Instant slot = *step.expected_next_slot;
  step.runs.clear();
  step.records.push_back({.job = id, .first = slot, .last = slot, .count = 1, .reason = "overlap"});
  must(p[0].apply_plan(lease, {&step, 1}));
  const Instant later = slot + std::chrono::hours(48);
  Conn leader(p.pool());
  must(leader.begin());
  must(leader.update(coll::kRecords, {{"jobId", "j"}},
                     {{"$set", object{{"last", mongo::date(later)}}}}));
  auto pruned = std::async(std::launch::async, [&] {
    return must(p[0].prune({.max_age = std::chrono::hours(24)}, later));
  });
  EXPECT_EQ(pruned.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout)
      << "it found the record as it was";
  must(leader.commit());
  EXPECT_EQ(pruned.get(), 0u);
  EXPECT_EQ(must(p[0].list_slots({.workspace = p.workspace(), .job = id})).total, 1);
}

// A run that is lost between the renewal of its lease and the write of its states writes none.
TEST(MongoReplicaSet, StatesAreWrittenUnderTheFenceOfTheirRun) {
  Processes p(mongo::replica_set(), 1);
  must(p[0].trigger_run({.workspace = p.workspace(), .job = p.add("j"), .run = RunId("r")}));
  const auto run = must(p[0].claim_runs({.owner = OwnerId("w")})).runs.at(0);
  const Renewal renewal{
      .held = contract::held(run), .progress = {}, .committed = {{"e", contract::known(0, 1)}}};
  Conn other(p.pool());
  must(other.begin());
  must(other.update(coll::kJobs, {{"_id", "j"}}, {{"$inc", object{{"seq", 1}}}}));
  auto renewed = std::async(std::launch::async, [&] {
    return must(p[0].renew_runs(OwnerId("w"), Millis(12'000), {&renewal, 1})).at(0).held;
  });
  EXPECT_EQ(renewed.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout)
      << "its states wait for the job";
  bool taken = false;
  for (int i = 0; i < 100 && !taken; ++i) {
    taken = Conn(p.pool())
                .update(coll::kRuns, {{"_id", "r"}}, {{"$inc", object{{"fence", 1}}}})
                .has_value();
  }
  EXPECT_TRUE(taken);
  must(other.commit());
  EXPECT_FALSE(renewed.get());
  EXPECT_THAT(must(p[0].get_job(p.workspace(), JobId("j"))).known_state, testing::IsEmpty());
}

// A request that a client repeated while the first one still ran made two.
TEST(MongoReplicaSet, OneOfManyRequestsWithOneKeyCreates) {
  Processes p(mongo::replica_set(), 4);
  std::mutex mutex;
  std::set<JobId> ids;
  int fresh = 0;
  p.at_once([&](Store& store, std::size_t i) {
    model::SyncJob job{.id = JobId("j" + std::to_string(i)), .workspace = p.workspace()};
    job.spec.name = "same";
    job.spec.source_id = ConnectionId("src");
    job.spec.destination_id = ConnectionId("dst");
    const auto made = must(store.create_job(job, Idempotency{"s", "k", "h"}));
    const std::scoped_lock lock(mutex);
    ids.insert(made.id);
    fresh += made.replayed ? 0 : 1;
  });
  EXPECT_THAT(ids, SizeIs(1));
  EXPECT_EQ(fresh, 1);
}

// A leader that is killed inside a transaction kept its lock document locked for a minute, whatever
// became of its connection.
TEST(MongoSessions, OpenTransactionsOfASilentProcessAreEnded) {
  Processes p(mongo::replica_set(), 1);
  must(p[0].acquire_leader(OwnerId("dead"), Millis(8000)));
  Conn dead(p.pool());
  must(dead.begin());
  must(dead.update(coll::kLocks, {{"_id", "scheduler"}}, {{"$inc", object{{"seq", 1}}}}));
  must(Conn(p.pool()).insert(coll::kSessions, object{{"_id", "dead"},
                                                     {"sessions", bj::array{dead.session()}},
                                                     {"seenAt", mongo::date(from_ms(0))}}));
  p.clock().advance(std::chrono::seconds(9));
  EXPECT_TRUE(must(p[0].acquire_leader(OwnerId("next"), Millis(8000))));
  EXPECT_FALSE(dead.commit());
}

TEST(MongoSessions, AreWrittenDownBeforeTheyAreUsedAndForgottenAtTheEnd) {
  mongo::TestDatabase database(mongo::replica_set());
  const auto written = [&] { return must(Conn(database.pool()).find(coll::kSessions, {})); };
  contract::ManualClock clock(from_ms(0));
  SystemRng rng;
  auto store = must(open_mongo_store(database.options(), clock, rng));
  EXPECT_THAT(written(), testing::IsEmpty());
  must(store->create_workspace({.id = WorkspaceId("w"), .name = "w"}, {}));
  const auto found = written();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].at("sessions").as_array(), SizeIs(1));
  store.reset();
  EXPECT_THAT(written(), testing::IsEmpty());
}

// As one of another version would be.
void damage(Processes& p, std::string_view collection, const char* id) {
  must(Conn(p.pool()).update(collection, {{"_id", id}},
                             {{"$set", object{{"revision", "x"}, {"attempt", "x"}}}}));
}

// A damaged document must not stop the work on all others.
TEST_P(MongoFaults, AnUnreadableRunOrJobIsLeftOut) {
  Processes p(uri(), 1);
  const JobId bad = p.add("bad"), worse = p.add("even worse"), good = p.add("good");
  for (const JobId& id : {bad, good}) {
    must(p[0].trigger_run({.workspace = p.workspace(), .job = id, .run = RunId(id.str())}));
  }
  damage(p, coll::kRuns, "bad");
  damage(p, coll::kJobs, "even worse");
  const auto claim = must(p[0].claim_runs({.owner = OwnerId("w"), .max = 5}));
  ASSERT_THAT(claim.runs, SizeIs(1));
  EXPECT_EQ(claim.runs[0].run.job, good);
  const auto due = must(p[0].due_jobs(p.clock().now(), 1)).jobs;
  ASSERT_THAT(due, SizeIs(1)) << "one that cannot be judged takes no place of others";
  EXPECT_EQ(due[0].job.id, good);
  p.clock().advance(std::chrono::seconds(12));
  EXPECT_THAT(must(p[0].expired_runs(10)), SizeIs(1));
}

// It cost all leases of its worker, and the ends of the runs behind it.
TEST_P(MongoFaults, ARunThatCannotBeReadHoldsUpNoOther) {
  Processes p(uri(), 1);
  for (const char* id : {"a", "b", "c", "d"}) {
    must(p[0].trigger_run({.workspace = p.workspace(), .job = p.add(id), .run = RunId(id)}));
  }
  const auto runs = must(p[0].claim_runs({.owner = OwnerId("w"), .max = 9})).runs;
  ASSERT_THAT(runs, SizeIs(4));
  damage(p, coll::kRuns, "a");
  damage(p, coll::kJobs, "b");
  std::vector<Renewal> renewals;
  std::vector<AttemptEnd> ends;
  for (const auto& r : runs) {
    renewals.push_back({.held = contract::held(r),
                        .progress = {{"e", {.rows_read = 1}}},
                        .committed = {{"e", contract::known(0, 1)}}});
    ends.push_back(contract::end_of(r, RunState::Succeeded));
  }
  ends.pop_back();
  const auto held = [&] {
    std::vector<bool> held;
    for (const auto& r : must(p[0].renew_runs(OwnerId("w"), Millis(12'000), renewals))) {
      held.push_back(r.held);
    }
    return held;
  };
  p.clock().advance(std::chrono::seconds(1));
  EXPECT_THAT(held(), ElementsAre(true, true, true, true));
  const object until{{"expiresAt", mongo::date(p.clock().now() + std::chrono::seconds(12))}};
  EXPECT_EQ(must(Conn(p.pool()).count(coll::kRuns, until)), 4) << "the unreadable ones, too";
  EXPECT_THAT(must(p[0].get_job(p.workspace(), JobId("c"))).known_state, SizeIs(1));
  const auto results = must(p[0].finish_attempts(ends));
  EXPECT_EQ(code_of(results.at(0)), Code::Internal);
  EXPECT_EQ(code_of(results.at(1)), Code::Internal);
  EXPECT_TRUE(results.at(2));
  // Without transactions a run is written before its job.
  EXPECT_THAT(held(), ElementsAre(true, GetParam(), false, true)) << "what did not end stays held";
  p.clock().advance(std::chrono::seconds(12));
  const auto expired = must(p[0].expired_runs(1));
  ASSERT_THAT(expired, SizeIs(1)) << "those that cannot be read take no place of others";
  EXPECT_EQ(expired[0].run.id, RunId("d"));
}

TEST(MongoCapabilities, SayWhatAStandaloneServerCannot) {
  Processes whole(mongo::replica_set(), 1), alone(mongo::standalone(), 1);
  EXPECT_TRUE(whole[0].capabilities().pushes_changes);
  EXPECT_TRUE(whole[0].capabilities().atomic_steps);
  EXPECT_FALSE(alone[0].capabilities().pushes_changes);
  EXPECT_FALSE(alone[0].capabilities().atomic_steps);
  EXPECT_TRUE(alone[0].capabilities().shared);
}

}  // namespace
}  // namespace tidegate::store
