// Data sources and destinations: validation, secrets, references.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "control/api/test_fixture.h"

namespace tidegate::api {
namespace {

using http::Method;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr std::string_view kCanary = "canary-91be";

class ConnectionsTest : public ApiTest {
 protected:
  const std::string sources_ = kDefault + "/data-sources";
  const std::string destinations_ = kDefault + "/destinations";
  const std::string vault_ =
      R"({"name":"v","type":"vault","config":{"host":"h","password":"canary-91be","tls":{"key":"canary-91be"}}})";
};

TEST_F(ConnectionsTest, CreateReadListDelete) {
  const Answer made =
      post(sources_, R"({"name":"f","type":"file","config":{"path":"/srv/x.csv","header":true}})");
  ASSERT_EQ(made.status, 201) << made.text;
  EXPECT_EQ(made.header("ETag"), "\"1\"");
  const std::string one = sources_ + "/" + made.at("id");
  EXPECT_EQ(get(one).at("config"), R"({"path":"/srv/x.csv","header":true})");
  EXPECT_EQ(get(one + "?feilds=name").status, 422);
  EXPECT_EQ(get(sources_).data().as_array().size(), 1u);
  EXPECT_EQ(get(sources_ + "?name=F").body.at("total").as_int64(), 1);
  EXPECT_EQ(get(destinations_).data().as_array().size(), 0u) << "a source is no destination";
  EXPECT_EQ(get(destinations_ + "/" + made.at("id")).code(), "destination_not_found");
  EXPECT_EQ(call(Method::Delete, one).status, 200);
  EXPECT_EQ(get(one).code(), "data_source_not_found");
}

struct Bad {
  std::string_view body;
  std::vector<std::string> fields;
  std::string_view message;
};

TEST_F(ConnectionsTest, WrongConfigurationIsNamedFieldByField) {
  const Bad table[] = {
      {R"({})", {"name", "type", "config"}, "missing"},
      {R"({"name":"n","type":"fil","config":{}})", {"type"}, "did you mean 'file'"},
      {R"({"name":"n","type":"oracle","config":{}})", {"type"}, "known are file, sqlite, vault"},
      {R"({"name":"n","type":"file","config":{}})", {"config.path"}, "is missing"},
      {R"({"name":"n","type":"file","config":[]})", {"config"}, "must be an object"},
      {R"({"name":"n","type":"file","config":{"path":7}})", {"config.path"}, "must be text"},
      {R"({"name":"n","type":"file","config":{"path":null}})", {"config.path"}, "must be text"},
      {R"({"name":"n","type":"file","config":{"path":""}})", {"config.path"}, ""},
      {R"({"name":"n","type":"file","config":{"path":"/a\u0000b"}})", {"config.path"}, "NUL"},
      {R"({"name":"n","type":"file","config":{"path":"/a","delimiter":"||"}})",
       {"config.delimiter"},
       "must be one character"},
      {R"({"name":"n","type":"file","config":{"path":"/a","pat":1}})",
       {"config.pat"},
       "did you mean 'path'"},
      {R"({"name":"n","type":"file","config":{"path":"/a","format":"xml"}})",
       {"config.format"},
       "\"csv\", \"jsonl\""},
      {R"({"name":"n","type":"file","config":{"path":"/a","nullValues":["x",1]}})",
       {"config.nullValues[1]"},
       "text"},
      {R"({"name":"n","type":"file","config":{"path":"/a","nullValues":["x","y","z"]}})",
       {"config.nullValues"},
       ""},
      {R"({"name":"n","type":"vault","config":{"host":"h","password":"pw","tls":{"kee":1}}})",
       {"config.tls.kee", "config.password"},
       ""},
      {R"({"name":"n","type":"file","config":{"path":"/a"},"extra":1})",
       {"extra"},
       "not a known field"},
      // Seen here: a wrong field hid those that are judged after it.
      {R"({"name":"n","type":"file","config":{"pat":1},"extra":1})",
       {"extra", "config.path", "config.pat"},
       ""},
      {R"({"name":" n","type":"file","config":{"path":7}})", {"name", "config.path"}, "a blank"},
      {R"({"name":"n","type":"fil"})", {"config", "type"}, "did you mean 'file'"},
      {R"({"name":7,"type":"fil","config":3,"x":1})", {"name", "config", "type", "x"}, ""},
      {R"({"name":"n","type":"vault","config":{"hots":1,"password":"***","tls":{"key":"***"}},"x":1})",
       {"x", "config.password", "config.tls.key", "config.host", "config.hots"},
       "none is stored"},
  };
  const std::string one = sources_ + "/" + make_source();
  for (const Bad& bad : table) {
    for (const Answer& a :
         {post(sources_, std::string(bad.body)), call(Method::Put, one, std::string(bad.body))}) {
      EXPECT_EQ(a.status, 422) << bad.body << a.text;
      EXPECT_THAT(a.fields(), ::testing::UnorderedElementsAreArray(bad.fields))
          << bad.body << a.text;
      EXPECT_THAT(
          a.text,
          HasSubstr(json::write(boost::json::value(bad.message)).substr(1, bad.message.size())));
    }
  }
}

TEST_F(ConnectionsTest, SettingsOfTheOtherRoleAreUnknown) {
  const std::string body = R"({"name":"n","type":"sqlite","config":{"path":"/a.db","timeout":5}})";
  EXPECT_EQ(post(sources_, body).status, 201);
  EXPECT_THAT(post(destinations_, body).fields(), ElementsAre("config.timeout"));
  EXPECT_THAT(post(destinations_, R"({"name":"n","type":"file","config":{"path":"/a"}})").fields(),
              ElementsAre("type"));
}

// Secrets in logs and answers, seen in many systems.
TEST_F(ConnectionsTest, ASecretIsInNoAnswerAndInNoStoredRow) {
  const Answer made = post(sources_, vault_);
  ASSERT_EQ(made.status, 201) << made.text;
  const std::string one = sources_ + "/" + made.at("id");
  const std::string canary(kCanary);
  for (const Answer& a :
       {made, get(one), get(sources_), call(Method::Put, one, vault_),
        call(Method::Patch, one, R"({"config":{"password":"canary-91be","host":7}})"),
        call(Method::Put, one,
             R"({"name":"v","type":"file","config":{"path":{"x":"canary-91be"}}})"),
        post(one + "/check"), post(sources_, vault_)}) {
    EXPECT_THAT(a.text, Not(HasSubstr(canary)));
  }
  EXPECT_THAT(made.text, HasSubstr(R"("password":"***")"));
  const auto stored =
      store_->list_connections({.workspace = WorkspaceId("01900000-0000-7000-8000-000000000001")});
  ASSERT_EQ(stored->items.size(), 1u);
  EXPECT_THAT(json::write(stored->items[0].config), Not(HasSubstr(canary)));
  // The engine alone gets it.
  EXPECT_EQ(engine_.last->config.at("password").as_string(), canary);
}

// A driver that fails repeats the string it was given, password and all.
TEST_F(ConnectionsTest, ASecretThatTheEngineRepeatsIsMasked) {
  for (const std::string& list : {sources_, destinations_}) {
    const Answer made = post(list, vault_);
    ASSERT_EQ(made.status, 201) << made.text;
    for (const char* what : {"/check", "/discover"}) {
      const std::string path = list + "/" + made.at("id") + what;
      engine_.reply = json::parse(R"({"ok":false,"message":"cannot reach vault://u:canary-91be@h",
                          "tried":[{"url":"vault://u:canary-91be@h"}]})")
                          .value();
      const Answer said = post(path);
      EXPECT_EQ(said.status, 200) << said.text;
      EXPECT_EQ(said.at("message"), "cannot reach vault://u:***@h");
      EXPECT_THAT(said.text, Not(HasSubstr(std::string(kCanary))));

      engine_.error = Error{
          Code::Invalid, "no login with canary-91be", "failed", {{"url", "holds canary-91be", {}}}};
      const Answer failed = post(path);
      EXPECT_EQ(failed.status, 422) << failed.text;
      EXPECT_EQ(failed.error(), "no login with ***");
      EXPECT_THAT(failed.text, Not(HasSubstr(std::string(kCanary))));

      // What was the last word of an engine that crashed: the client sees a reference, the log all.
      engine_.error = Error{Code::Internal, "ended by signal 11; canary-91be", {}, {}};
      ::testing::internal::CaptureStderr();
      EXPECT_EQ(post(path).status, 500);
      const std::string log = ::testing::internal::GetCapturedStderr();
      EXPECT_THAT(log, HasSubstr("signal 11; ***"));
      EXPECT_THAT(log, Not(HasSubstr(std::string(kCanary))));
      engine_.error.reset();
    }
  }
}

TEST_F(ConnectionsTest, MaskSentBackKeepsTheSecret) {
  const Answer made = post(sources_, vault_);
  const std::string one = sources_ + "/" + made.at("id");
  const Answer put = call(Method::Put, one, json::write(get(one).data()));
  ASSERT_EQ(put.status, 200) << put.text;
  EXPECT_EQ(put.header("ETag"), "\"2\"");
  EXPECT_EQ(call(Method::Patch, one, R"({"config":{"host":"other"}})").status, 200);
  post(one + "/check");
  EXPECT_EQ(json::write(engine_.last->config),
            R"({"host":"other","password":"canary-91be","tls":{"key":"canary-91be"}})");
  // There is nothing that it could stand for.
  EXPECT_THAT(
      post(sources_, R"({"name":"w","type":"vault","config":{"host":"h","password":"***"}})")
          .fields(),
      ElementsAre("config.password"));
}

TEST_F(ConnectionsTest, UpdateUnderAStaleRevisionIsRefused) {
  const std::string one = sources_ + "/" + make_source();
  const std::string body = R"({"name":"new","type":"file","config":{"path":"/a"}})";
  EXPECT_EQ(call(Method::Put, one, body, {{"If-Match", "\"7\""}}).status, 412);
  EXPECT_EQ(call(Method::Put, one, body, {{"If-Match", "\"1\""}}).status, 200);
  EXPECT_EQ(call(Method::Delete, one, "", {{"If-Match", "\"1\""}}).status, 412);
  EXPECT_EQ(call(Method::Delete, one, "", {{"If-Match", "nonsense"}}).status, 412);
  EXPECT_EQ(call(Method::Delete, one, "", {{"If-Match", "*"}}).status, 200);
}

TEST_F(ConnectionsTest, OneInUseIsNotDeletedAndTheJobIsNamed) {
  make_job("nightly");
  const std::string id(get(sources_).data().as_array()[0].at("id").as_string());
  const Answer a = call(Method::Delete, sources_ + "/" + id);
  EXPECT_EQ(a.status, 409);
  EXPECT_EQ(a.code(), "connection_in_use");
  EXPECT_THAT(a.error(), HasSubstr("nightly"));
}

TEST_F(ConnectionsTest, NamesAreUniqueByKindAndRepeatsAreSafe) {
  const std::string body = R"({"name":"same","type":"sqlite","config":{"path":"/a.db"}})";
  const std::vector<http::Header> key = {{"Idempotency-Key", "k"}};
  const Answer first = post(sources_, body, key);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(post(sources_, body, key).at("id"), first.at("id"));
  EXPECT_EQ(post(sources_, body).code(), "name_taken");
  EXPECT_EQ(post(destinations_, body).status, 201);
  EXPECT_EQ(post(sources_, body, {{"Idempotency-Key", "has blank"}}).status, 422);
}

TEST_F(ConnectionsTest, CheckAndDiscoverAskTheEngine) {
  const std::string one = sources_ + "/" + make_source();
  EXPECT_EQ(post(one + "/check").at("ok"), "true");
  EXPECT_EQ(post(one + "/discover", "{}").at("entities"), R"([{"name":"t"}])");
  EXPECT_THAT(post(one + "/check", R"({"deep":true})").fields(), ElementsAre("deep"));
  EXPECT_EQ(post(sources_ + "/none/check").status, 404);
  engine_.error = Error{Code::RateLimited, "4 checks are running", "too_many_checks", {}};
  const Answer busy = post(one + "/check");
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.header("Retry-After"), "1");
}

// Symptom: a destination with a field of its own could not be discovered: the source knew no such
// field.
TEST_F(ConnectionsTest, ADestinationIsDiscoveredWithoutTheFieldsThatNoSourceHas) {
  const Answer made =
      post(destinations_,
           R"({"name":"d","type":"sqlite","config":{"path":"/srv/out.db","journal":"keep"}})");
  ASSERT_EQ(made.status, 201) << made.text;
  const std::string one = destinations_ + "/" + made.at("id");
  EXPECT_EQ(post(one + "/discover").status, 200);
  EXPECT_EQ(json::write(engine_.last->config), R"({"path":"/srv/out.db"})");
  EXPECT_EQ(post(one + "/check").status, 200);
  EXPECT_EQ(engine_.last->config.at("journal").as_string(), "keep");
}

TEST_F(ConnectionsTest, DestinationsOfOneFileShareAKey) {
  post(destinations_, R"({"name":"a","type":"sqlite","config":{"path":"/srv/x/../out.db"}})");
  post(destinations_, R"({"name":"b","type":"sqlite","config":{"path":"/srv/out.db"}})");
  const auto found =
      store_->list_connections({.workspace = WorkspaceId("01900000-0000-7000-8000-000000000001"),
                                .kind = model::ConnectionKind::Destination});
  ASSERT_EQ(found->items.size(), 2u);
  EXPECT_EQ(found->items[0].exclusive_key, "sqlite:/srv/out.db");
  EXPECT_EQ(found->items[1].exclusive_key, "sqlite:/srv/out.db");
}

TEST_F(ConnectionsTest, PathsStayBeneathTheRootsAndOffTheStore) {
  std::string dir = (std::filesystem::temp_directory_path() / "tidegate-api-XXXXXX").string();
  ASSERT_NE(mkdtemp(dir.data()), nullptr);
  std::filesystem::create_directory(dir + "/files");
  std::filesystem::create_symlink("/etc", dir + "/files/link");
  std::ofstream(dir + "/files/tidegate.db") << "x";
  ApiOptions options;
  options.path_roots = {dir + "/files"};
  options.forbidden_paths = {dir + "/files/tidegate.db"};
  Api api({*store_, engine_, keys_, clock_, rng_}, options);
  router_ = api.router().value();
  const auto fields = [&](const std::string& path) {
    const Answer a = post(
        destinations_,
        fmt::format(R"({{"name":"{}","type":"sqlite","config":{{"path":"{}"}}}})", path, path));
    return a.status == 201 ? std::vector<std::string>{"accepted"} : a.fields();
  };
  EXPECT_THAT(fields("ok.db"), ElementsAre("accepted"));
  EXPECT_THAT(fields(dir + "/files/sub/ok.db"), ElementsAre("accepted"));
  EXPECT_THAT(fields("/etc/out.db"), ElementsAre("config.path"));
  EXPECT_THAT(fields("../out.db"), ElementsAre("config.path"));
  EXPECT_THAT(fields("link/out.db"), ElementsAre("config.path"));
  EXPECT_THAT(fields("tidegate.db"), ElementsAre("config.path"));
  EXPECT_THAT(fields("sub/../tidegate.db"), ElementsAre("config.path"));
  EXPECT_THAT(
      post(destinations_, R"({"type":"sqlite","config":{"path":"/etc/x","pat":1},"x":1})").fields(),
      UnorderedElementsAre("name", "x", "config.path", "config.pat"));
  EXPECT_THAT(fields("\\u0000"), UnorderedElementsAre("name", "config.path"))
      << "one problem of a field is enough";
  router_ = api_->router().value();
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace tidegate::api
