#include <gmock/gmock.h>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::RunState;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

namespace {

model::RunLogLine line(Instant at, std::string message) {
  return {.at = at, .level = LogLevel::Info, .entity = "orders", .message = std::move(message)};
}

}  // namespace

TEST_P(StoreContract, RunsAreListedNewestFirstInPages) {
  const JobId a = add(job("a")), b = add(job("b"));
  for (int i = 0; i < 5; ++i) {
    const JobId& id = i % 2 == 0 ? a : b;
    trigger(id, "r" + std::to_string(i));
    EXPECT_TRUE(finish(claim("w1").at(0), i == 4 ? RunState::Failed : RunState::Succeeded));
    clock().advance(1s);
  }
  const auto ids = [&](RunQuery q) {
    std::vector<std::string> out;
    for (int pages = 0; pages < 10; ++pages) {
      const auto list = must(store().list_runs(q));
      for (const auto& r : list.items) out.push_back(r.id.str());
      q.page.cursor = list.next_cursor;
      if (!q.page.cursor) break;
    }
    return out;
  };
  RunQuery q{.workspace = ws_};
  q.page.limit = 2;
  EXPECT_THAT(ids(q), ElementsAre("r4", "r3", "r2", "r1", "r0"));
  q.oldest_first = true;
  EXPECT_THAT(ids(q), ElementsAre("r0", "r1", "r2", "r3", "r4"));
  q.job = a;
  EXPECT_THAT(ids(q), ElementsAre("r0", "r2", "r4"));
  q.state = RunState::Succeeded;
  EXPECT_THAT(ids(q), ElementsAre("r0", "r2"));
  q = {.workspace = ws_, .since = base_ + 3s};
  EXPECT_THAT(ids(q), ElementsAre("r4", "r3"));
  EXPECT_EQ(must(store().list_runs(q)).total, 2);
  EXPECT_THAT(ids({.workspace = WorkspaceId("x")}), IsEmpty());
  EXPECT_THAT(ids({}), SizeIs(5));
  q.page.cursor = "nonsense";
  EXPECT_EQ(code_of(store().list_runs(q)), Code::Malformed);
}

// Seen here: a list of the names of 1,000 runs over 1,000 entities took 1.8 GB of memory.
TEST_P(StoreContract, ListsOfLargeRunsAreBriefOrEndEarly) {
  const JobId id = add(job("a"));
  for (int i = 0; i < 3; ++i) {
    trigger(id, "r" + std::to_string(i));
    AttemptEnd end = end_of(claim("w1").at(0), RunState::Succeeded);
    end.entities.push_back({.entity = "orders", .error = std::string(3 << 20, 'x')});
    must(store().finish_attempts({&end, 1}));
    clock().advance(1s);
  }
  RunQuery q{.workspace = ws_, .job = id};
  const auto first = must(store().list_runs(q));
  ASSERT_THAT(first.items, SizeIs(2));
  EXPECT_THAT(first.items[0].entities, SizeIs(1));
  EXPECT_EQ(first.total, 3);
  q.page.cursor = first.next_cursor;
  const auto rest = must(store().list_runs(q));
  ASSERT_THAT(rest.items, SizeIs(1));
  EXPECT_EQ(rest.items[0].id, RunId("r0"));
  EXPECT_FALSE(rest.next_cursor);
  q.page.cursor.reset();
  q.brief = true;
  const auto brief = must(store().list_runs(q));
  ASSERT_THAT(brief.items, SizeIs(3));
  for (const auto& r : brief.items) {
    EXPECT_EQ(r.state, RunState::Succeeded);
    EXPECT_THAT(r.entities, IsEmpty());
    EXPECT_THAT(r.attempts, IsEmpty());
  }
}

TEST_P(StoreContract, ARunOfAnotherWorkspaceIsNotFound) {
  trigger(add(job("a")), "r1");
  EXPECT_EQ(reason_of(store().get_run(WorkspaceId("x"), RunId("r1"))), "run_not_found");
  EXPECT_EQ(reason_of(store().get_run(ws_, RunId("r2"))), "run_not_found");
  EXPECT_EQ(must(store().get_run(WorkspaceId(), RunId("r1"))).id, RunId("r1"));
}

TEST_P(StoreContract, TheLedgerHoldsEverySlotOnce) {
  model::SyncJob j = job("j1");
  j.spec.overlap = model::Overlap::Allow;
  const JobId id = add(j);
  plan(id, {base_, base_ + 1min});
  clock().advance(1min);
  EXPECT_TRUE(finish(claim("w1").at(0), RunState::Failed));
  PlanStep s = step(id);
  s.next_slot = base_ + 5min;
  s.records.push_back({.job = id,
                       .first = base_ + 2min,
                       .last = base_ + 4min,
                       .count = 3,
                       .outcome = model::SlotOutcome::Missed,
                       .reason = "down",
                       .recorded_at = now()});
  must(store().apply_plan(leader(), {&s, 1}));
  trigger(id, "manual");
  LedgerQuery q{.workspace = ws_, .job = id};
  q.page.limit = 2;
  const auto first = must(other().list_slots(q));
  EXPECT_EQ(first.total, 3) << "a run without a slot is no ledger row";
  ASSERT_THAT(first.items, SizeIs(2));
  EXPECT_EQ(first.items[0].outcome, "missed");
  EXPECT_EQ(first.items[0].reason, "down");
  EXPECT_EQ(first.items[0].first, base_ + 2min);
  EXPECT_EQ(first.items[0].last, base_ + 4min);
  EXPECT_EQ(first.items[0].count, 3);
  EXPECT_EQ(first.items[1].outcome, "planned");
  q.page.cursor = first.next_cursor;
  const auto second = must(store().list_slots(q));
  ASSERT_THAT(second.items, SizeIs(1));
  EXPECT_EQ(second.items[0].outcome, "failed");
  EXPECT_EQ(second.items[0].reason, "transient");
  EXPECT_FALSE(second.items[0].run.empty());
  EXPECT_EQ(second.next_cursor, std::nullopt);

  q.page.cursor.reset();
  q.since = base_ + 1min;
  q.until = base_ + 2min;
  const auto range = must(store().list_slots(q));
  EXPECT_EQ(range.total, 1);
  EXPECT_EQ(range.items.at(0).first, base_ + 1min);
  q.page.cursor = "ff";
  EXPECT_EQ(code_of(store().list_slots(q)), Code::Malformed);
  EXPECT_EQ(code_of(store().list_slots({.workspace = ws_, .job = JobId("x")})), Code::NotFound);
}

TEST_P(StoreContract, LogLinesAreNumberedAndReadFromAnywhere) {
  trigger(add(job("j1")), "r1");
  const auto c = claim("w1").at(0);
  const std::vector<model::RunLogLine> two{line(base_, "one"), line(base_ + 1ms, "two")};
  must(store().append_log(held(c), two, 10'000));
  const std::vector<model::RunLogLine> more{line(base_ + 2ms, "three \n\"quoted\" ü")};
  must(other().append_log(held(c), more, 10'000));
  const auto all = must(other().read_log(RunId("r1"), 0, 100));
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(all[0].seq, 1);
  EXPECT_EQ(all[2].seq, 3);
  EXPECT_EQ(all[1].at, base_ + 1ms);
  EXPECT_EQ(all[2].message, "three \n\"quoted\" ü");
  EXPECT_EQ(all[0].entity, "orders");
  EXPECT_THAT(must(store().read_log(RunId("r1"), 1, 1)), SizeIs(1));
  EXPECT_EQ(must(store().read_log(RunId("r1"), 1, 1)).at(0).message, "two");
  EXPECT_THAT(must(store().read_log(RunId("r1"), 3, 100)), IsEmpty());
  EXPECT_EQ(code_of(store().read_log(RunId("nope"), 0, 1)), Code::NotFound);
  EXPECT_TRUE(finish(c, RunState::Succeeded));
  EXPECT_EQ(code_of(store().append_log(held(c), two, 10'000)), Code::Fenced);
}

// Logs pushed into one document grew without bound.
TEST_P(StoreContract, ALogIsBoundedAndSaysSoOnce) {
  trigger(add(job("j1")), "r1");
  const auto c = claim("w1").at(0);
  const std::vector<model::RunLogLine> lines(10, line(base_, std::string(100, 'x')));
  for (int i = 0; i < 5; ++i) must(store().append_log(held(c), lines, 2500));
  const auto all = must(store().read_log(RunId("r1"), 0, 1000));
  ASSERT_GT(all.size(), 10u);
  ASSERT_LT(all.size(), 26u);
  EXPECT_EQ(all.back().level, LogLevel::Warn);
  EXPECT_THAT(all.back().message, testing::HasSubstr("2500 bytes"));
  EXPECT_EQ(all.back().seq, static_cast<std::int64_t>(all.size()));
  for (std::size_t i = 0; i + 1 < all.size(); ++i) EXPECT_EQ(all[i].level, LogLevel::Info);
}

TEST_P(StoreContract, PruneKeepsTheNewestRunsOfEachJob) {
  const JobId id = add(job("j1"));
  for (int i = 0; i < 6; ++i) {
    plan(id, {base_ + Seconds(60 * i)});
    clock().advance(1min);
    const auto c = claim("w1").at(0);
    const auto l = line(now(), "x");
    must(store().append_log(held(c), {&l, 1}, 1000));
    EXPECT_TRUE(finish(c, RunState::Succeeded));
  }
  plan(id, {base_ + 6min});
  const Retention keep{.max_age = 1h, .runs_per_job = 2, .batch = 3};
  EXPECT_EQ(must(store().prune(keep, now())), 3u) << "never more than a batch";
  EXPECT_EQ(must(store().prune(keep, now())), 1u);
  EXPECT_EQ(must(store().prune(keep, now())), 0u);
  const auto left = must(other().list_runs({.workspace = ws_, .job = id}));
  EXPECT_EQ(left.total, 3) << "two ended ones and the queued one";
  EXPECT_EQ(left.items.back().scheduled_for, base_ + 4min);
  EXPECT_EQ(must(store().list_slots({.workspace = ws_, .job = id})).total, 3);
  EXPECT_EQ(code_of(store().read_log(RunId("j1@" + format_utc(base_)), 0, 1)), Code::NotFound);
  EXPECT_EQ(reread(id).run_count, 6);
}

TEST_P(StoreContract, PruneRemovesWhatIsOldWithItsRecordsAndDeletedJobs) {
  const JobId gone = add(job("gone")), kept = add(job("kept"));
  trigger(gone, "old");
  EXPECT_TRUE(finish(claim("w1").at(0), RunState::Succeeded));
  must(store().delete_job(ws_, gone, {}));
  PlanStep s = step(kept);
  s.records.push_back(
      {.job = kept, .first = base_, .last = base_, .reason = "paused", .recorded_at = now()});
  must(store().apply_plan(leader(), {&s, 1}));
  const Retention keep{};
  EXPECT_EQ(must(store().prune(keep, now())), 0u);
  EXPECT_EQ(must(store().get_run(ws_, RunId("old"))).state, RunState::Succeeded);
  clock().advance(31 * 24h);
  while (must(store().prune(keep, now())) > 0) {
  }
  EXPECT_EQ(code_of(store().get_run(ws_, RunId("old"))), Code::NotFound);
  EXPECT_EQ(must(store().list_slots({.workspace = ws_, .job = kept})).total, 0);
  EXPECT_EQ(code_of(store().list_slots({.workspace = ws_, .job = gone})), Code::NotFound);
  EXPECT_EQ(reread(kept).id, kept);
}

// Symptom: counting each record's newer ones for every record held all writers up for seconds.
TEST_P(StoreContract, PruneKeepsTheNewestSlotRecordsOfEachJob) {
  const JobId many = add(job("many")), few = add(job("few"));
  for (const auto& [id, count] : {std::pair(many, 9), std::pair(few, 4)}) {
    PlanStep s = step(id);
    for (int i = 0; i < count; ++i) {
      const Instant slot = base_ + Seconds(60 * i);
      s.records.push_back({.job = id,
                           .first = slot,
                           .last = slot,
                           .count = 1,
                           .outcome = model::SlotOutcome::Skipped,
                           .reason = i % 2 == 0 ? "overlap" : "paused",
                           .recorded_at = now()});
    }
    must(store().apply_plan(leader(), {&s, 1}));
  }
  const Retention keep{.max_age = 24h, .runs_per_job = 3, .batch = 4};
  EXPECT_EQ(must(store().prune(keep, now())), 4U);
  EXPECT_EQ(must(store().prune(keep, now())), 3U);
  EXPECT_EQ(must(store().prune(keep, now())), 0U);
  for (const auto& [id, newest] : {std::pair(many, 8), std::pair(few, 3)}) {
    const auto left = must(other().list_slots({.workspace = ws_, .job = id}));
    ASSERT_THAT(left.items, SizeIs(3));
    EXPECT_EQ(left.items.front().first, base_ + Seconds(60 * newest));
    EXPECT_EQ(left.items.back().first, base_ + Seconds(60 * (newest - 2)));
  }
}

TEST_P(StoreContract, PruneForgetsIdempotencyKeysAfterADay) {
  must(store().create_job(job("j1"), Idempotency{"s", "k", "h"}));
  EXPECT_EQ(must(store().prune({}, now())), 0u);
  clock().advance(24h);
  EXPECT_EQ(must(store().prune({}, now())), 1u);
}

// A worker that is killed cannot take its row along: the operators' query showed it for ever.
TEST_P(StoreContract, PruneForgetsWorkersThatAreSilentForADay) {
  model::WorkerInfo worker;
  worker.id = OwnerId("dead");
  must(store().heartbeat(worker));
  clock().advance(1h);
  worker.id = OwnerId("alive");
  must(store().heartbeat(worker));
  clock().advance(23h);
  EXPECT_EQ(must(store().prune({}, now())), 1U);
  const auto left = must(other().list_workers(1000h));
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_EQ(left[0].id, OwnerId("alive"));
}

}  // namespace tidegate::store::contract
