// Tokens, workspaces and the system's own routes.
#include <fmt/format.h>

#include "control/api/test_fixture.h"

namespace tidegate::api {
namespace {

using http::Method;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class TokensTest : public ApiTest {};

TEST_F(TokensTest, AreShownOnceAndWork) {
  const Answer made = post(
      "/api/tokens",
      R"({"name":"ci","role":"operator","workspaces":["default"],"expiresAt":"2031-01-01T00:00:00Z"})");
  ASSERT_EQ(made.status, 201) << made.text;
  const std::string text = made.at("token");
  EXPECT_EQ(made.header("Location"), "/api/tokens/" + made.at("id"));
  EXPECT_EQ(call(Method::Get, kDefault + "/sync-jobs", "", {}, text).status, 200);
  EXPECT_EQ(call(Method::Get, "/api/tokens", "", {}, text).status, 403);

  const Answer read = get("/api/tokens/" + made.at("id"));
  EXPECT_EQ(read.at("role"), "operator");
  EXPECT_THAT(read.text, Not(HasSubstr(text)));
  EXPECT_THAT(read.text, Not(HasSubstr(secrets::hash_token(text))));
  EXPECT_THAT(get("/api/tokens").text, Not(HasSubstr(secrets::hash_token(text))));
}

TEST_F(TokensTest, EveryWrongFieldIsNamed) {
  const Answer a = post(
      "/api/tokens",
      R"({"role":"root","workspaces":["default","no-such"],"expiresAt":"2001-01-01T00:00:00Z","scope":1})");
  EXPECT_EQ(a.status, 422);
  EXPECT_THAT(a.fields(),
              UnorderedElementsAre("name", "role", "workspaces[1]", "expiresAt", "scope"));
  EXPECT_THAT(post("/api/tokens", R"({"name":"n"})").fields(), ElementsAre("role"));
  EXPECT_THAT(post("/api/tokens", R"({"name":"n","role":null})").fields(), ElementsAre("role"));
  EXPECT_THAT(post("/api/tokens", R"({"name":"bootstrap","role":"admin"})").fields(),
              ElementsAre("name"));
  EXPECT_THAT(post("/api/tokens", R"({"name":"bootstrap of h:/d","role":"admin"})").fields(),
              ElementsAre("name"));
  // Once an admin of everything.
  EXPECT_THAT(post("/api/tokens", R"({"name":"n","role":"admin","workspaces":[]})").fields(),
              ElementsAre("workspaces"));
}

TEST_F(TokensTest, NameIsUniqueAndATokenCannotRevokeItself) {
  EXPECT_EQ(post("/api/tokens", R"({"name":"x","role":"admin"})").status, 201);
  EXPECT_EQ(post("/api/tokens", R"({"name":"x","role":"admin"})").code(), "name_taken");
  for (const auto& t : store_->list_tokens().value()) {
    const Answer a = call(Method::Delete, "/api/tokens/" + t.id.str());
    if (t.hash == secrets::hash_token(admin_)) {
      EXPECT_EQ(a.code(), "token_in_use");
    } else {
      EXPECT_EQ(a.status, 200) << a.text;
    }
  }
  EXPECT_EQ(call(Method::Delete, "/api/tokens/none").code(), "token_not_found");
}

TEST_F(TokensTest, ListPagesByName) {
  for (const char* name : {"b", "a", "c"}) {
    EXPECT_EQ(post("/api/workspaces", fmt::format(R"({{"name":"{}"}})", name)).status, 201);
  }
  const Answer first = get("/api/workspaces?limit=2&fields=name");
  EXPECT_EQ(json::write(first.data()), R"([{"name":"a"},{"name":"b"}])");
  EXPECT_EQ(first.body.at("total").as_int64(), 4);
  const std::string cursor(first.body.at("nextCursor").as_string());
  const Answer second = get("/api/workspaces?limit=2&fields=name&cursor=" + cursor);
  EXPECT_EQ(json::write(second.data()), R"([{"name":"c"},{"name":"default"}])");
  EXPECT_TRUE(second.body.at("nextCursor").is_null());
  EXPECT_EQ(get("/api/tokens?cursor=" + cursor).code(), "bad_cursor");
}

TEST_F(TokensTest, WorkspaceNamesAreCheckedAndUnique) {
  for (const char* bad :
       {R"({"name":"Upper"})", R"({"name":""})", R"({"name":7})", R"({})", R"({"name":"a/b"})"}) {
    const Answer a = post("/api/workspaces", bad);
    EXPECT_EQ(a.status, 422) << bad;
    EXPECT_THAT(a.fields(), ElementsAre("name"));
  }
  EXPECT_EQ(post("/api/workspaces", R"({"name":"default"})").code(), "name_taken");
}

TEST_F(TokensTest, WorkspaceWithAJobIsNotDeleted) {
  make_source();
  EXPECT_EQ(call(Method::Delete, kDefault).code(), "workspace_not_empty");
}

TEST_F(TokensTest, ATokenIsNotMadeUnderAKeySinceItsTextIsShownOnce) {
  const Answer a =
      post("/api/tokens", R"({"name":"t","role":"viewer"})", {{"Idempotency-Key", "k"}});
  EXPECT_EQ(a.status, 422);
  EXPECT_EQ(a.code(), "bad_idempotency_key");
}

TEST_F(TokensTest, CreatingAWorkspaceTwiceWithOneKeyMakesOne) {
  const std::vector<http::Header> key = {{"Idempotency-Key", "k1"}};
  const Answer first = post("/api/workspaces", R"({"name":"w"})", key);
  const Answer second = post("/api/workspaces", R"({"name":"w"})", key);
  EXPECT_EQ(second.status, 201) << second.text;
  EXPECT_EQ(second.at("id"), first.at("id"));
  EXPECT_EQ(second.header("Idempotency-Replayed"), "true");
  EXPECT_EQ(first.header("Idempotency-Replayed"), "");
  const Answer other = post("/api/workspaces", R"({"name":"v"})", key);
  EXPECT_EQ(other.status, 422);
  EXPECT_EQ(other.code(), "idempotency_mismatch");
}

TEST_F(TokensTest, HealthReadinessAndContract) {
  EXPECT_EQ(get("/healthz").at("version"), "test");
  EXPECT_EQ(get("/readyz").at("status"), "ready");
  EXPECT_EQ(get("/api/openapi.json").body.at("openapi").as_string(), "3.1.0");
}

// "Scheduler running" was green while nothing fired.
TEST_F(TokensTest, ReadinessSaysWhatIsWrong) {
  ApiOptions options;
  options.ready = [] {
    return fail(Code::Unavailable, "the planner made no progress for 30 s", "not_ready");
  };
  Api api({*store_, engine_, keys_, clock_, rng_}, options);
  const http::Router router = api.router().value();
  auto request = http::Request::make(Method::Get, "/readyz").value();
  const auto response = router.handle(request);
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("the planner made no progress"));
}

// Symptom: a server on a store that was half restored took changes, which the restore then refused.
TEST_F(TokensTest, AStoreThatIsBeingRestoredIsReadAndNotChanged) {
  ASSERT_TRUE(store_->acquire_leader(OwnerId("restore:a1"), Millis(8000)).value());
  EXPECT_EQ(get("/api/workspaces").status, 200);
  for (const Answer& a : {post("/api/workspaces", R"({"name":"w"})"),
                          call(Method::Delete, "/api/workspaces/default")}) {
    EXPECT_EQ(a.status, 503);
    EXPECT_EQ(a.code(), "restore_unfinished");
    EXPECT_THAT(a.text, HasSubstr("repeat the same `tidegate restore`"));
  }
  EXPECT_EQ(get("/api/workspaces").body.at("data").as_array().size(), 1);
}

TEST_F(TokensTest, CronPreview) {
  const Answer a =
      get("/api/cron/preview?expression=30%202%20*%20*%20*&timezone=America/"
          "New_York&after=2026-03-07T12:00:00Z&count=2");
  ASSERT_EQ(a.status, 200) << a.text;
  EXPECT_EQ(
      json::write(a.data().at("times")),
      R"([{"at":"2026-03-08T07:00:00Z","local":"2026-03-08T03:00:00-04:00"},{"at":"2026-03-09T06:30:00Z","local":"2026-03-09T02:30:00-04:00"}])");
  const Answer bad = get("/api/cron/preview?expression=0%2025%20*%20*%20*&timezone=Mars&tz=UTC");
  EXPECT_EQ(bad.status, 422);
  EXPECT_THAT(bad.fields(), ElementsAre("tz"));
  const Answer both = get("/api/cron/preview?expression=0%2025%20*%20*%20*&timezone=Mars");
  EXPECT_THAT(both.fields(), ElementsAre("expression", "timezone"));
  EXPECT_EQ(both.body.at("details").at(0).at("position").to_number<int>(), 2);
  EXPECT_THAT(get("/api/cron/preview").fields(), ElementsAre("expression"));
}

TEST_F(TokensTest, WorkersAreListed) {
  model::WorkerInfo w;
  w.id = OwnerId("o1");
  w.host = "h";
  w.seen_at = w.started_at = clock_.now();
  ASSERT_TRUE(store_->heartbeat(w).has_value());
  ASSERT_TRUE(store_->acquire_leader(w.id, Millis(8000)).has_value());
  const Answer a = get("/api/workers");
  ASSERT_EQ(a.data().as_array().size(), 1u);
  EXPECT_TRUE(a.data().as_array()[0].at("leader").as_bool());
}

TEST_F(TokensTest, ConnectorsAreTheEngines) {
  const Answer a = get("/api/connectors");
  EXPECT_EQ(a.data().as_array().size(), 3u);
  engine_.error = Error{Code::Unavailable, "the engine is missing", "", {}};
  const Answer away = get("/api/connectors");
  EXPECT_EQ(away.status, 503);
  EXPECT_EQ(away.header("Retry-After"), "1");
}

}  // namespace
}  // namespace tidegate::api
