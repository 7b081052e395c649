#include <gmock/gmock.h>

#include "control/archive/check.h"
#include "control/archive/restore.h"

namespace tidegate::archive {
namespace {

using model::RunState;
using store::ArchiveRecord;
using testing::HasSubstr;
using testing::SizeIs;
using namespace std::chrono_literals;

const Instant kMade = from_ms(1'767'225'600'000);  // 2026-01-01T00:00:00Z
const Instant kNow = kMade + 150min;

model::SyncJob hourly(const std::string& id) {
  model::SyncJob job;
  job.id = JobId(id);
  job.workspace = WorkspaceId("w");
  job.spec.name = "job " + id;
  job.spec.source_id = ConnectionId("s");
  job.spec.destination_id = ConnectionId("d");
  job.spec.schedule = model::EverySchedule{.every = Millis(3'600'000), .anchor = std::nullopt};
  job.next_slot = kMade;
  job.revision = 4;
  return job;
}

model::Run run_of(const std::string& id, RunState state) {
  model::Run run;
  run.id = RunId(id);
  run.job = JobId("j");
  run.workspace = WorkspaceId("w");
  run.state = state;
  run.fence = Fence{7};
  run.owner = OwnerId(state == RunState::Running ? "worker" : "");
  if (state != RunState::Queued) {
    run.attempts.push_back({.number = 1, .owner = run.owner, .fence = run.fence});
  }
  return run;
}

template <class T>
std::vector<T> of_kind(const std::vector<ArchiveRecord>& records) {
  std::vector<T> out;
  for (const auto& record : records) {
    if (const T* item = std::get_if<T>(&record)) out.push_back(*item);
  }
  return out;
}

class TransformTest : public testing::Test {
 protected:
  std::vector<ArchiveRecord> apply(std::vector<ArchiveRecord> records) {
    std::vector<ArchiveRecord> out;
    for (auto& record : records) {
      const Status done = transform_.apply(std::move(record), out);
      EXPECT_TRUE(done) << describe(done.error());
    }
    return out;
  }
  store::ArchivedJob job_of(std::vector<ArchiveRecord> records) {
    const auto jobs = of_kind<store::ArchivedJob>(apply(std::move(records)));
    EXPECT_THAT(jobs, SizeIs(1));
    return jobs.at(0);
  }
  Transform transform_{kMade, kNow};
};

TEST_F(TransformTest, EveryJobIsPausedAndWhatCameDueSinceIsOneRecord) {
  const auto out = apply({store::ArchivedJob{.job = hourly("j"), .fence = Fence{3}}});
  const auto records = of_kind<model::SlotRecord>(out);
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].outcome, model::SlotOutcome::MissedRestored);
  EXPECT_EQ(records[0].first, kMade);
  EXPECT_EQ(records[0].last, kMade + 2h);
  EXPECT_EQ(records[0].count, 3);
  const auto jobs = of_kind<store::ArchivedJob>(out);
  ASSERT_THAT(jobs, SizeIs(1));
  const model::SyncJob& job = jobs[0].job;
  EXPECT_EQ(job.next_slot, kMade + 3h) << "what follows is planned as ever";
  ASSERT_TRUE(job.pause);
  EXPECT_EQ(job.pause->note,
            "restored from backup of 2026-01-01T00:00:00Z; resume when the old server is off");
  EXPECT_FALSE(job.pause->until);
  EXPECT_EQ(job.pause->since, kNow);
  EXPECT_EQ(job.revision, 5);
  EXPECT_EQ(transform_.missed_slots(), 3);
  EXPECT_EQ(transform_.paused_jobs(), 1);
}

TEST_F(TransformTest, APauseOfBeforeIsNotForgotten) {
  auto job = hourly("j");
  job.pause = model::Pause{"month end", kNow + 1h, kMade, "ann"};
  const auto restored = job_of({store::ArchivedJob{.job = job}});
  EXPECT_THAT(restored.job.pause->note, HasSubstr("was paused before by ann: month end"));
  EXPECT_FALSE(restored.job.pause->until) << "it does not resume by itself";
}

TEST_F(TransformTest, NothingIsRecordedForADisabledAndADeletedJob) {
  auto disabled = hourly("a"), deleted = hourly("b");
  disabled.spec.enabled = false;
  deleted.next_slot.reset();
  const auto out = apply(
      {store::ArchivedJob{.job = disabled}, store::ArchivedJob{.job = deleted, .deleted = true}});
  EXPECT_THAT(of_kind<model::SlotRecord>(out), SizeIs(0));
  const auto jobs = of_kind<store::ArchivedJob>(out);
  EXPECT_TRUE(jobs.at(0).job.pause);
  EXPECT_EQ(jobs.at(0).job.next_slot, kMade);
  EXPECT_FALSE(jobs.at(1).job.pause);
}

TEST_F(TransformTest, AOneOffThatWasDueIsMissedAndNothingFollows) {
  auto job = hourly("j");
  job.spec.schedule = model::AtSchedule{kMade + 1h};
  job.next_slot = kMade + 1h;
  const auto out = apply({store::ArchivedJob{.job = job}});
  EXPECT_EQ(of_kind<model::SlotRecord>(out).at(0).count, 1);
  EXPECT_FALSE(of_kind<store::ArchivedJob>(out).at(0).job.next_slot);
}

// Of a store that shows no moment as a whole, or whose clock had stepped back.
TEST_F(TransformTest, ASlotThatHasAnOutcomeIsNotRecordedAgain) {
  auto ran = run_of("r", RunState::Succeeded);
  ran.scheduled_for = kMade;
  const model::SlotRecord skipped{.job = JobId("j"), .first = kMade + 1h, .last = kMade + 1h};
  const auto out = apply({skipped, ran, store::ArchivedJob{.job = hourly("j")}});
  const auto records = of_kind<model::SlotRecord>(out);
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[1].first, kMade + 2h);
  EXPECT_EQ(records[1].count, 1);
}

TEST_F(TransformTest, RunsThatHadNotEndedAreCancelledAndCounted) {
  auto job = hourly("j");
  job.run_count = 10;
  job.consecutive_failures = 2;
  const auto out =
      apply({run_of("q", RunState::Queued), run_of("r", RunState::Running),
             run_of("f", RunState::Failed), store::ArchivedJob{.job = job, .fence = Fence{3}}});
  const auto runs = of_kind<model::Run>(out);
  for (const std::size_t i : {0, 1}) {
    EXPECT_EQ(runs.at(i).state, RunState::Cancelled);
    EXPECT_EQ(runs.at(i).error_kind, "restored");
    EXPECT_EQ(runs.at(i).finished_at, kNow);
    EXPECT_TRUE(runs.at(i).owner.empty());
  }
  EXPECT_THAT(runs.at(0).error, HasSubstr("was queued when the backup of 2026-01-01T00:00:00Z"));
  EXPECT_EQ(runs.at(1).attempts.at(0).outcome, "cancelled");
  EXPECT_EQ(runs.at(1).attempts.at(0).finished_at, kNow);
  EXPECT_EQ(runs.at(2).state, RunState::Failed);
  const auto jobs = of_kind<store::ArchivedJob>(out);
  EXPECT_EQ(jobs.at(0).job.run_count, 12);
  EXPECT_EQ(jobs.at(0).job.consecutive_failures, 2) << "it tells nothing of the job's health";
  EXPECT_EQ(jobs.at(0).fence, Fence{7}) << "no fence goes backwards";
  EXPECT_EQ(transform_.ended_runs(), 2);
}

// ---- what is refused

Status checked(const std::vector<ArchiveRecord>& records, const secrets::KeyRing* keys = nullptr) {
  Check check(keys);
  for (const auto& record : records) check.see(record);
  return check.finish();
}

const model::Workspace kWorkspace{.id = WorkspaceId("w"), .name = "default"};

model::Connection connection(const std::string& id, model::ConnectionKind kind) {
  model::Connection c;
  c.id = ConnectionId(id);
  c.workspace = WorkspaceId("w");
  c.kind = kind;
  c.name = id;
  return c;
}

const std::vector<ArchiveRecord> kWhole{kWorkspace,
                                        connection("s", model::ConnectionKind::Source),
                                        connection("d", model::ConnectionKind::Destination),
                                        run_of("r", RunState::Failed),
                                        store::ArchivedLog{RunId("r"), {{.seq = 1}}},
                                        store::ArchivedJob{.job = hourly("j")}};

TEST(ArchiveCheck, WhatIsReferredToMustBeThere) {
  EXPECT_TRUE(checked(kWhole));
  for (const std::size_t missing : {0, 1, 2, 3, 5}) {
    auto part = kWhole;
    part.erase(part.begin() + static_cast<std::ptrdiff_t>(missing));
    const auto refused = checked(part);
    ASSERT_FALSE(refused) << missing;
    EXPECT_EQ(refused.error().reason, "backup_incomplete");
    EXPECT_FALSE(refused.error().details.empty());
  }
  auto swapped = kWhole;
  std::get<model::Connection>(swapped[1]).kind = model::ConnectionKind::Destination;
  EXPECT_FALSE(checked(swapped)) << "a destination is no source";
  auto deleted = kWhole;
  deleted.erase(deleted.begin() + 1);
  std::get<store::ArchivedJob>(deleted.back()).deleted = true;
  EXPECT_TRUE(checked(deleted)) << "of a deleted job only its history is left";
}

TEST(ArchiveCheck, AScheduleThatCannotBeReadIsNamed) {
  auto records = kWhole;
  std::get<store::ArchivedJob>(records.back()).job.spec.schedule =
      model::CronSchedule{.expression = "0 3 * * *", .timezone = "Mars/Olympus"};
  const auto refused = checked(records);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "bad_schedule");
  EXPECT_THAT(refused.error().details.at(0).field, HasSubstr("job j"));
}

TEST(ArchiveCheck, ASecretThatNoKeyOpensIsNamedWithItsKey) {
  const auto old = secrets::KeyRing::from_text(std::string(64, 'a'));
  const auto other = secrets::KeyRing::from_text(std::string(64, 'b'));
  ASSERT_TRUE(old && other);
  SeededRng rng(1);
  auto records = kWhole;
  auto& c = std::get<model::Connection>(records[1]);
  // As secrets::seal_config does it: the place is the id and the member's path.
  const std::string place = c.id.str() + std::string(1, '\0') + "config.password";
  c.config = {{"password", {{"$sealed", old->seal("\"canary\"", place, rng)}}}};
  EXPECT_TRUE(checked(records, &*old));
  const auto refused = checked(records, &*other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "secret_unreadable");
  EXPECT_THAT(refused.error().details.at(0).message, HasSubstr(old->key_ids().front()));
  EXPECT_EQ(secret_keys_of(c.config), old->key_ids());
}

}  // namespace
}  // namespace tidegate::archive
