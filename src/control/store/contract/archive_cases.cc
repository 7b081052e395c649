#include <gmock/gmock.h>

#include <algorithm>

#include "base/json.h"
#include "control/store/archive_json.h"
#include "control/store/contract/contract.h"
#include "control/store/memory/memory_store.h"
#include "control/store/rules.h"

namespace tidegate::store::contract {

using model::ConnectionKind;
using model::RunState;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

namespace {

std::vector<ArchiveRecord> dump(Store& store) {
  std::vector<ArchiveRecord> all;
  const auto reader = must(store.read_archive());
  for (;;) {
    auto page = must(reader->next());
    if (page.empty()) return all;
    std::ranges::move(page, std::back_inserter(all));
  }
}

// One text for each record, sorted; a log line is a record, however they were batched.
std::vector<std::string> texts(const std::vector<ArchiveRecord>& records) {
  std::vector<std::string> out;
  for (const ArchiveRecord& record : records) {
    if (const auto* log = std::get_if<ArchivedLog>(&record)) {
      for (const auto& line : log->lines) {
        out.push_back(json::write(to_json(ArchivedLog{log->run, {line}})));
      }
    } else if (!std::holds_alternative<ArchivedFence>(record)) {
      out.push_back(json::write(to_json(record)));
    }
  }
  std::ranges::sort(out);
  return out;
}

template <class T>
std::vector<T> of_kind(const std::vector<ArchiveRecord>& records) {
  std::vector<T> out;
  for (const ArchiveRecord& record : records) {
    if (const T* item = std::get_if<T>(&record)) out.push_back(*item);
  }
  return out;
}

void restore(Store& store, const std::vector<ArchiveRecord>& records) {
  must(store.begin_restore("a1"));
  for (const ArchiveRecord& record : records) must(store.load_archive({&record, 1}));
  must(store.end_restore("a1"));
}

// Puts something of everything into a store: jobs with runs that ended in different ways and their
// logs, skipped and missed slots, a pause; a deleted job with history; a workspace; a token.
class Filler {
 public:
  Filler(Store& store, ManualClock& clock, WorkspaceId ws)
      : store_(store), clock_(clock), ws_(std::move(ws)), base_(clock.now()) {}

  void registry(model::Connection connection) {
    must(store_.create_workspace(
        {.id = WorkspaceId("w2"), .name = "team", .revision = 3, .created_at = base_}, {}));
    must(store_.create_token({.id = TokenId("t1"),
                              .name = "ci",
                              .hash = "aa11",
                              .role = model::Role::Operator,
                              .workspaces = {ws_},
                              .expires_at = base_ + 1h,
                              .created_at = base_,
                              .created_by = "root"}));
    connection.config = {{"$x.y", {{"$sealed", "v1.0a.b"}}}, {"list", {1, 2.5, nullptr, "ü"}}};
    connection.exclusive_key = "sqlite:/x";
    connection.revision = 4;
    must(store_.create_connection(connection, {}));
  }

  // Three slots that ran, two that were missed, one that was skipped.
  void busy_job(model::SyncJob job) {
    job.spec.overlap = model::Overlap::Allow;
    job.spec.timeout = Millis(90'000);
    must(store_.create_job(job, {}));
    const auto lease = must(store_.acquire_leader(OwnerId("leader"), Millis(8000)));
    PlanStep step{.job = job.id,
                  .expected_revision = job.revision,
                  .expected_next_slot = job.next_slot,
                  .next_slot = base_ + 6min};
    for (int i = 0; i < 3; ++i) {
      step.runs.push_back({RunId(job.id.str() + std::to_string(i)), base_ + i * 1min,
                           model::Trigger::Schedule, base_});
    }
    step.records.push_back({.first = base_ + 3min,
                            .last = base_ + 4min,
                            .count = 2,
                            .outcome = model::SlotOutcome::Missed,
                            .reason = "down",
                            .recorded_at = base_ + 5min});
    step.records.push_back({.first = base_ + 5min,
                            .last = base_ + 5min,
                            .outcome = model::SlotOutcome::MissedRestored,
                            .reason = "restored",
                            .recorded_at = base_ + 5min});
    ASSERT_EQ(must(store_.apply_plan(*lease, {&step, 1})), std::vector{PlanResult::Applied});
    run_all();
    must(store_.set_pause(ws_, job.id, {},
                          model::Pause{"why", base_ + 1h, base_ + 1min, "somebody"}, {}));
    must(store_.release_leader(*lease));
  }

  void deleted_job(const model::SyncJob& job) {
    must(store_.create_job(job, {}));
    TriggerRun t;
    t.workspace = ws_;
    t.job = job.id;
    t.run = RunId("by hand");
    t.triggered_by = "tester";
    t.only_entities = {"orders"};
    must(store_.trigger_run(t));
    run_all();
    must(store_.delete_job(ws_, job.id, {}));
  }

 private:
  void run_all() {
    const RunState ends[] = {RunState::Succeeded, RunState::Failed, RunState::Cancelled};
    std::size_t n = 0;
    for (const ClaimedRun& c :
         must(store_.claim_runs({.owner = OwnerId("worker"), .max = 10})).runs) {
      log(c, 1, 3);
      log(c, 4, 2);
      AttemptEnd end = end_of(c, ends[n++ % 3]);
      end.committed = {{"orders.$x", known(0, 7)}};
      end.warnings = {"a warning"};
      end.entities.emplace_back().entity = "orders.$x";
      for (Status& done : must(store_.finish_attempts({&end, 1}))) must(std::move(done));
      clock_.advance(1s);
    }
  }
  void log(const ClaimedRun& run, int from, int lines) {
    std::vector<model::RunLogLine> batch;
    for (int i = 0; i < lines; ++i) {
      batch.push_back({.seq = 0,
                       .at = base_ + Millis(from + i),
                       .attempt = 1,
                       .level = i % 2 == 0 ? LogLevel::Info : LogLevel::Warn,
                       .entity = i % 3 == 0 ? "orders" : "",
                       .message = "line ü " + std::to_string(from + i)});
    }
    must(store_.append_log(held(run), batch, 1 << 20));
  }

  Store& store_;
  ManualClock& clock_;
  WorkspaceId ws_;
  Instant base_;
};

}  // namespace

TEST_P(StoreContract, WhatAStoreHoldsComesBackWholeThroughAnotherOne) {
  Filler filler(store(), clock(), ws_);
  filler.registry(connection("c1", ConnectionKind::Destination));
  filler.busy_job(job("j1"));
  filler.deleted_job(job("j2"));
  add(job("j3"));
  must(store().reset_job(ws_, JobId("j3"), {}, {}));
  const auto first = dump(store());
  EXPECT_THAT(of_kind<model::Run>(first), SizeIs(4));
  EXPECT_THAT(of_kind<model::SlotRecord>(first), SizeIs(2));
  EXPECT_THAT(of_kind<ArchivedJob>(first), SizeIs(3));

  const auto memory = make_memory_store(clock());
  restore(*memory, first);
  const auto second = dump(*memory);
  EXPECT_EQ(texts(first), texts(second));

  const auto fresh = GetParam().make();
  Store& back = fresh->store();
  restore(back, second);
  EXPECT_EQ(texts(first), texts(dump(back)));
  // And everybody finds it there.
  EXPECT_EQ(must(back.list_jobs({.workspace = ws_})).total, 2);
  EXPECT_EQ(must(back.list_slots({.workspace = ws_, .job = JobId("j1")})).total, 5);
  EXPECT_THAT(must(back.read_log(RunId("j10"), 3, 100)), SizeIs(2));
  EXPECT_EQ(must(back.get_run(ws_, RunId("by hand"))).triggered_by, "tester");
  EXPECT_EQ(must(back.find_token("aa11")).value().name, "ci");
  EXPECT_EQ(must(back.get_job(ws_, JobId("j1"))).known_state.at("orders.$x").sequence, 7);
}

TEST_P(StoreContract, NoFenceGoesBackwardsInARestoredStore) {
  const Fence far = Fence{to_ms(now()) + 1'000'000};  // its clock had stepped back
  auto j = ArchivedJob{.job = job("j1"), .fence = far, .deleted = false};
  const auto fresh = GetParam().make();
  Store& back = fresh->store();
  restore(back, {model::Workspace{.id = ws_, .name = "default", .revision = 1, .created_at = base_},
                 connection("src", ConnectionKind::Source),
                 connection("dst", ConnectionKind::Destination), ArchivedFence{far}, j});
  const auto lease = must(back.acquire_leader(OwnerId("next"), Millis(8000)));
  ASSERT_TRUE(lease);
  EXPECT_GT(lease->fence, far);
  // The step of a leader with such a fence applies.
  const PlanStep step{.job = j.job.id,
                      .expected_revision = 1,
                      .expected_next_slot = base_,
                      .next_slot = base_ + 1min,
                      .runs = {{RunId("r1"), base_, model::Trigger::Schedule, base_}}};
  EXPECT_EQ(must(back.apply_plan(*lease, {&step, 1})), std::vector{PlanResult::Applied});
  const auto claimed = must(back.claim_runs({.owner = OwnerId("w"), .max = 1})).runs;
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_GT(claimed[0].run.fence, far);
}

TEST_P(StoreContract, AnInterruptedRestoreIsRepeatedAndNobodyLeadsMeanwhile) {
  Filler filler(store(), clock(), ws_);
  filler.busy_job(job("j1"));
  const auto all = dump(store());
  const auto fresh = GetParam().make();
  Store& back = fresh->store();
  const Instant began = must(back.begin_restore("a1"));
  must(back.load_archive(std::span(all).first(all.size() / 2)));
  EXPECT_EQ(reason_of(fresh->other().check_whole()), "restore_unfinished");
  EXPECT_EQ(reason_of(must(fresh->other().read_archive())->next()), "restore_unfinished");
  fresh->clock().advance(240h);
  EXPECT_FALSE(must(fresh->other().acquire_leader(OwnerId("hasty"), Millis(8000))));
  EXPECT_EQ(reason_of(back.begin_restore("a2")), "other_restore");
  EXPECT_EQ(must(fresh->other().begin_restore("a1")), began) << "the same time, the same records";
  must(back.load_archive(all));
  EXPECT_EQ(reason_of(back.check_whole()), "restore_unfinished") << "whoever repeats it";
  must(back.end_restore("a1"));
  must(back.end_restore("a1"));
  must(back.check_whole());
  EXPECT_EQ(texts(all), texts(dump(back)));
  EXPECT_TRUE(must(back.acquire_leader(OwnerId("next"), Millis(8000))));
}

TEST_P(StoreContract, OnlyAnEmptyStoreIsFilled) {
  const auto refused = store().begin_restore("a1");
  EXPECT_EQ(reason_of(refused), "store_not_empty");
  EXPECT_EQ(code_of(refused), Code::Invalid) << "no other try mends it";
  EXPECT_THAT(refused.error().message, HasSubstr("data sources or destinations"));
  const auto fresh = GetParam().make();
  Store& empty = fresh->store();
  must(empty.create_token(
      {.id = TokenId("t0"), .name = "admin", .hash = "h0", .created_by = "bootstrap of x"}));
  const auto lease = must(empty.acquire_leader(OwnerId("server"), Millis(8000)));
  EXPECT_EQ(reason_of(empty.begin_restore("a1")), "store_in_use");
  must(empty.check_whole());
  must(empty.release_leader(*lease));
  must(empty.create_token({.id = TokenId("t1"), .name = "ci", .hash = "h1", .created_by = "me"}));
  EXPECT_EQ(reason_of(empty.begin_restore("a1")), "store_not_empty");
  must(empty.delete_token(TokenId("t1")));
  must(empty.begin_restore("a1"));
  EXPECT_THAT(must(empty.list_tokens()), IsEmpty()) << "a start makes its own again";
  EXPECT_THAT(must(empty.list_workspaces()), IsEmpty());
}

TEST_P(StoreContract, ARunThatHasNotEndedIsNotLoaded) {
  const auto fresh = GetParam().make();
  must(fresh->store().begin_restore("a1"));
  model::Run run;
  run.id = RunId("r1");
  run.job = JobId("j1");
  run.workspace = ws_;
  EXPECT_EQ(code_of(fresh->store().load_archive(std::vector<ArchiveRecord>{run})), Code::Invalid);
  EXPECT_EQ(code_of(fresh->store().get_run(ws_, run.id)), Code::NotFound);
}

TEST_P(StoreContract, AnArchiveShowsOneMomentWhereItSaysSo) {
  add(job("j1"));
  const auto reader = must(store().read_archive());
  add(job("j2"));
  std::size_t jobs = 0;
  for (;;) {
    const auto page = must(reader->next());
    if (page.empty()) break;
    jobs += of_kind<ArchivedJob>(page).size();
  }
  EXPECT_EQ(jobs, reader->is_snapshot() ? 1 : 2);
}

}  // namespace tidegate::store::contract
