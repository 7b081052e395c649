#include "control/model/job_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "control/cron/cron.h"

namespace tidegate::model {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

boost::json::object parse(std::string_view text) {
  auto v = json::parse(text);
  EXPECT_TRUE(v.has_value()) << text;
  return v ? v->as_object() : boost::json::object{};
}

constexpr std::string_view kMinimal =
    R"({"name":"n","dataSourceId":"s","destinationDatabaseId":"d"})";

// The minimal job with some members set.
boost::json::object job_with(std::string_view members) {
  auto o = parse(kMinimal);
  for (auto& m : parse(members)) o[m.key()] = m.value();
  return o;
}

JobSpec good(const boost::json::object& o) {
  auto spec = job_spec_from_json(o);
  EXPECT_TRUE(spec.has_value()) << json::write(o) << "\n" << (spec ? "" : describe(spec.error()));
  return spec.value_or(JobSpec{});
}

std::vector<FieldError> errors_of(const boost::json::object& o) {
  const auto spec = job_spec_from_json(o);
  EXPECT_FALSE(spec.has_value()) << json::write(o);
  if (spec) return {};
  EXPECT_EQ(spec.error().code, Code::Invalid);
  return spec.error().details;
}

TEST(JobJson, ReadsTheDocumentedRequest) {
  const auto spec =
      good(parse(R"({"name":"Hourly Stripe Sync","dataSourceId":"a","destinationDatabaseId":"b",
    "schedule":{"cron":"0 * * * *","timezone":"America/New_York"},"syncMode":"incremental","enabled":true})"));
  EXPECT_EQ(spec.name, "Hourly Stripe Sync");
  EXPECT_EQ(spec.source_id.str(), "a");
  EXPECT_EQ(spec.destination_id.str(), "b");
  EXPECT_EQ(spec.mode, protocol::SyncMode::Incremental);
  EXPECT_EQ(spec.schedule,
            Schedule(CronSchedule{"0 * * * *", "America/New_York", cron::DstPolicy::Auto}));
}

// Full jobs must not run incremental, nor incremental ones full (a boolean was passed inverted).
TEST(JobJson, EverySyncModeKeepsItsMeaning) {
  const std::pair<std::string_view, protocol::SyncMode> table[] = {
      {"full", protocol::SyncMode::Full},
      {"full_refresh", protocol::SyncMode::Full},
      {"full_append", protocol::SyncMode::FullAppend},
      {"incremental", protocol::SyncMode::Incremental},
      {"incremental_append", protocol::SyncMode::IncrementalAppend}};
  for (const auto& [name, mode] : table) {
    auto o = parse(kMinimal);
    o["syncMode"] = name;
    EXPECT_EQ(good(o).mode, mode) << name;
    const auto again = to_json(good(o)).at("syncMode").as_string();
    EXPECT_EQ(again, name == "full_refresh" ? "full" : name);
  }
}

TEST(JobJson, AnswerCanBeSentBackUnchanged) {
  SyncJob job;
  job.id = JobId("j1");
  job.spec = good(job_with(R"({
    "description":"d","schedule":{"every":"1h30m","anchor":"2026-01-01T00:00:00Z"},"syncMode":"incremental",
    "entityFilter":["a*","b"],"enabled":false,"timeout":"2h","stallTimeout":0,"overlap":"queue_all",
    "catchup":"all","maxCatchup":7,"catchupWindow":"7d","misfireGrace":30,"jitter":"45s",
    "schemaChange":"fail","maxRejected":3,"labels":{"team":"x"},
    "retry":{"maxAttempts":5,"initial":"1s","factor":1.5,"max":"1m","jitter":false},
    "entities":{"a":{"cursor":"at","primaryKey":["id"],"where":"x > 1","columns":["id","at"],"lookback":"1h","lag":"5s"},
                "b":{"columns":{"exclude":["secret"]}}}})"));
  job.pause = Pause{"note", std::nullopt, from_ms(0), "me"};
  EXPECT_EQ(good(to_json(job)), job.spec);
}

TEST(JobJson, SchedulesInAllForms) {
  EXPECT_EQ(good(job_with(R"({"schedule":"*/5 * * * *"})")).schedule,
            Schedule(CronSchedule{"*/5 * * * *", "UTC", cron::DstPolicy::Auto}));
  EXPECT_EQ(good(job_with(R"({"schedule":null})")).schedule, Schedule());
  EXPECT_EQ(good(job_with(R"({"schedule":{"every":90}})")).schedule,
            Schedule(EverySchedule{Millis(90'000), std::nullopt}));
  EXPECT_EQ(good(job_with(R"({"schedule":{"at":"1970-01-01T00:00:01.5Z"}})")).schedule,
            Schedule(AtSchedule{from_ms(1000)}));
  EXPECT_EQ(good(job_with(R"({"schedule":{"cron":"@daily","dst":"wall","every":null}})")).schedule,
            Schedule(CronSchedule{"@daily", "UTC", cron::DstPolicy::Wall}));
}

TEST(JobJson, EveryWrongFieldIsReportedAtOnce) {
  const auto errors = errors_of(parse(
      R"({"name":"","dataSourceId":7,"schedule":{"cron":"* * * *","timezone":"Mars/Olympus"},"enabled":"yes","syncmode":"full"})"));
  std::vector<std::string> fields;
  for (const auto& e : errors) fields.push_back(e.field);
  EXPECT_THAT(fields, ::testing::UnorderedElementsAre("name", "dataSourceId",
                                                      "destinationDatabaseId", "schedule.cron",
                                                      "schedule.timezone", "enabled", "syncmode"));
}

struct Bad {
  std::string_view members, field, message;
};
class BadJob : public ::testing::TestWithParam<Bad> {};

TEST_P(BadJob, IsRefusedByNameWithARemedy) {
  const auto errors = errors_of(job_with(GetParam().members));
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_EQ(errors[0].field, GetParam().field);
  EXPECT_THAT(errors[0].message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadJob,
    ::testing::Values(
        Bad{R"({"name":null})", "name", "null"}, Bad{R"({"name":["n"]})", "name", "must be text"},
        Bad{R"({"name":"a\nb"})", "name", "control character"},
        Bad{R"({"schedule":7})", "schedule", "cron expression"},
        Bad{R"({"schedule":{}})", "schedule", "one of cron"},
        Bad{R"({"schedule":{"cron":"@daily","at":"2026-01-01T00:00:00Z"}})", "schedule",
            "only one"},
        Bad{R"({"schedule":{"cron":"0 0 30 2 *"}})", "schedule.cron", ""},
        Bad{R"({"schedule":"61 * * * *"})", "schedule", ""},
        Bad{R"({"schedule":{"cron":"@daily","tz":"UTC"}})", "schedule.tz", "not a known field"},
        Bad{R"({"schedule":{"cron":"@daily","dst":"never"}})", "schedule.dst",
            "auto, once or wall"},
        Bad{R"({"schedule":{"every":"1500ms"}})", "schedule.every", "whole seconds"},
        Bad{R"({"schedule":{"every":0}})", "schedule.every", "between 1s"},
        Bad{R"({"schedule":{"every":"1h","timezone":"UTC"}})", "schedule.timezone",
            "not a known field"},
        Bad{R"({"schedule":{"at":"tomorrow"}})", "schedule.at", ""},
        Bad{R"({"syncMode":"mirror"})", "syncMode", "must be full"},
        Bad{R"({"syncMode":""})", "syncMode", "must be full"},
        Bad{R"({"syncMod":"full"})", "syncMod", "did you mean 'syncMode'"},
        Bad{R"({"dependsOn":[]})", "dependsOn", "not available in this version"},
        Bad{R"({"timeout":"soon"})", "timeout", "duration"},
        Bad{R"({"timeout":-1})", "timeout", "duration"},
        Bad{R"({"timeout":"500ms"})", "timeout", "no limit"},
        Bad{R"({"stallTimeout":"1ms"})", "stallTimeout", "no limit"},
        Bad{R"({"overlap":"allow"})", "overlap", "full_append"},
        Bad{R"({"maxRejected":1.5})", "maxRejected", "whole number"},
        Bad{R"({"maxCatchup":0})", "maxCatchup", "between 1"},
        Bad{R"({"retry":{"maxAttempts":0}})", "retry.maxAttempts", "between 1"},
        Bad{R"({"retry":{"initial":"2h","max":"1h"}})", "retry.max", "raise it"},
        Bad{R"({"retry":{"tries":1}})", "retry.tries", "not a known field"},
        Bad{R"({"entityFilter":"a"})", "entityFilter", "must be a list"},
        Bad{R"({"entityFilter":["a",""]})", "entityFilter[1]", "empty"},
        Bad{R"({"entityFilter":[1]})", "entityFilter[0]", "must be text"},
        Bad{R"({"entities":[]})", "entities", "must be an object"},
        Bad{R"({"entities":{"t":7}})", "entities[\"t\"]", "must be an object"},
        Bad{R"({"entities":{"t":{"curser":"a"}}})", "entities[\"t\"].curser",
            "did you mean 'cursor'"},
        Bad{R"({"entities":{"t":{"primaryKey":[""]}}})", "entities[\"t\"].primaryKey[0]", "empty"},
        Bad{R"({"entities":{"t":{"columns":{"include":["a"],"exclude":["b"]}}}})",
            "entities[\"t\"].columns", "give one"},
        Bad{R"({"syncMode":"incremental_append","entities":{"t":{"lookback":"1h"}}})",
            "entities[\"t\"].lookback", "twice"},
        Bad{R"({"labels":{"a":1}})", "labels.a", "must be text"},
        Bad{R"({"labels":{"a":null}})", "labels.a", "null"}));

TEST(JobJson, CronErrorSaysWhere) {
  const auto errors = errors_of(job_with(R"({"schedule":{"cron":"0 25 * * *"}})"));
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_EQ(errors[0].field, "schedule.cron");
  EXPECT_EQ(errors[0].position, 2u);
}

TEST(JobJson, LimitsCountCharactersNotBytes) {
  std::string name;
  for (int i = 0; i < 200; ++i) name += "\xF0\x9F\x8C\x8A";  // one character of four bytes
  auto o = parse(kMinimal);
  o["name"] = name;
  EXPECT_EQ(good(o).name, name);
  o["name"] = std::string(201, 'x');
  EXPECT_THAT(errors_of(o), SizeIs(1));
}

TEST(JobJson, IncrementalWithNoCursorWarns) {
  EXPECT_THAT(job_warnings(good(job_with(R"({"syncMode":"incremental"})"))), SizeIs(1));
  EXPECT_THAT(job_warnings(good(job_with(R"({"syncMode":"full"})"))), IsEmpty());
  EXPECT_THAT(
      job_warnings(good(job_with(
          R"({"syncMode":"incremental","entityFilter":["a","b"],"entities":{"a":{"cursor":"t"}}})"))),
      ::testing::ElementsAre(HasSubstr("'b'")));
  EXPECT_THAT(
      job_warnings(good(job_with(
          R"({"syncMode":"incremental","entityFilter":["a"],"entities":{"*":{"cursor":"t"}}})"))),
      IsEmpty());
}

// The average duration was once the last duration.
TEST(JobJson, AverageDurationIsTheMean) {
  SyncJob job;
  EXPECT_TRUE(to_json(job).at("avgDurationMs").is_null());
  job.success_durations = {Millis(100), Millis(200), Millis(600)};
  EXPECT_EQ(to_json(job).at("avgDurationMs").as_int64(), 300);
}

TEST(JobJson, NextRunIsNoneWhileHeld) {
  SyncJob job;
  job.spec.schedule = CronSchedule{"@daily", "UTC", cron::DstPolicy::Auto};
  job.next_slot = from_ms(86'400'000);
  EXPECT_EQ(to_json(job).at("nextRunAt").as_string(), "1970-01-02T00:00:00Z");
  EXPECT_EQ(job_status(job), "scheduled");
  job.pause = Pause{};
  EXPECT_TRUE(to_json(job).at("nextRunAt").is_null());
  EXPECT_EQ(job_status(job), "paused");
  job.spec.enabled = false;
  EXPECT_EQ(job_status(job), "disabled");
}

}  // namespace
}  // namespace tidegate::model
