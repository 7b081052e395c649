#include <gmock/gmock.h>

#include "control/store/contract/contract.h"

namespace tidegate::store::contract {

using model::ConnectionKind;
using model::RunState;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_P(StoreContract, JobComesBackAsItWasWritten) {
  model::SyncJob j = job("j1");
  j.spec.description = "höher\nline two";
  j.spec.schedule = model::CronSchedule{"0 * * * *", "America/New_York"};
  j.spec.mode = protocol::SyncMode::Incremental;
  j.spec.entity_filter = {"a*", "b"};
  j.spec.entities["orders"].primary_key = {"id", "line"};
  j.spec.entities["orders"].lookback = Millis(90'000);
  j.spec.enabled = false;
  j.spec.retry = {.max_attempts = 7,
                  .initial = Millis(1000),
                  .factor = 1.5,
                  .max = Millis(9000),
                  .jitter = false};
  j.spec.timeout = Millis(3'600'000);
  j.spec.overlap = model::Overlap::QueueAll;
  j.spec.catchup = model::Catchup::All;
  add(j);
  for (Store* s : {&store(), &other()}) {
    const model::SyncJob got = must(s->get_job(ws_, j.id));
    EXPECT_EQ(got.spec, j.spec);
    EXPECT_EQ(got.workspace, ws_);
    EXPECT_EQ(got.revision, 1);
    EXPECT_EQ(got.created_by, "tester");
    EXPECT_EQ(got.created_at, base_);
    EXPECT_EQ(got.next_slot, base_);
    EXPECT_FALSE(got.pause || got.last_run_at || got.last_success_at || got.last_error);
    EXPECT_EQ(got.run_count, 0);
  }
}

TEST_P(StoreContract, AnUnknownJobOrAnotherWorkspacesIsNotFound) {
  const JobId id = add(job("j1"));
  EXPECT_EQ(reason_of(store().get_job(ws_, JobId("nope"))), "job_not_found");
  EXPECT_EQ(reason_of(store().get_job(WorkspaceId("elsewhere"), id)), "job_not_found");
  EXPECT_EQ(code_of(store().delete_job(WorkspaceId("elsewhere"), id, {})), Code::NotFound);
  EXPECT_EQ(code_of(store().reset_job(WorkspaceId("elsewhere"), id, {}, {})), Code::NotFound);
}

TEST_P(StoreContract, CreateRefusesWhatDoesNotFit) {
  add(job("j1"));
  model::SyncJob same_name = job("j2");
  same_name.spec.name = "name of j1";
  EXPECT_EQ(reason_of(store().create_job(same_name, {})), "name_taken");

  model::SyncJob nowhere = job("j3");
  nowhere.workspace = WorkspaceId("nope");
  EXPECT_EQ(reason_of(store().create_job(nowhere, {})), "workspace_not_found");

  model::SyncJob dangling = job("j4");
  dangling.spec.source_id = ConnectionId("dst");  // exists, of the wrong kind
  dangling.spec.destination_id = ConnectionId("nope");
  const auto refused = store().create_job(dangling, {});
  ASSERT_EQ(code_of(refused), Code::Invalid);
  ASSERT_THAT(refused.error().details, SizeIs(2));
  EXPECT_EQ(refused.error().details[0].field, "dataSourceId");
  EXPECT_EQ(refused.error().details[1].field, "destinationDatabaseId");
  EXPECT_EQ(must(store().list_jobs({.workspace = ws_})).total, 1);
}

TEST_P(StoreContract, CreatingTwiceIsSafe) {
  const Idempotency once{"token1 POST jobs", "key1", "hash1"};
  EXPECT_FALSE(must(store().create_job(job("j1"), once)).replayed);
  // A client repeats with a new id: the first one answers.
  const auto again = must(other().create_job(job("j2"), once));
  EXPECT_TRUE(again.replayed);
  EXPECT_EQ(again.id, JobId("j1"));
  EXPECT_EQ(reason_of(store().create_job(job("j2"), Idempotency{once.scope, once.key, "other"})),
            "idempotency_mismatch");
  EXPECT_FALSE(must(store().create_job(job("j3"), Idempotency{"token2 POST jobs", "key1", "hash1"}))
                   .replayed);
  // The same id without a key: the reply of the first was lost.
  EXPECT_TRUE(must(store().create_job(job("j1"), {})).replayed);
  clock().advance(Millis(86'400'000));
  EXPECT_FALSE(
      must(store().create_job(job("j4"), Idempotency{once.scope, once.key, "other"})).replayed);
}

TEST_P(StoreContract, UpdateReplacesTheSpecUnderItsRevision) {
  const JobId id = add(job("j1"));
  add(job("j2"));
  JobStore::UpdateJob u{.workspace = ws_,
                        .id = id,
                        .if_revision = 1,
                        .spec = job("j1").spec,
                        .reschedule = {},
                        .at = now()};
  u.spec.name = "renamed";
  u.spec.enabled = false;
  const auto changed = must(store().update_job(u));
  EXPECT_EQ(changed.revision, 2);
  EXPECT_EQ(changed.spec, u.spec);
  EXPECT_EQ(changed.next_slot, base_) << "no reschedule: the next slot stays";
  EXPECT_EQ(must(other().get_job(ws_, id)).spec, u.spec);

  const auto stale = store().update_job(u);
  EXPECT_EQ(code_of(stale), Code::PreconditionFailed);
  u.if_revision = std::nullopt;
  u.spec.name = "name of j2";
  EXPECT_EQ(reason_of(store().update_job(u)), "name_taken");
  u.spec.name = "renamed";
  u.spec.source_id = ConnectionId("nope");
  EXPECT_EQ(code_of(store().update_job(u)), Code::Invalid);
  EXPECT_EQ(reread(id).revision, 2);
}

TEST_P(StoreContract, RescheduleMovesTheNextSlotAndRecordsWhatWasDue) {
  const JobId id = add(job("j1"));
  JobStore::UpdateJob u{.workspace = ws_,
                        .id = id,
                        .if_revision = {},
                        .spec = job("j1").spec,
                        .reschedule = Reschedule{},
                        .at = now()};
  u.reschedule->expected_next_slot = base_;
  u.reschedule->next_slot = base_ + std::chrono::hours(5);
  u.reschedule->skipped.push_back({.job = id,
                                   .first = base_,
                                   .last = base_,
                                   .count = 1,
                                   .reason = std::string(model::skip_reason::kScheduleChanged),
                                   .recorded_at = now()});
  EXPECT_EQ(must(store().update_job(u)).next_slot, base_ + std::chrono::hours(5));
  const auto slots = must(store().list_slots({.workspace = ws_, .job = id})).items;
  ASSERT_THAT(slots, SizeIs(1));
  EXPECT_EQ(slots[0].reason, "schedule_changed");
  u.reschedule = Reschedule{.expected_next_slot = base_ + std::chrono::hours(5)};
  EXPECT_EQ(must(store().update_job(u)).next_slot, std::nullopt);
}

// Symptom: the slots behind the one that was planned meanwhile got no outcome at all.
TEST_P(StoreContract, AScheduleChangeJudgedBeforeTheLeaderPlannedIsRefused) {
  const JobId id = add(job("j1"));
  JobStore::UpdateJob u{.workspace = ws_,
                        .id = id,
                        .if_revision = 1,
                        .spec = job("j1").spec,
                        .reschedule = Reschedule{},
                        .at = now()};
  u.spec.description = "changed";
  u.reschedule->expected_next_slot = base_;
  plan(id, {base_});
  EXPECT_EQ(reason_of(store().update_job(u)), "slots_moved");
  EXPECT_EQ(reread(id).spec.description, "");
  EXPECT_EQ(reread(id).revision, 1);
  u.reschedule->expected_next_slot = reread(id).next_slot;
  EXPECT_EQ(must(store().update_job(u)).revision, 2);
}

TEST_P(StoreContract, PauseAndResetRaiseTheRevision) {
  const JobId id = add(job("j1"));
  const model::Pause pause{"migration", base_ + std::chrono::hours(1), base_, "ann"};
  const auto paused = must(store().set_pause(ws_, id, 1, pause, {}));
  EXPECT_EQ(paused.pause, pause);
  EXPECT_EQ(paused.revision, 2);
  EXPECT_EQ(must(other().get_job(ws_, id)).pause, pause);
  EXPECT_EQ(code_of(store().set_pause(ws_, id, 1, {}, {})), Code::PreconditionFailed);
  EXPECT_FALSE(must(store().set_pause(ws_, id, 2, {}, {})).pause);
  const auto reset = must(store().reset_job(ws_, id, {}, {}));
  EXPECT_EQ(reset.reset_epoch, 1);
  EXPECT_EQ(reset.revision, 4);
}

TEST_P(StoreContract, ChangingTwiceWithOneKeyChangesOnce) {
  const JobId id = add(job("j1"));
  const auto key = [](std::string name) {
    return Idempotency{"token1 POST", std::move(name), "h"};
  };
  EXPECT_EQ(must(store().find_replay(key("toggle"))), std::nullopt);
  JobStore::UpdateJob u{.workspace = ws_,
                        .id = id,
                        .if_revision = 1,
                        .spec = must(store().get_job(ws_, id)).spec,
                        .reschedule = {},
                        .at = base_,
                        .once = key("toggle")};
  u.spec.enabled = false;
  EXPECT_EQ(must(store().update_job(u)).revision, 2);
  EXPECT_EQ(must(other().find_replay(key("toggle"))), id.str());
  EXPECT_EQ(reason_of(other().find_replay({"token1 POST", "toggle", "other"})),
            "idempotency_mismatch");
  u.spec.enabled = true;
  const auto again = must(other().update_job(u));
  EXPECT_FALSE(again.spec.enabled);
  EXPECT_EQ(again.revision, 2);
  for (int n = 0; n < 2; ++n) {
    EXPECT_EQ(must(store().reset_job(ws_, id, 2, key("reset"))).reset_epoch, 1);
    EXPECT_EQ(
        must(store().set_pause(ws_, id, 3, model::Pause{.since = base_}, key("pause"))).revision,
        4);
  }
  u.once = Idempotency{"token1 POST", "reset", "other"};
  EXPECT_EQ(reason_of(store().update_job(u)), "idempotency_mismatch");
  trigger(id, "r1");
  for (int n = 0; n < 2; ++n) {
    EXPECT_EQ(must(store().request_cancel(ws_, RunId("r1"), key("cancel"))).state,
              RunState::Cancelled);
  }
  clock().advance(Millis(86'400'000));
  EXPECT_EQ(must(store().find_replay(key("reset"))), std::nullopt);
  EXPECT_EQ(must(store().reset_job(ws_, id, {}, key("reset"))).reset_epoch, 2);
}

TEST_P(StoreContract, ResetForgetsStateAndRefusesThatOfAnOlderEpoch) {
  const JobId id = add(job("j1"));
  trigger(id, "r1");
  const auto runs = claim("w1");
  Renewal renewal{.held = held(runs.at(0)), .progress = {}, .committed = {{"orders", known(0, 3)}}};
  must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1}));
  EXPECT_EQ(reread(id).known_state.at("orders").sequence, 3);
  EXPECT_THAT(must(store().reset_job(ws_, id, {}, {})).known_state, IsEmpty());
  renewal.committed = {{"orders", known(0, 4)}, {"lines", known(1, 1)}};
  must(store().renew_runs(OwnerId("w1"), Millis(12'000), {&renewal, 1}));
  const auto states = must(other().get_job(ws_, id)).known_state;
  ASSERT_THAT(states, SizeIs(1));
  EXPECT_EQ(states.at("lines").epoch, 1);
  EXPECT_EQ(states.at("lines").destination_id, "d1");
  EXPECT_EQ(states.at("lines").state, R"({"cursor":"x"})");
}

TEST_P(StoreContract, DeleteCancelsWhatIsQueuedAndAsksWhatRunsToStop) {
  model::SyncJob j = job("j1");
  j.spec.overlap = model::Overlap::Allow;
  const JobId id = add(j);
  trigger(id, "r1");
  const auto running = claim("w1");
  trigger(id, "r2");
  EXPECT_EQ(code_of(store().delete_job(ws_, id, 7)), Code::PreconditionFailed);
  must(store().delete_job(ws_, id, 1));

  EXPECT_EQ(code_of(store().get_job(ws_, id)), Code::NotFound);
  EXPECT_THAT(must(store().list_jobs({.workspace = ws_})).items, IsEmpty());
  const auto deleted = must(other().list_jobs({.workspace = ws_, .deleted = true}));
  EXPECT_EQ(deleted.total, 1);
  ASSERT_THAT(deleted.items, SizeIs(1));
  EXPECT_EQ(deleted.items[0].id, id);
  EXPECT_EQ(deleted.items[0].spec.name, j.spec.name) << "its runs still say whose they are";
  EXPECT_EQ(code_of(store().delete_job(ws_, id, {})), Code::NotFound);
  EXPECT_THAT(must(store().due_jobs(now(), 10)).jobs, IsEmpty());
  EXPECT_EQ(run(RunId("r2")).state, RunState::Cancelled);
  EXPECT_EQ(run(RunId("r1")).state, RunState::Running);
  EXPECT_TRUE(run(RunId("r1")).cancel_requested);
  EXPECT_EQ(
      reason_of(store().delete_connection(ws_, ConnectionKind::Source, ConnectionId("src"), {})),
      "connection_in_use")
      << "a run of the deleted job still reads it";
  EXPECT_TRUE(finish(running.at(0), RunState::Cancelled));
  EXPECT_EQ(must(other().get_run(ws_, RunId("r1"))).state, RunState::Cancelled);
  EXPECT_EQ(must(store().list_runs({.workspace = ws_, .job = id})).total, 2);
  must(store().delete_connection(ws_, ConnectionKind::Source, ConnectionId("src"), {}));
  must(store().create_connection(connection("src", ConnectionKind::Source), {}));
  model::SyncJob successor = job("j2");
  successor.spec.name = j.spec.name;
  add(successor);
}

TEST_P(StoreContract, JobsAreListedByNameInPages) {
  for (const char* name : {"delta", "alpha", "Charlie", "bravo", "echo"}) {
    model::SyncJob j = job(std::string("id-") + name);
    j.spec.name = name;
    j.spec.enabled = std::string(name) != "echo";
    add(j);
  }
  JobQuery q{.workspace = ws_};
  q.page.limit = 2;
  std::vector<std::string> names;
  for (int pages = 0; pages < 10; ++pages) {
    const auto list = must(store().list_jobs(q));
    EXPECT_EQ(list.total, 5);
    for (const auto& j : list.items) names.push_back(j.spec.name);
    q.page.cursor = list.next_cursor;
    if (!q.page.cursor) break;
  }
  EXPECT_THAT(names, ElementsAre("Charlie", "alpha", "bravo", "delta", "echo"));
  EXPECT_EQ(must(store().list_jobs({.workspace = ws_, .name_contains = "CHAR"})).total, 1);
  EXPECT_EQ(must(store().list_jobs({.workspace = ws_, .name_contains = "%"})).total, 0);
  EXPECT_EQ(must(store().list_jobs({.workspace = ws_, .enabled = false})).total, 1);
  EXPECT_EQ(must(store().list_jobs({.workspace = ws_, .deleted = true})).total, 0);
  EXPECT_EQ(must(store().list_jobs({.workspace = ws_, .connection = ConnectionId("dst")})).total,
            5);
  EXPECT_EQ(must(store().list_jobs({.workspace = WorkspaceId("nope")})).total, 0);
  q.page.cursor = "zz";
  EXPECT_EQ(code_of(store().list_jobs(q)), Code::Malformed);
  q.page.cursor = must(store().list_runs({})).next_cursor.value_or("00");
  EXPECT_EQ(code_of(store().list_jobs(q)), Code::Malformed);
}

}  // namespace tidegate::store::contract
