// Jobs: the requests people send, what is refused, and what becomes of the schedule.
#include <fmt/format.h>

#include "control/api/test_fixture.h"

namespace tidegate::api {
namespace {

using http::Method;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class JobsTest : public ApiTest {
 protected:
  const std::string jobs_ = kDefault + "/sync-jobs";
  std::string one(const std::string& id, const std::string& verb = "") {
    return jobs_ + "/" + id + (verb.empty() ? "" : "/" + verb);
  }
};

TEST_F(JobsTest, TheDocumentedSession) {
  const std::string source = make_source(), destination = make_destination();
  const std::string body = fmt::format(
      R"({{"name":"Hourly Stripe Sync","dataSourceId":"{}","destinationDatabaseId":"{}","schedule":{{"cron":"0 * * * *","timezone":"America/New_York"}},"syncMode":"incremental","enabled":true}})",
      source, destination);
  const Answer made = post(jobs_, body);
  ASSERT_EQ(made.status, 201) << made.text;
  const std::string id = made.at("id");
  EXPECT_EQ(made.header("Location"),
            "/api/workspaces/01900000-0000-7000-8000-000000000001/sync-jobs/" + id);
  EXPECT_EQ(made.at("nextRunAt"), "2030-03-17T18:00:00Z");
  EXPECT_THAT(made.at("warnings"), HasSubstr("no cursor is known"));
  EXPECT_EQ(get(jobs_).data().as_array()[0].at("id").as_string(), id);

  const Answer put = call(Method::Put, one(id), body);
  EXPECT_EQ(put.status, 200) << put.text;
  EXPECT_EQ(put.at("revision"), "2");
  EXPECT_EQ(post(one(id, "toggle")).at("enabled"), "false");
  EXPECT_EQ(post(one(id, "toggle"), R"({"enabled":false})").at("enabled"), "false");
  EXPECT_EQ(post(one(id, "toggle")).at("enabled"), "true");

  const Answer run = post(one(id, "run"));
  ASSERT_EQ(run.status, 202) << run.text;
  const Answer again = post(one(id, "run"));
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.code(), "run_active");
  EXPECT_THAT(again.text, HasSubstr(run.at("runId")));

  const Answer status = get(one(id, "status"));
  EXPECT_EQ(status.status, 200) << status.text;
  EXPECT_EQ(status.data().at("nextRuns").as_array().size(), 10u);
  EXPECT_EQ(status.data().at("lastRun").at("id").as_string(), run.at("runId"));
  EXPECT_EQ(status.data().at("queuedRuns").as_array().size(), 1u);
  EXPECT_THAT(get(one(id, "history")).data().as_array(), SizeIs(1));
  EXPECT_EQ(call(Method::Delete, one(id)).status, 200);
  EXPECT_EQ(get(one(id)).code(), "job_not_found");
  EXPECT_EQ(get(kDefault + "/runs/" + run.at("runId")).at("jobId"), id) << "the history stays";
  EXPECT_THAT(get(jobs_).data().as_array(), SizeIs(0));
  const auto deleted = get(jobs_ + "?deleted=true").data().as_array();
  ASSERT_THAT(deleted, SizeIs(1));
  EXPECT_EQ(deleted[0].at("name"), "Hourly Stripe Sync");
  EXPECT_EQ(deleted[0].at("status"), "deleted");
  EXPECT_TRUE(deleted[0].at("nextRunAt").is_null());
  EXPECT_THAT(get(one(id, "history")).data().as_array(), SizeIs(1));
  EXPECT_EQ(get(one(id, "slots")).status, 200);
  EXPECT_EQ(get(one("nope", "history")).code(), "job_not_found");
  EXPECT_EQ(get(one("nope", "slots")).code(), "job_not_found");
}

TEST_F(JobsTest, BadBodies) {
  struct Case {
    std::string body, type;
    int status;
    std::string_view code;
  };
  std::string deep = R"({"labels":)";
  for (int i = 0; i < 200; ++i) deep += R"({"a":)";
  const Case table[] = {
      {"{", "application/json", 400, "malformed_json"},
      {"", "application/json", 400, "malformed_json"},
      {"[]", "application/json", 422, "body_not_object"},
      {"null", "application/json", 422, "body_not_object"},
      {R"({"name":"a","name":"b"})", "application/json", 400, "duplicate_key"},
      {deep, "application/json", 400, "malformed_json"},
      {std::string(100 << 10, ' ') + "{}", "application/json", 413, "too_large"},
      {"{\"name\":\"\xff\"}", "application/json", 400, "malformed_json"},
      {"name: x", "text/yaml", 415, "unsupported_media_type"},
      {"{}", "application/json", 422, "invalid_job"},
  };
  for (const Case& c : table) {
    const Answer a = call(Method::Post, jobs_, c.body, {{"Content-Type", c.type}});
    EXPECT_EQ(a.status, c.status) << c.body.substr(0, 60) << a.text;
    EXPECT_EQ(a.code(), c.code);
    EXPECT_FALSE(a.error().empty());
  }
}

TEST_F(JobsTest, MissingReferencesAreNamed) {
  const Answer none = post(jobs_, R"({"name":"n","dataSourceId":"x","destinationDatabaseId":"y"})");
  EXPECT_EQ(none.status, 422);
  EXPECT_THAT(none.fields(), ElementsAre("dataSourceId", "destinationDatabaseId"));
  // Of the wrong kind, and of another workspace.
  const std::string source = make_source(), destination = make_destination();
  const std::string swapped = fmt::format(
      R"({{"name":"n","dataSourceId":"{}","destinationDatabaseId":"{}"}})", destination, source);
  EXPECT_THAT(post(jobs_, swapped).fields(), ElementsAre("dataSourceId", "destinationDatabaseId"));
  post("/api/workspaces", R"({"name":"other"})");
  const std::string right = fmt::format(
      R"({{"name":"n","dataSourceId":"{}","destinationDatabaseId":"{}"}})", source, destination);
  EXPECT_EQ(post("/api/workspaces/other/sync-jobs", right).status, 422);
  EXPECT_EQ(post(jobs_, right).status, 201);
  EXPECT_EQ(post(jobs_, right).code(), "name_taken");
}

TEST_F(JobsTest, EveryWrongFieldAtOnceWithPositions) {
  const Answer a =
      post(jobs_, R"({"name":"n","dataSourceId":"s","destinationDatabaseId":"d","syncMode":"fast",
      "schedule":{"cron":"0 25 * * *","timezone":"Nowhere/City"},"dependsOn":[]})");
  EXPECT_EQ(a.status, 422);
  EXPECT_THAT(a.fields(),
              UnorderedElementsAre("syncMode", "schedule.cron", "schedule.timezone", "dependsOn"));
  for (const auto& d : a.body.at("details").as_array()) {
    if (d.at("field").as_string() == "schedule.cron") {
      EXPECT_EQ(d.at("position").to_number<int>(), 2);
    }
  }
}

TEST_F(JobsTest, PatchMergesAndPutReplaces) {
  const std::string id =
      make_job("j", R"("description":"d","labels":{"a":"1","b":"2"},"schedule":"@daily")");
  const Answer patched =
      call(Method::Patch, one(id), R"({"labels":{"a":null,"c":"3"},"description":null})",
           {{"Content-Type", "application/merge-patch+json"}});
  ASSERT_EQ(patched.status, 200) << patched.text;
  EXPECT_EQ(patched.at("labels"), R"({"b":"2","c":"3"})");
  EXPECT_EQ(patched.at("description"), "");
  EXPECT_EQ(patched.data().at("schedule").at("cron").as_string(), "@daily");
  EXPECT_EQ(call(Method::Patch, one(id), R"({"name":null})").status, 422);
  EXPECT_THAT(call(Method::Patch, one(id), R"({"nam":"x"})").fields(), ElementsAre("nam"));
  EXPECT_THAT(call(Method::Patch, one(id), R"({"nam":null})").fields(), ElementsAre("nam"));

  auto whole = get(one(id)).data().as_object();
  whole.erase("labels");
  const Answer put = call(Method::Put, one(id), json::write(whole));
  EXPECT_EQ(put.at("labels"), "{}");
}

TEST_F(JobsTest, StaleRevisionIsRefusedAndTheTagIsTheRevision) {
  const std::string id = make_job();
  const std::string tag = get(one(id)).header("ETag");
  EXPECT_EQ(tag, "\"1\"");
  EXPECT_EQ(call(Method::Patch, one(id), R"({"description":"x"})", {{"If-Match", tag}}).status,
            200);
  const Answer stale = call(Method::Patch, one(id), R"({"description":"y"})", {{"If-Match", tag}});
  EXPECT_EQ(stale.status, 412);
  EXPECT_EQ(stale.code(), "revision_mismatch");
  for (const char* verb : {"pause", "resume", "reset", "toggle"}) {
    EXPECT_EQ(post(one(id, verb), "", {{"If-Match", tag}}).status, 412) << verb;
  }
  EXPECT_EQ(call(Method::Delete, one(id), "", {{"If-Match", tag}}).status, 412);
}

// The text of a job is kept; it must never be older than the job.
TEST_F(JobsTest, ReadShowsEveryChangeAtOnce) {
  const std::string id = make_job("j", R"("schedule":"0 * * * *")");
  const auto text = [&] { return get(one(id)).text; };
  std::string before = text();
  EXPECT_EQ(text(), before);
  const auto expect_change = [&](const char* what) {
    const std::string after = text();
    EXPECT_NE(after, before) << what;
    EXPECT_EQ(after, get(one(id)).text);
    before = after;
  };
  call(Method::Patch, one(id), R"({"description":"x"})");
  expect_change("description");
  post(one(id, "pause"), R"({"note":"n"})");
  expect_change("pause");
  post(one(id, "resume"));
  expect_change("resume");
  const auto lease = store_->acquire_leader(OwnerId("w"), Millis(8000)).value().value();
  const auto job = store_->get_job({}, JobId(id)).value();
  store::PlanStep step;
  step.job = job.id;
  step.expected_revision = job.revision;
  step.expected_next_slot = job.next_slot;
  step.next_slot = *job.next_slot + Millis(3'600'000);
  ASSERT_EQ(store_->apply_plan(lease, {&step, 1}).value().at(0), store::PlanResult::Applied);
  expect_change("planned");
  post(one(id, "run"));
  const auto claimed = store_->claim_runs({.owner = OwnerId("w"), .max = 1}).value();
  ASSERT_EQ(claimed.runs.size(), 1u);
  expect_change("started");
  store::AttemptEnd end;
  end.held = {claimed.runs[0].run.id, claimed.runs[0].run.fence};
  end.next = model::RunState::Failed;
  end.outcome = "failed";
  end.error = "broken";
  ASSERT_TRUE(store_->finish_attempts({&end, 1}).value().at(0).has_value());
  expect_change("ended");
  EXPECT_THAT(before, HasSubstr("broken"));
}

TEST_F(JobsTest, RepeatedCreateMakesOneJob) {
  const std::string body = job_body("j");
  const std::vector<http::Header> key = {{"Idempotency-Key", "abc"}};
  const Answer first = post(jobs_, body, key), second = post(jobs_, body, key);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(second.status, 201);
  EXPECT_EQ(first.at("id"), second.at("id"));
  EXPECT_EQ(get(jobs_).body.at("total").as_int64(), 1);
  EXPECT_EQ(
      post(jobs_, R"({"name":"k","dataSourceId":"a","destinationDatabaseId":"b"})", key).status,
      422);
}

TEST_F(JobsTest, APauseIsOverAtItsEndAlsoBeforeThePlannerClearsIt) {
  const std::string id = make_job("j", R"("schedule":"0 * * * *")");
  ASSERT_EQ(post(one(id) + "/pause", R"({"until":"2030-03-17T17:50:00Z"})").at("status"), "paused");
  const std::string body = get(one(id)).text;
  EXPECT_EQ(get(one(id)).at("status"), "paused");
  clock_.ms += 200'000;
  EXPECT_EQ(get(one(id)).at("status"), "scheduled");
  EXPECT_EQ(get(one(id)).at("pause"), "null");
  EXPECT_EQ(get(one(id) + "/status").at("status"), "scheduled");
  EXPECT_THAT(get(jobs_).text, Not(HasSubstr("paused")));
  clock_.ms -= 200'000;
  EXPECT_EQ(get(one(id)).text, body);
}

TEST_F(JobsTest, ARepeatedCreateAnswersAlsoAfterItsTime) {
  const std::vector<http::Header> key = {{"Idempotency-Key", "abc"}};
  const std::string body = job_body("j", R"("schedule":{"at":"2030-03-17T18:00:00Z"})");
  const Answer first = post(jobs_, body, key);
  ASSERT_EQ(first.status, 201) << first.text;
  clock_.ms += 3 * 3'600'000;
  const Answer second = post(jobs_, body, key);
  EXPECT_EQ(second.status, 201) << second.text;
  EXPECT_EQ(second.at("id"), first.at("id"));
  EXPECT_EQ(second.header("Idempotency-Replayed"), "true");
  EXPECT_EQ(post(jobs_, job_body("k", R"("schedule":{"at":"2030-03-17T18:00:00Z"})"), {}).status,
            422);
}

TEST_F(JobsTest, AKeyIsOneWhetherTheWorkspaceIsNamedOrGivenByItsId) {
  const std::string id = make_job("j");
  const std::vector<http::Header> key = {{"Idempotency-Key", "k"}};
  const Answer named = post(one(id, "run"), "", key);
  const Answer by_id = post(
      "/api/workspaces/01900000-0000-7000-8000-000000000001/sync-jobs/" + id + "/run", "", key);
  EXPECT_EQ(by_id.status, 202) << by_id.text;
  EXPECT_EQ(by_id.at("runId"), named.at("runId"));
}

TEST_F(JobsTest, ARepeatedActionWithOneKeyActsOnce) {
  const std::string id = make_job("j", R"("schedule":"0 * * * *")");
  struct Case {
    std::string action, body, revision;
  };
  const Case cases[] = {{"/toggle", "", "\"2\""},
                        {"/reset", "", "\"3\""},
                        {"/pause", R"({"until":"2030-03-17T18:00:00Z"})", "\"4\""},
                        {"/resume", "", "\"5\""}};
  for (const Case& c : cases) {
    for (const bool replayed : {false, true}) {
      const Answer a = post(one(id) + c.action, c.body, {{"Idempotency-Key", "k"}});
      EXPECT_EQ(a.status, 200) << c.action << a.text;
      EXPECT_EQ(a.header("ETag"), c.revision) << c.action;
      EXPECT_EQ(a.header("Idempotency-Replayed"), replayed ? "true" : "") << c.action;
      EXPECT_EQ(a.at("enabled"), "false") << c.action;
    }
  }
  EXPECT_EQ(post(one(id) + "/toggle", R"({"enabled":true})", {{"Idempotency-Key", "k"}}).code(),
            "idempotency_mismatch");
  EXPECT_EQ(post(one(id) + "/toggle", "", {{"Idempotency-Key", "k"}, {"If-Match", "x"}}).status,
            412);
  // What was right at first is answered also when its time has passed.
  clock_.ms += 3 * 3'600'000;
  EXPECT_EQ(post(one(id) + "/pause", cases[2].body, {{"Idempotency-Key", "k"}}).status, 200);
  EXPECT_EQ(post(one(id) + "/pause", cases[2].body, {}).status, 422);
}

// Seen here: accepted, ignored, and the job toggled the other way.
TEST_F(JobsTest, OnlyReadingTakesQueryParameters) {
  const std::string id = make_job("j");
  EXPECT_THAT(post(one(id, "toggle?enabled=true")).fields(), ElementsAre("enabled"));
  EXPECT_THAT(call(Method::Delete, one(id) + "?force=1").fields(), ElementsAre("force"));
  EXPECT_EQ(get(one(id)).at("enabled"), "true");
}

// Seen here: 200, and it never ran; an export with such a job could not be applied anywhere.
TEST_F(JobsTest, AJobWhoseOnlyTimeHasPassedCanBeKeptButNotEnabled) {
  const std::string past = R"("schedule":{"at":"2001-01-01T00:00:00Z"})";
  const Answer refused = post(jobs_, job_body("on", past));
  EXPECT_THAT(refused.fields(), ElementsAre("schedule.at"));
  EXPECT_THAT(refused.text, HasSubstr("start the job by hand")) << "no route: the CLI shows it";
  const std::string id = make_job("off", past + R"(,"enabled":false)");
  EXPECT_THAT(post(one(id, "toggle"), R"({"enabled":true})").fields(), ElementsAre("schedule.at"));
  EXPECT_EQ(get(one(id)).at("enabled"), "false");
}

TEST_F(JobsTest, WhatASourceCallsAColumnIsTakenAsItIs) {
  const std::string id = make_job("j", R"("timeout":0,"entities":{"t":{"cursor":" at"}})");
  EXPECT_EQ(get(one(id)).at("timeout"), "null") << "0 is no limit";
  EXPECT_THAT(call(Method::Patch, one(id), R"({"name":" j"})").fields(), ElementsAre("name"));
}

TEST_F(JobsTest, ChangingTheScheduleMovesTheNextRun) {
  const std::string id = make_job("j", R"("schedule":"0 * * * *")");
  const Answer a = call(Method::Patch, one(id), R"({"schedule":{"cron":"0 0 * * *"}})");
  EXPECT_EQ(a.at("nextRunAt"), "2030-03-18T00:00:00Z");
  EXPECT_EQ(call(Method::Patch, one(id), R"({"schedule":null})").at("nextRunAt"), "null");
  EXPECT_EQ(get(one(id)).at("status"), "manual");
}

TEST_F(JobsTest, PauseSaysWhyAndUntil) {
  const std::string id = make_job("j", R"("schedule":"0 * * * *")");
  const Answer a = post(one(id, "pause"), R"({"note":"source is being moved"})");
  EXPECT_EQ(a.status, 200) << a.text;
  EXPECT_EQ(a.at("status"), "paused");
  EXPECT_EQ(a.at("nextRunAt"), "null");
  const Answer status = get(one(id, "status"));
  EXPECT_EQ(status.at("health"), "paused");
  EXPECT_THAT(status.at("waiting"), HasSubstr("source is being moved"));
  EXPECT_EQ(post(one(id, "resume")).at("status"), "scheduled");
  EXPECT_THAT(post(one(id, "pause"), R"({"until":"2001-01-01T00:00:00Z"})").fields(),
              ElementsAre("until"));
  EXPECT_THAT(post(one(id, "resume"), R"({"note":"x"})").fields(), ElementsAre("note"));
}

TEST_F(JobsTest, NextRunOfAPausedJobIsTheFirstAfterThePause) {
  const std::string id = make_job("j", R"("schedule":"0 * * * *")");
  EXPECT_EQ(post(one(id, "pause"), R"({"until":"2030-03-19T10:30:00Z"})").at("nextRunAt"),
            "2030-03-19T11:00:00Z");
  const Answer status = get(one(id, "status"));
  EXPECT_EQ(status.at("nextRunAt"), "2030-03-19T11:00:00Z");
  EXPECT_EQ(status.data().at("nextRuns").as_array().at(0).as_string(), "2030-03-19T11:00:00Z");
  EXPECT_EQ(get(one(id, "next?count=1")).data().as_array().at(0).at("at").as_string(),
            "2030-03-19T11:00:00Z");
}

TEST_F(JobsTest, NextTimesInTheZoneOfTheSchedule) {
  const std::string id =
      make_job("j", R"("schedule":{"cron":"30 2 * * *","timezone":"Europe/Berlin"})");
  const Answer a = get(one(id, "next?count=2"));
  EXPECT_EQ(
      json::write(a.data()),
      R"([{"at":"2030-03-18T01:30:00Z","local":"2030-03-18T02:30:00+01:00"},{"at":"2030-03-19T01:30:00Z","local":"2030-03-19T02:30:00+01:00"}])");
  EXPECT_THAT(get(one(id, "next?count=0")).fields(), ElementsAre("count"));
}

TEST_F(JobsTest, ListFiltersPagesAndProjects) {
  make_job("alpha");
  make_job("beta", R"("enabled":false)");
  make_job("gamma");
  const Answer first = get(jobs_ + "?limit=2&fields=name,enabled");
  EXPECT_EQ(json::write(first.data()),
            R"([{"enabled":true,"name":"alpha"},{"enabled":false,"name":"beta"}])");
  EXPECT_EQ(first.body.at("total").as_int64(), 3);
  const std::string cursor(first.body.at("nextCursor").as_string());
  EXPECT_EQ(json::write(get(jobs_ + "?limit=2&fields=name&cursor=" + cursor).data()),
            R"([{"name":"gamma"}])");
  EXPECT_EQ(get(jobs_ + "?enabled=false").body.at("total").as_int64(), 1);
  EXPECT_EQ(get(jobs_ + "?name=ALPH").body.at("total").as_int64(), 1);
  EXPECT_EQ(get(jobs_ + "?cursor=zz").status, 400);
}

TEST_F(JobsTest, WrongQueriesAreNamed) {
  make_job();
  const std::pair<std::string, std::string> table[] = {
      {"limit=0", "limit"},         {"limit=1001", "limit"},
      {"limit=x", "limit"},         {"limit=1&limit=2", "limit"},
      {"enabled=maybe", "enabled"}, {"fields=nam", "fields"},
      {"fields=", "fields"},        {"limt=3", "limt"},
      {"cursor=", "cursor"},        {"fields=id,id", "fields"},
      {"name=a%0Ab", "name"},       {"name=" + std::string(201, 'x'), "name"}};
  for (const auto& [query, field] : table) {
    const Answer a = get(jobs_ + "?" + query);
    EXPECT_EQ(a.status, 422) << query << a.text;
    EXPECT_THAT(a.fields(), ElementsAre(field)) << query;
  }
  EXPECT_THAT(get(jobs_ + "?limt=3").text, HasSubstr("did you mean 'limit'"));
  std::string longest;
  for (int i = 0; i < 200; ++i) longest += "%C3%A9";
  EXPECT_EQ(get(jobs_ + "?name=" + longest).status, 200) << "the limit is of characters";
}

// An answer that was no JSON: what it quoted was cut inside a character.
TEST_F(JobsTest, AnErrorNeverCutsACharacterThatItQuotes) {
  std::string wide = "x";
  for (int i = 0; i < 100; ++i) wide += "\xf0\x9f\x8c\x8a";
  for (const std::string& more :
       {fmt::format(R"("syncMode":"{}")", wide), fmt::format(R"("{}":1)", wide),
        fmt::format(R"("timeout":"{}")", wide), fmt::format(R"("schedule":{{"at":"{}"}})", wide),
        fmt::format(R"("schedule":{{"cron":"@daily","timezone":"{}"}})", wide),
        fmt::format(R"("schedule":"{}")", wide)}) {
    const Answer a = post(jobs_, job_body(fmt::format("j{}", ++made_), more));
    EXPECT_EQ(a.status, 422) << a.text;
    EXPECT_TRUE(json::parse(a.text)) << a.text;
  }
  EXPECT_TRUE(json::parse(
      post(kDefault + "/data-sources",
           fmt::format(R"({{"name":"n","type":"{}","config":{{}}}})", wide.substr(0, 301)))
          .text));
}

// Accepted, it never ran and nobody was told.
TEST_F(JobsTest, AScheduleOfOneTimeThatHasPassedIsRefused) {
  const std::string past = R"("schedule":{"at":"2030-03-17T17:46:39Z"})";
  const Answer created = post(jobs_, job_body("past", past));
  EXPECT_EQ(created.status, 422) << created.text;
  EXPECT_THAT(created.fields(), ElementsAre("schedule.at"));
  EXPECT_THAT(created.text, HasSubstr("give a later time"));
  const std::string id = make_job("once", R"("schedule":{"at":"2030-03-17T17:46:50Z"})");
  clock_.ms += 60'000;
  EXPECT_EQ(call(Method::Patch, one(id), R"({"description":"done"})").status, 200)
      << "it has passed, and stays as it was";
  const Answer moved = call(Method::Patch, one(id), "{" + past + "}");
  EXPECT_EQ(moved.status, 422) << moved.text;
  EXPECT_THAT(moved.fields(), ElementsAre("schedule.at"));
}

TEST_F(JobsTest, RunNamesEntitiesAsAJobDoes) {
  const std::string id = make_job();
  EXPECT_THAT(post(one(id, "run"), R"({"entities":["ok","a\nb",""]})").fields(),
              UnorderedElementsAre("entities[1]", "entities[2]"));
  EXPECT_THAT(
      post(one(id, "run"), fmt::format(R"({{"entities":["{}"]}})", std::string(201, 'x'))).fields(),
      ElementsAre("entities[0]"));
  EXPECT_EQ(post(one(id, "run"), R"({"entities":["ok"]})").status, 202);
}

TEST_F(JobsTest, UnknownJobIs404ForEveryVerb) {
  for (const char* verb : {"toggle", "run", "pause", "resume", "reset"}) {
    EXPECT_EQ(post(one("none", verb)).code(), "job_not_found") << verb;
  }
  for (const char* verb : {"status", "history", "slots", "next"}) {
    EXPECT_EQ(get(one("none", verb)).code(), "job_not_found") << verb;
  }
  EXPECT_EQ(call(Method::Put, one("none"), job_body("x")).code(), "job_not_found");
}

// What is not delivered is absent, not half there.
TEST_F(JobsTest, RoutesThatDoNotExistYet) {
  const std::string id = make_job();
  EXPECT_EQ(post(one(id, "backfill")).status, 404);
  EXPECT_EQ(get(kDefault + "/alerts").status, 404);
  EXPECT_EQ(get(kDefault + "/blackouts").status, 404);
  const Answer wrong_method = call(Method::Patch, jobs_, "{}");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.header("Allow"), "GET, HEAD, POST");
}

}  // namespace
}  // namespace tidegate::api
