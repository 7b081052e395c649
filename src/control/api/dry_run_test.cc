// ?dryRun=true: what a write would say, and no write.
#include <algorithm>

#include "control/api/route.h"
#include "control/api/test_fixture.h"

namespace tidegate::api {
namespace {

using http::Method;
using ::testing::ElementsAre;

constexpr std::string_view kDryRun = "?dryRun=true";

struct Trial {
  Method method;
  std::string path, right, wrong;
  std::vector<std::string> wrong_fields;
};

class DryRunTest : public ApiTest {
 protected:
  Answer dry(const Trial& t, const std::string& body, std::vector<http::Header> headers = {}) {
    return call(t.method, t.path + std::string(kDryRun), body, std::move(headers));
  }
  // All that a write could have changed.
  std::string state() {
    return get(sources_).text + get(destinations_).text + get(jobs_).text +
           get(kDefault + "/runs").text;
  }

  // One for each route that has a dry run.
  std::vector<Trial> trials() {
    const std::string id = make_job("k", R"("schedule":"@daily")");
    const std::string source = sources_ + "/" + make_source("s");
    const std::string destination = destinations_ + "/" + make_destination("d");
    const std::string file = R"({"name":"new","type":"file","config":{"path":"/srv/n.csv"}})";
    const std::string files = R"({"name":"other","type":"file","config":{"path":"/srv/*.csv"}})";
    const std::string db = R"({"name":"new","type":"sqlite","config":{"path":"/srv/n.db"}})";
    const std::string base = R"({"name":"other","type":"sqlite","config":{"path":"/srv/o.db"}})";
    const std::string bad = R"({"name":"n","type":"sqlite","config":{"pth":"/srv/n.db"},"x":1})";
    const std::vector<std::string> fields{"x", "config.path", "config.pth"};
    const std::string weekly = job_body("weekly", R"("schedule":"@weekly")");
    const std::string hourly = job_body("hourly", R"("schedule":"@hourly")");
    const std::string never = job_body("never", R"("schedule":"@never")");
    const std::string past =
        R"({"schedule":{"at":"2020-01-01T00:00:00Z","cron":null,"timezone":null,"dst":null}})";
    return {
        {Method::Post, sources_, file, bad, fields},
        {Method::Put, source, files, bad, fields},
        {Method::Patch,
         source,
         R"({"name":"m"})",
         R"({"x":1,"config":{"path":7}})",
         {"x", "config.path"}},
        {Method::Post, destinations_, db, bad, fields},
        {Method::Put, destination, base, bad, fields},
        {Method::Patch,
         destination,
         R"({"config":{"path":"/srv/m.db"}})",
         R"({"type":"file"})",
         {"type"}},
        {Method::Post, jobs_, weekly, never, {"schedule"}},
        {Method::Put, jobs_ + "/" + id, hourly, never, {"schedule"}},
        {Method::Patch, jobs_ + "/" + id, R"({"schedule":"@monthly"})", past, {"schedule.at"}},
    };
  }

  const std::string sources_ = kDefault + "/data-sources";
  const std::string destinations_ = kDefault + "/destinations";
  const std::string jobs_ = kDefault + "/sync-jobs";
};

boost::json::value without_id(const Answer& a) {
  boost::json::object data = a.data().as_object();
  data.erase("id");
  return data;
}

TEST_F(DryRunTest, JudgesAsTheWriteAndWritesNothing) {
  const auto all = trials();
  const auto has_body = [](const ApiRoute& r) {
    return r.has_dry_run && r.method != Method::Delete;
  };
  EXPECT_EQ(std::ranges::count_if(all_routes(), has_body), std::ssize(all));
  for (const Trial& t : all) {
    SCOPED_TRACE(std::string(http::method_name(t.method)) + " " + t.path);
    const std::string before = state();
    const Answer refused = dry(t, t.wrong);
    EXPECT_EQ(refused.status, 422) << refused.text;
    EXPECT_THAT(refused.fields(), ::testing::UnorderedElementsAreArray(t.wrong_fields));
    EXPECT_EQ(refused.text, call(t.method, t.path, t.wrong).text);
    const Answer accepted = dry(t, t.right);
    ASSERT_EQ(accepted.status, 200) << accepted.text;
    EXPECT_EQ(accepted.header("ETag"), "") << "there is no such revision";
    EXPECT_EQ(state(), before);
    const Answer written = call(t.method, t.path, t.right);
    EXPECT_EQ(written.status, t.method == Method::Post ? 201 : 200) << written.text;
    EXPECT_EQ(without_id(accepted), without_id(written));
    EXPECT_NE(state(), before);
  }
}

TEST_F(DryRunTest, RolesRevisionsAndParametersAreThoseOfTheWrite) {
  const std::string viewer = make_token(model::Role::Viewer);
  for (const Trial& t : trials()) {
    SCOPED_TRACE(std::string(http::method_name(t.method)) + " " + t.path);
    EXPECT_EQ(call(t.method, t.path + "?dryRun=true", t.right, {}, viewer).status, 403);
    if (t.method != Method::Post) {
      EXPECT_EQ(dry(t, t.right, {{"If-Match", "\"9\""}}).code(), "revision_mismatch");
      EXPECT_EQ(dry(t, t.right, {{"If-Match", "\"1\""}}).status, 200);
    }
    for (const char* query : {"?dryRun=", "?dryRun=1", "?dryRun=true&dryRun=true"}) {
      EXPECT_THAT(call(t.method, t.path + query, t.right).fields(), ElementsAre("dryRun")) << query;
    }
    EXPECT_THAT(call(t.method, t.path + "?dryrun=true", t.right).fields(), ElementsAre("dryrun"));
  }
  // Whoever takes it for a dry run must not act.
  const std::string job = jobs_ + "/" + make_job("kept");
  EXPECT_THAT(post(job + "/run?dryRun=true").fields(), ElementsAre("dryRun"));
  EXPECT_EQ(get(job).status, 200);
}

TEST_F(DryRunTest, ADeletionIsTriedToo) {
  const std::string job = jobs_ + "/" + make_job("j");
  const std::string viewer = make_token(model::Role::Viewer);
  std::vector<std::string> all = {job};
  for (const std::string& list : {sources_, destinations_}) {
    all.push_back(list + "/" + std::string(get(list).data().as_array()[0].at("id").as_string()));
  }
  EXPECT_EQ(std::ranges::count_if(
                all_routes(),
                [](const ApiRoute& r) { return r.has_dry_run && r.method == Method::Delete; }),
            std::ssize(all));
  const std::string before = state();
  for (const std::string& one : all) {
    const auto dry = [&](std::vector<http::Header> headers = {}) {
      return call(Method::Delete, one + std::string(kDryRun), "", std::move(headers));
    };
    const Answer accepted = dry({{"If-Match", "\"1\""}});
    EXPECT_EQ(accepted.status, 200) << accepted.text;  // one that is in use, too
    EXPECT_EQ(accepted.at("id"), one.substr(one.rfind('/') + 1));
    EXPECT_EQ(dry({{"If-Match", "\"9\""}}).code(), "revision_mismatch");
    EXPECT_EQ(call(Method::Delete, one + std::string(kDryRun), "", {}, viewer).status, 403);
    EXPECT_EQ(call(Method::Delete, one + "x" + std::string(kDryRun)).status, 404);
  }
  EXPECT_EQ(state(), before);
  for (const std::string& one : all) EXPECT_EQ(call(Method::Delete, one).status, 200);
}

// A file's jobs name connections that the same file creates.
TEST_F(DryRunTest, OtherResourcesAreLeftToTheWrite) {
  const std::string job = R"({"name":"j","dataSourceId":"later","destinationDatabaseId":"later"})";
  EXPECT_EQ(post(jobs_ + "?dryRun=true", job).status, 200);
  EXPECT_EQ(post(jobs_, job).status, 422);
  make_source("taken");
  const std::string source = R"({"name":"taken","type":"file","config":{"path":"/srv/n.csv"}})";
  EXPECT_EQ(post(sources_ + "?dryRun=true", source).status, 200);
  EXPECT_EQ(post(sources_, source).code(), "name_taken");
  // A key that was tried is still free.
  const std::vector<http::Header> key{{"Idempotency-Key", "k"}};
  const std::string other = R"({"name":"other","type":"file","config":{"path":"/srv/n.csv"}})";
  EXPECT_EQ(post(sources_ + "?dryRun=true", source, key).status, 200);
  EXPECT_EQ(post(sources_, other, key).status, 201);
}

}  // namespace
}  // namespace tidegate::api
