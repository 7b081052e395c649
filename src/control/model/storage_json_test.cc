#include "control/model/storage_json.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "control/model/connection_json.h"
#include "control/model/run_json.h"

namespace tidegate::model {
namespace {

// Encoded, written as text and parsed: what a store does.
boost::json::value through_text(const boost::json::object& o) {
  return json::parse(json::write(o)).value();
}

SyncJob full_job() {
  SyncJob j;
  j.id = JobId("j");
  j.workspace = WorkspaceId("w");
  j.spec.name = "n";
  j.spec.description = "d";
  j.spec.source_id = ConnectionId("s");
  j.spec.destination_id = ConnectionId("t");
  j.spec.schedule = CronSchedule{"H 2 * * *", "Europe/Berlin", cron::DstPolicy::Once};
  j.spec.mode = protocol::SyncMode::IncrementalAppend;
  j.spec.entity_filter = {"a", "b*"};
  j.spec.entities["a"] = {"cur", {"id", "x"}, {"c"}, {"d"}, "w > 1", Millis(5), Millis(6)};
  j.spec.entities["b"] = {};
  j.spec.enabled = false;
  j.spec.retry = {7, Millis(1), 1.25, Millis(9), false};
  j.spec.timeout = Millis(1234);
  j.spec.stall_timeout = Millis(0);
  j.spec.overlap = Overlap::QueueAll;
  j.spec.catchup = Catchup::None;
  j.spec.max_catchup = 3;
  j.spec.catchup_window = Millis(17);
  j.spec.misfire_grace = Millis(18);
  j.spec.jitter = Millis(19);
  j.spec.schema_change = protocol::SchemaChange::Fail;
  j.spec.max_rejected = 20;
  j.spec.labels["k"] = "v";
  j.revision = 5;
  j.created_by = "me";
  j.created_at = from_ms(1001);
  j.updated_at = from_ms(2002);
  j.pause = Pause{"note", from_ms(3), from_ms(2), "you"};
  j.next_slot = from_ms(60'000);
  j.last_run_at = from_ms(5);
  j.last_success_at = from_ms(6);
  j.last_error = "";
  j.run_count = 12;
  j.consecutive_failures = 2;
  j.success_durations = {Millis(1), Millis(2)};
  j.known_state["a"] = {"dest", 2, 3, R"({"x":1})"};
  j.reset_epoch = 4;
  return j;
}

TEST(StoredJob, NothingIsLost) {
  const SyncJob j = full_job();
  const auto back = job_from_stored(through_text(to_stored(j)));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(to_stored(*back), to_stored(j));
  EXPECT_EQ(back->spec, j.spec);
  EXPECT_EQ(back->id, j.id);
  EXPECT_EQ(back->workspace, j.workspace);
  EXPECT_EQ(back->revision, 5);
  EXPECT_EQ(back->created_by, "me");
  EXPECT_EQ(back->created_at, j.created_at);
  EXPECT_EQ(back->updated_at, j.updated_at);
  EXPECT_EQ(back->pause, j.pause);
  EXPECT_EQ(back->next_slot, j.next_slot);
  EXPECT_EQ(back->last_run_at, j.last_run_at);
  EXPECT_EQ(back->last_success_at, j.last_success_at);
  EXPECT_EQ(back->last_error, j.last_error);
  EXPECT_EQ(back->run_count, 12);
  EXPECT_EQ(back->consecutive_failures, 2);
  EXPECT_EQ(back->success_durations, j.success_durations);
  ASSERT_EQ(back->known_state.size(), 1u);
  EXPECT_EQ(back->known_state.at("a").state, R"({"x":1})");
  EXPECT_EQ(back->known_state.at("a").sequence, 3);
  EXPECT_EQ(back->reset_epoch, 4);
}

TEST(StoredJob, EveryKindOfScheduleComesBack) {
  for (const Schedule& s :
       {Schedule(), Schedule(EverySchedule{Millis(5000), from_ms(7000)}),
        Schedule(EverySchedule{Millis(5000), std::nullopt}), Schedule(AtSchedule{from_ms(9000)})}) {
    JobSpec spec;
    spec.schedule = s;
    EXPECT_EQ(job_spec_from_stored(through_text(to_stored(spec)))->schedule, s);
  }
}

// What was accepted once must stay readable when the rules get stricter.
TEST(StoredJob, ChecksNothingButTheShape) {
  JobSpec spec;
  spec.schedule = CronSchedule{"never", "No/Zone", cron::DstPolicy::Auto};
  EXPECT_EQ(*job_spec_from_stored(through_text(to_stored(spec))), spec);
  EXPECT_EQ(*job_spec_from_stored(boost::json::object{}), JobSpec{});
}

TEST(StoredJob, DamageIsAnErrorNotADefault) {
  auto o = to_stored(full_job());
  o["revision"] = "5";
  EXPECT_EQ(job_from_stored(o).error().code, Code::Internal);
  EXPECT_FALSE(job_from_stored(boost::json::array{}).has_value());
  auto spec = to_stored(full_job().spec);
  spec["mode"] = "sideways";
  EXPECT_FALSE(job_spec_from_stored(spec).has_value());
}

TEST(StoredRun, NothingIsLost) {
  model::Run r;
  r.id = RunId("r");
  r.workspace = WorkspaceId("w");
  r.job = JobId("j");
  r.job_revision = 2;
  r.scheduled_for = from_ms(60'000);
  r.trigger = Trigger::Retry;
  r.triggered_by = "me";
  r.state = RunState::TimedOut;
  r.attempt = 3;
  r.retries_used = 1;
  r.lost_in_row = 2;
  r.created_at = from_ms(1);
  r.not_before = from_ms(2);
  r.started_at = from_ms(3);
  r.finished_at = from_ms(4);
  r.owner = OwnerId("o");
  r.fence = Fence{77};
  r.cancel_requested = true;
  r.error_kind = "timeout";
  r.error = "e";
  r.only_entities = {"a"};
  protocol::EntityResult e;
  e.entity = "a";
  e.rows_read = 9;
  r.entities.push_back(e);
  r.progress["a"] = {1, 2, 3, 4};
  r.progress["b"] = {};
  r.attempts.push_back(
      {1, OwnerId("o"), Fence{5}, from_ms(3), from_ms(4), Millis(2), "retry", "k", "m"});
  r.attempts.push_back({2, OwnerId("o"), Fence{6}, from_ms(5), {}, {}, "", "", ""});
  r.warnings = {"w"};
  r.exclusive_key = "sqlite:/x";
  const auto back = run_from_stored(through_text(to_stored(r)));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(to_stored(*back), to_stored(r));
  EXPECT_EQ(to_json(*back), to_json(r));
  EXPECT_EQ(back->fence, r.fence);
  EXPECT_EQ(back->lost_in_row, 2);
  EXPECT_EQ(back->workspace, r.workspace);
  EXPECT_EQ(back->exclusive_key, r.exclusive_key);
  EXPECT_EQ(back->progress, r.progress);
  EXPECT_EQ(back->attempts[0].fence, Fence{5});
  EXPECT_EQ(back->attempts[0].took, Millis(2));
  EXPECT_EQ(back->attempts[1].took, std::nullopt);
}

TEST(StoredConnection, NothingIsLostAndAnswersAreMasked) {
  Connection c;
  c.id = ConnectionId("c");
  c.workspace = WorkspaceId("w");
  c.kind = ConnectionKind::Destination;
  c.name = "n";
  c.type = "sqlite";
  c.config = {{"path", "x.db"},
              {"password", {{"$sealed", "v1:abc"}}},
              {"deep", {{"list", {boost::json::object{{"$sealed", "v1:def"}}}}}}};
  c.exclusive_key = "sqlite:/x.db";
  c.revision = 3;
  c.created_at = from_ms(1);
  c.updated_at = from_ms(2);
  c.created_by = "me";
  const auto back = connection_from_stored(through_text(to_stored(c)));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(to_stored(*back), to_stored(c));
  EXPECT_EQ(back->config, c.config);
  const std::string answer = json::write(to_json(*back));
  EXPECT_EQ(answer.find("v1:"), std::string::npos) << answer;
  EXPECT_NE(answer.find(R"("password":"***")"), std::string::npos) << answer;
}

TEST(StoredRegistry, NothingIsLost) {
  const Workspace w{.id = WorkspaceId("w"), .name = "n", .revision = 4, .created_at = from_ms(5)};
  const auto workspace = workspace_from_stored(through_text(to_stored(w)));
  ASSERT_TRUE(workspace);
  EXPECT_EQ(to_stored(*workspace), to_stored(w));
  EXPECT_EQ(workspace->created_at, from_ms(5));

  const Token t{.id = TokenId("t"),
                .name = "ci",
                .hash = "aa",
                .role = Role::Operator,
                .workspaces = {WorkspaceId("w"), WorkspaceId("v")},
                .expires_at = from_ms(7),
                .created_at = from_ms(6),
                .created_by = "me",
                .revision = 2};
  const auto token = token_from_stored(through_text(to_stored(t)));
  ASSERT_TRUE(token);
  EXPECT_EQ(to_stored(*token), to_stored(t));
  EXPECT_EQ(token->role, Role::Operator);
  EXPECT_EQ(token->workspaces, t.workspaces);
  EXPECT_EQ(token->expires_at, from_ms(7));
  boost::json::object other = to_stored(t);
  other["role"] = "owner";
  EXPECT_FALSE(token_from_stored(other)) << "of a newer version; not taken for another";
  other.erase("role");
  EXPECT_FALSE(token_from_stored(other));
}

TEST(StoredHistory, NothingIsLost) {
  const SlotRecord r{.job = JobId("j"),
                     .first = from_ms(1),
                     .last = from_ms(2),
                     .count = 3,
                     .outcome = SlotOutcome::MissedRestored,
                     .reason = "restored",
                     .recorded_at = from_ms(4)};
  const auto record = slot_record_from_stored(through_text(to_stored(r)));
  ASSERT_TRUE(record);
  EXPECT_EQ(to_stored(*record), to_stored(r));
  EXPECT_EQ(record->outcome, SlotOutcome::MissedRestored);

  const RunLogLine l{.seq = 9,
                     .at = from_ms(1),
                     .attempt = 2,
                     .level = LogLevel::Error,
                     .entity = "e",
                     .message = "m"};
  const auto line = log_line_from_stored(through_text(to_stored(l)));
  ASSERT_TRUE(line);
  EXPECT_EQ(to_stored(*line), to_stored(l));
  EXPECT_EQ(line->level, LogLevel::Error);
  boost::json::object loud = to_stored(l);
  loud["level"] = 4;
  EXPECT_FALSE(log_line_from_stored(loud));
}

}  // namespace
}  // namespace tidegate::model
