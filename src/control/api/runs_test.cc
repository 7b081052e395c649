// Runs and their logs.
#include <fmt/format.h>

#include "control/api/test_fixture.h"

namespace tidegate::api {
namespace {

using http::Method;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class RunsTest : public ApiTest {
 protected:
  const std::string runs_ = kDefault + "/runs";

  std::string start(const std::string& job) {
    const Answer a = post(kDefault + "/sync-jobs/" + job + "/run");
    EXPECT_EQ(a.status, 202) << a.text;
    return a.at("runId");
  }
  store::ClaimedRun claim() {
    auto claimed = store_->claim_runs({.owner = OwnerId("w1"), .max = 1});
    EXPECT_EQ(claimed->runs.size(), 1u);
    return claimed->runs.at(0);
  }
  void finish(const store::ClaimedRun& c, model::RunState state,
              std::vector<protocol::EntityResult> entities = {}) {
    store::AttemptEnd end;
    end.held = {c.run.id, c.run.fence};
    end.next = state;
    end.outcome = model::kRunStateNames[static_cast<std::size_t>(state)];
    if (state != model::RunState::Succeeded) {
      end.error_kind = "data";
      end.error = "a row is wrong";
    }
    end.entities = std::move(entities);
    EXPECT_TRUE(store_->finish_attempts({&end, 1}).value().at(0).has_value());
  }
  void log(const store::ClaimedRun& c, const std::string& message) {
    model::RunLogLine line;
    line.at = clock_.now();
    line.message = message;
    line.entity = "t";
    EXPECT_TRUE(store_->append_log({c.run.id, c.run.fence}, {&line, 1}, 1 << 20).has_value());
  }
  static protocol::EntityResult entity(const std::string& name, protocol::EntityOutcome outcome) {
    protocol::EntityResult e;
    e.entity = name;
    e.outcome = outcome;
    return e;
  }
};

TEST_F(RunsTest, ListFiltersAndSorts) {
  const std::string a = make_job("a"), b = make_job("b");
  const std::string first = start(a);
  clock_.ms += 1000;
  const std::string second = start(b);
  EXPECT_EQ(json::write(get(runs_ + "?fields=id").data()),
            fmt::format(R"([{{"id":"{}"}},{{"id":"{}"}}])", second, first));
  EXPECT_EQ(get(runs_ + "?sort=createdAt").data().as_array()[0].at("id").as_string(), first);
  EXPECT_EQ(get(runs_ + "?jobId=" + a).body.at("total").as_int64(), 1);
  EXPECT_EQ(get(runs_ + "?state=running").body.at("total").as_int64(), 0);
  EXPECT_EQ(get(runs_ + "?since=2030-03-17T17:46:41Z").body.at("total").as_int64(), 1);
  EXPECT_THAT(get(runs_ + "?state=done&since=now&sort=id").fields(),
              ElementsAre("state", "since", "sort"));
}

TEST_F(RunsTest, ListsReadOnlyWhatIsWanted) {
  start(make_job("a"));
  finish(claim(), model::RunState::Failed, {entity("t", protocol::EntityOutcome::Failed)});
  const auto first = [&](const std::string& query) {
    return get(runs_ + query).data().as_array().at(0).as_object();
  };
  EXPECT_EQ(first("").at("entities").as_array().size(), 1u);
  EXPECT_EQ(first("?fields=id,entities").at("entities").as_array().size(), 1u);
  EXPECT_EQ(first("?fields=error,state").at("error").as_string(), "a row is wrong");
}

TEST_F(RunsTest, TheETagOfARunFollowsItsContent) {
  const std::string path = runs_ + "/" + start(make_job("a"));
  const std::string queued = get(path).header("ETag");
  EXPECT_EQ(queued.size(), 34u);
  EXPECT_EQ(get(path).header("ETag"), queued);
  claim();
  EXPECT_NE(get(path).header("ETag"), queued);
}

TEST_F(RunsTest, CancelEndsAQueuedOneAndAsksARunningOne) {
  const std::string job = make_job();
  const std::string queued = start(job);
  EXPECT_EQ(post(runs_ + "/" + queued + "/cancel").at("state"), "cancelled");
  EXPECT_EQ(post(runs_ + "/" + queued + "/cancel").code(), "run_ended");
  const std::string running = start(job);
  claim();
  const Answer a = post(runs_ + "/" + running + "/cancel");
  EXPECT_EQ(a.status, 202);
  EXPECT_EQ(a.at("cancelRequested"), "true");
  EXPECT_EQ(post(runs_ + "/none/cancel").code(), "run_not_found");
}

TEST_F(RunsTest, RetryRunsOnlyWhatFailed) {
  const std::string run = start(make_job());
  EXPECT_EQ(post(runs_ + "/" + run + "/retry").code(), "run_active");
  finish(claim(), model::RunState::Failed,
         {entity("good", protocol::EntityOutcome::Succeeded),
          entity("bad", protocol::EntityOutcome::Failed)});
  const Answer a = post(runs_ + "/" + run + "/retry");
  ASSERT_EQ(a.status, 202) << a.text;
  const Answer again = get(runs_ + "/" + a.at("runId"));
  EXPECT_EQ(again.at("trigger"), "retry");
  EXPECT_EQ(again.at("onlyEntities"), R"(["bad"])");
  finish(claim(), model::RunState::Succeeded);
  const Answer none = post(runs_ + "/" + a.at("runId") + "/retry");
  EXPECT_EQ(none.code(), "run_succeeded");
  EXPECT_THAT(none.error(), HasSubstr("start its job for a new one"))
      << "no route: the CLI shows it";
}

TEST_F(RunsTest, RunShowsWhoStartedItAndItsError) {
  const std::string run = start(make_job());
  finish(claim(), model::RunState::Failed);
  const Answer a = get(runs_ + "/" + run);
  EXPECT_EQ(a.at("state"), "failed");
  EXPECT_EQ(a.at("error"), "a row is wrong");
  EXPECT_EQ(a.at("triggeredBy"), "token 1");
  EXPECT_EQ(a.at("scheduledFor"), "null");
  EXPECT_EQ(get(runs_ + "/" + run + "?fields=state").text,
            R"({"success":true,"data":{"state":"failed"}})");
}

TEST_F(RunsTest, StatusTellsHealthAndTheWaitingReason) {
  const std::string job = make_job();
  const std::string path = kDefault + "/sync-jobs/" + job + "/status";
  EXPECT_EQ(get(path).at("health"), "new");
  start(job);
  EXPECT_THAT(get(path).at("waiting"), HasSubstr("no_free_worker"));
  const auto c = claim();
  EXPECT_EQ(get(path).data().at("currentRun").at("state").as_string(), "running");
  finish(c, model::RunState::Failed);
  EXPECT_EQ(get(path).at("health"), "failing");
  EXPECT_EQ(get(path).at("lastError"), "a row is wrong");
  start(job);
  finish(claim(), model::RunState::Succeeded);
  EXPECT_EQ(get(path).at("health"), "healthy");
}

TEST_F(RunsTest, LogAsListAndText) {
  const std::string run = start(make_job());
  const auto c = claim();
  for (const char* m : {"one", "two\nlines", "three"}) log(c, m);
  const Answer page = get(runs_ + "/" + run + "/logs?limit=2");
  ASSERT_THAT(page.data().as_array(), SizeIs(2));
  EXPECT_THAT(page.data().as_array()[0].at("message").as_string(), HasSubstr("started by"));
  EXPECT_EQ(page.data().as_array()[1].at("message").as_string(), "one");
  const Answer rest = get(runs_ + "/" + run +
                          "/logs?cursor=" + std::string(page.body.at("nextCursor").as_string()));
  ASSERT_THAT(rest.data().as_array(), SizeIs(2));
  EXPECT_EQ(rest.data().as_array()[0].at("message").as_string(), "two\nlines");
  EXPECT_TRUE(rest.body.at("nextCursor").is_null());
  const Answer text =
      call(Method::Get, runs_ + "/" + run + "/logs", "", {{"Accept", "text/plain"}});
  EXPECT_EQ(std::ranges::count(text.text, '\n'), 4);
  EXPECT_THAT(text.text, HasSubstr("2030-03-17T17:46:40Z INFO  t: one\n"));
  EXPECT_EQ(get(runs_ + "/none/logs").status, 404);
}

// The log of an ordinary run was empty: nobody had anything to say.
TEST_F(RunsTest, TheLogOfARunWithoutLinesTellsItsCourse) {
  const std::string run = start(make_job());
  const std::string path = runs_ + "/" + run + "/logs";
  EXPECT_THAT(get(path).data().as_array(), SizeIs(0)) << "it waits";
  const auto c = claim();
  auto good = entity("good", protocol::EntityOutcome::Succeeded);
  good.rows_read = 12;
  good.rows_written = 10;
  good.rows_rejected = 2;
  good.rows_deduplicated = 3;
  good.rows_superseded = 4;
  good.warnings = {"mind the key"};
  auto bad = entity("bad", protocol::EntityOutcome::Failed);
  bad.error = "column id is gone";
  finish(c, model::RunState::Failed, {good, bad});
  const Answer list = get(path);
  const auto& lines = list.data().as_array();
  ASSERT_THAT(lines, SizeIs(5));
  EXPECT_EQ(lines[1].at("entity").as_string(), "good");
  EXPECT_THAT(lines[1].at("message").as_string(),
              ::testing::AllOf(HasSubstr("12 rows read, 10 written"), HasSubstr("2 rejected"),
                               HasSubstr("3 read again and left out, 4 left out for another row "
                                         "of their key")));
  EXPECT_EQ(lines[2].at("level").as_string(), "warn");
  EXPECT_EQ(lines[2].at("message").as_string(), "mind the key");
  EXPECT_EQ(lines[3].at("level").as_string(), "error");
  EXPECT_THAT(lines[3].at("message").as_string(), HasSubstr("column id is gone"));
  EXPECT_THAT(lines[4].at("message").as_string(), HasSubstr("failed after"));
  // Page by page the same.
  std::string cursor;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Answer one = get(path + "?limit=1" + (cursor.empty() ? "" : "&cursor=" + cursor));
    ASSERT_THAT(one.data().as_array(), SizeIs(1));
    EXPECT_EQ(one.data().as_array()[0], lines[i]);
    const auto& next = one.body.at("nextCursor");
    EXPECT_EQ(next.is_null(), i + 1 == lines.size());
    if (next.is_string()) cursor = next.as_string();
  }
}

TEST_F(RunsTest, LogStreamFollowsResumesAndEnds) {
  const std::string run = start(make_job());
  const auto c = claim();
  log(c, "one");
  log(c, "two");
  const auto open = [&](std::vector<http::Header> headers) {
    headers.push_back({"Authorization", "Bearer " + admin_});
    headers.push_back({"Accept", "text/event-stream"});
    auto request = http::Request::make(Method::Get, runs_ + "/" + run + "/logs", headers).value();
    auto response = router_->handle(request);
    EXPECT_NE(response.events, nullptr) << response.body;
    return std::move(response.events);
  };
  auto stream = open({});
  stream->open([] {});
  EXPECT_THAT(*stream->pull(),
              ::testing::AllOf(HasSubstr("id: 0\nevent: log\n"), HasSubstr("started by"),
                               HasSubstr("id: 1\nevent: log\n"), HasSubstr("id: 2\n")));
  EXPECT_EQ(stream->pull(), "") << "nothing new, and the run goes on";
  log(c, "three");
  EXPECT_THAT(*stream->pull(), HasSubstr("id: 3\n"));
  finish(c, model::RunState::Succeeded);
  EXPECT_THAT(*stream->pull(), ::testing::AllOf(HasSubstr("id: 1000000000\nevent: log\n"),
                                                HasSubstr("succeeded after")));
  EXPECT_THAT(*stream->pull(), ::testing::AllOf(HasSubstr("event: end\n"), HasSubstr("succeeded")));
  EXPECT_EQ(stream->pull(), std::nullopt);

  auto resumed = open({{"Last-Event-ID", "2"}});
  const std::string first = *resumed->pull();
  EXPECT_THAT(first, HasSubstr("id: 3\n"));
  EXPECT_THAT(first, Not(HasSubstr("id: 2\n")));
  for (const char* accept : {"text/event-stream", "text/plain", "application/json"}) {
    const Answer a = call(Method::Get, runs_ + "/" + run + "/logs", "",
                          {{"Accept", accept}, {"Last-Event-ID", "x"}});
    EXPECT_EQ(a.status, 422) << accept;
    EXPECT_THAT(a.fields(), ElementsAre("Last-Event-ID")) << accept;
  }
}

TEST_F(RunsTest, LogStreamEndsWhenItsTokenIsRevokedOrExpires) {
  const std::string run = start(make_job());
  const auto open = [&](const std::string& token) {
    auto request =
        http::Request::make(Method::Get, runs_ + "/" + run + "/logs",
                            {{"Authorization", "Bearer " + token}, {"Accept", "text/event-stream"}})
            .value();
    auto response = router_->handle(request);
    EXPECT_NE(response.events, nullptr) << response.body;
    response.events->open([] {});
    return std::move(response.events);
  };
  const std::string revoked = make_token(model::Role::Viewer);
  const std::string expires = make_token(model::Role::Viewer, {}, clock_.now() + Seconds(60));
  auto first = open(revoked), second = open(expires);
  EXPECT_EQ(first->pull(), "");
  ASSERT_TRUE(
      store_->delete_token((*store_->find_token(secrets::hash_token(revoked)))->id).has_value());
  EXPECT_EQ(first->pull(), std::nullopt);
  EXPECT_EQ(second->pull(), "");
  clock_.ms += 61'000;
  EXPECT_EQ(second->pull(), std::nullopt);
}

TEST_F(RunsTest, LogStreamEndsWhenTheServerStops) {
  const std::string run = start(make_job());
  auto request =
      http::Request::make(Method::Get, runs_ + "/" + run + "/logs",
                          {{"Authorization", "Bearer " + admin_}, {"Accept", "text/event-stream"}})
          .value();
  auto response = router_->handle(request);
  ASSERT_NE(response.events, nullptr);
  response.events->open([] {});
  EXPECT_EQ(response.events->pull(), "");
  api_->stop();
  EXPECT_EQ(response.events->pull(), std::nullopt);
}

}  // namespace
}  // namespace tidegate::api
