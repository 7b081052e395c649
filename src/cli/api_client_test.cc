#include "cli/api_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/process.h"
#include "cli/fake_server.h"

namespace tidegate::cli {
namespace {

namespace fs = std::filesystem;

class Locate : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/locateXXXXXX";
    home_ = ::mkdtemp(pattern.data());
    env_["HOME"] = home_;
    context_.io.env = [this](const std::string& name) -> std::optional<std::string> {
      const auto it = env_.find(name);
      return it == env_.end() ? std::nullopt : std::optional(it->second);
    };
    context_.transport = &server_;
  }
  void TearDown() override { fs::remove_all(home_); }

  void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(write_private_file(home_ + "/" + path, text));
  }
  void local_server() {
    write(".local/share/tidegate/server.json", R"({"url":"http://127.0.0.1:9001","pid":1})");
    write(".local/share/tidegate/admin-token", "local-token\n");
  }
  void login() {
    write(".config/tidegate/login.json", R"({"url":"https://far:9002","token":"login-token"})");
  }

  std::string home_;
  std::map<std::string, std::string> env_;
  FakeServer server_;
  Context context_;
  Args args_;
};

// Without HOME the CLI looked in /var/lib/.local/share, and the server was in /var/lib/tidegate.
TEST_F(Locate, WithoutAHomeTheFolderIsTheServers) {
  for (const auto& env : {std::map<std::string, std::string>{}, {{"HOME", ""}}}) {
    env_ = env;
    EXPECT_EQ(default_data_dir(context_.io), "/var/lib/tidegate");
  }
}

// Seen here: a server of ./tidegate.yaml was not found by commands in the same folder.
TEST_F(Locate, TheFolderOfTheConfigurationFileIsLookedAt) {
  write("configured/server.json", R"({"url":"http://127.0.0.1:9009"})");
  context_.configured_data = [this] { return std::optional(home_ + "/configured"); };
  EXPECT_EQ(locate(context_, args_)->url, "http://127.0.0.1:9009");
  env_["TIDEGATE_DATA"] = "";  // as good as unset
  EXPECT_EQ(locate(context_, args_)->url, "http://127.0.0.1:9009");
  env_["TIDEGATE_DATA"] = home_ + "/elsewhere";
  EXPECT_FALSE(locate(context_, args_));
}

// Seen here: a mistake in that file sent the command to another server.
TEST_F(Locate, AConfigurationFileThatCannotBeReadIsAnError) {
  local_server();
  context_.configured_data = []() -> Result<std::optional<std::string>> {
    return fail(Code::Invalid, "tidegate.yaml: foo is no key");
  };
  const auto t = locate(context_, args_);
  ASSERT_FALSE(t);
  EXPECT_NE(t.error().message.find("foo is no key"), std::string::npos);
  args_.set("server", {"http://named"});
  EXPECT_EQ(locate(context_, args_)->url, "http://named");
}

TEST_F(Locate, NothingKnownSaysWhatToDo) {
  const auto t = locate(context_, args_);
  ASSERT_FALSE(t);
  EXPECT_EQ(t.error().code, Code::NotFound);
  EXPECT_NE(t.error().message.find("tidegate serve"), std::string::npos);
}

TEST_F(Locate, TheLocalServerIsFoundWithoutBeingTold) {
  local_server();
  const auto t = locate(context_, args_);
  ASSERT_TRUE(t) << t.error().message;
  EXPECT_EQ(t->url, "http://127.0.0.1:9001");
  EXPECT_EQ(t->token.reveal(), "local-token");
  EXPECT_EQ(t->workspace, "default");
}

TEST_F(Locate, FlagBeatsVariableBeatsLoginBeatsLocal) {
  local_server();
  login();
  EXPECT_EQ(locate(context_, args_)->url, "https://far:9002");
  EXPECT_EQ(locate(context_, args_)->token.reveal(), "login-token");
  env_["TIDEGATE_SERVER"] = "127.0.0.1:9001/";
  EXPECT_EQ(locate(context_, args_)->url, "http://127.0.0.1:9001");
  EXPECT_EQ(locate(context_, args_)->token.reveal(), "local-token");
  args_.set("server", {"http://other"});
  env_["TIDEGATE_WORKSPACE"] = "team";
  EXPECT_EQ(locate(context_, args_)->url, "http://other");
  EXPECT_EQ(locate(context_, args_)->workspace, "team");
}

// Seen here: "cannot reach http://u:secret@…", and the login kept it.
TEST_F(Locate, APasswordInTheAddressIsRefusedAndNotShown) {
  for (const char* url : {"http://u:canary@host:1/x", "u:canary@host", "https://canary@host?a=b"}) {
    args_.set("server", {url});
    const auto t = locate(context_, args_);
    ASSERT_FALSE(t) << url;
    EXPECT_EQ(t.error().message.find("canary"), std::string::npos);
    EXPECT_TRUE(t.error().message.starts_with("--server: ")) << t.error().message;
  }
  args_.set("server", {"http://host/a@b"});
  EXPECT_TRUE(locate(context_, args_));
}

TEST_F(Locate, ADataFolderThatIsNamedBeatsTheLogin) {
  local_server();
  login();
  args_.set("data", {home_ + "/.local/share/tidegate"});
  EXPECT_EQ(locate(context_, args_)->url, "http://127.0.0.1:9001");
}

TEST_F(Locate, NoTokenIsSentToAServerThatItDoesNotBelongTo) {
  local_server();
  login();
  args_.set("server", {"http://elsewhere:9001"});
  const auto t = locate(context_, args_);
  ASSERT_TRUE(t);
  EXPECT_TRUE(t->token.empty());
}

TEST_F(Locate, ATokenFileIsForAnyServer) {
  write("token", "mine\n");
  args_.set("server", {"http://x"});
  env_["TIDEGATE_TOKEN_FILE"] = home_ + "/token";
  EXPECT_EQ(locate(context_, args_)->token.reveal(), "mine");
  args_.set("token-file", {home_ + "/missing"});
  EXPECT_FALSE(locate(context_, args_));
}

TEST_F(Locate, PrivateFilesAreForTheirOwnerOnly) {
  write("a/b/file", "x");
  const auto mode = fs::status(home_ + "/a/b/file").permissions();
  EXPECT_EQ(mode, fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(fs::status(home_ + "/a/b").permissions(), fs::perms::owner_all);
}

TEST_F(Locate, CallsCarryTokenWorkspaceBodyAndRevision) {
  local_server();
  server_.on("PUT", "/api/workspaces/default/sync-jobs/1", 200,
             R"({"success":true,"data":{"id":"1"}})");
  auto api = ApiClient::connect(context_, args_);
  ASSERT_TRUE(api);
  const auto v = api->call({.method = "PUT",
                            .path = "/sync-jobs/1",
                            .query = {{"a", "b c"}},
                            .body = {{"x", 1}},
                            .if_match = "7"});
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_EQ(text_at(*v, "id"), "1");
  const auto& r = server_.requests.at(0);
  EXPECT_EQ(r.url, "http://127.0.0.1:9001/api/workspaces/default/sync-jobs/1?a=b%20c");
  EXPECT_EQ(r.body, R"({"x":1})");
  const std::map<std::string, std::string> headers(r.headers.begin(), r.headers.end());
  EXPECT_EQ(headers.at("Authorization"), "Bearer local-token");
  EXPECT_EQ(headers.at("If-Match"), "\"7\"");
  EXPECT_EQ(headers.at("Content-Type"), "application/json");
}

TEST_F(Locate, FailuresOfTheServerBecomeErrors) {
  local_server();
  server_.on(
      "POST", "/api/tokens", 422,
      R"({"success":false,"error":"wrong","code":"invalid_token","details":[{"field":"name","message":"is missing","position":4}]})");
  server_.on("GET", "/api/tokens", 200, "<html>");
  server_.on("GET", "/api/workspaces", 502, "<html>");
  auto api = ApiClient::connect(context_, args_);
  ASSERT_TRUE(api);
  const auto wrong =
      api->call({.method = "POST", .path = "/api/tokens", .body = boost::json::object()});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error(),
            (Error{Code::Invalid, "wrong", "invalid_token", {{"name", "is missing", 4}}}));
  EXPECT_FALSE(api->call({.path = "/api/tokens", .body = nullptr}));
  const auto foreign = api->call({.path = "/api/workspaces", .body = nullptr});
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().message.find("is that address a Tidegate server"), std::string::npos);
}

// Seen here: a stopped server was waited for without a word; another one on its folder was not
// spoken of.
TEST_F(Locate, NoAnswerNamesTheAddressAndWhatToDo) {
  const std::string file = ".local/share/tidegate/server.json";
  const auto named = [&](const ProcessIdentity& process, std::string_view url) {
    write(file, fmt::format(R"({{"url":"{}","process":"{}"}})", url, process.encode()));
  };
  ProcessIdentity process = this_process();
  named(process, "http://127.0.0.1:9001");
  std::string reason = "timeout";
  server_.on("GET", "/api/workspaces", [&](const httpclient::Request& r) {
    return fail(Code::Unavailable, "no answer from " + r.url, reason);
  });
  server_.on("POST", "/api/workspaces", [&](const httpclient::Request& r) {
    return fail(Code::Unavailable, "no answer from " + r.url, reason);
  });
  const auto said = [&](const char* method = "GET") {
    auto api = ApiClient::connect(context_, args_);
    named(process, process.pid == 0 ? "http://127.0.0.1:9002" : "http://127.0.0.1:9001");
    const auto answer = api->call({.method = method, .path = "/api/workspaces", .body = nullptr});
    return answer.error().message;
  };
  EXPECT_THAT(said(), testing::AllOf(testing::HasSubstr("http://127.0.0.1:9001/api/workspaces"),
                                     testing::HasSubstr(file), testing::HasSubstr("is silent"),
                                     testing::HasSubstr("tidegate serve"),
                                     testing::Not(testing::HasSubstr("before you repeat it"))));
  EXPECT_THAT(said("POST"), testing::HasSubstr("before you repeat it"));
  EXPECT_EQ(server_.requests.back().timeout, kAnswerTime);
  reason = "unreachable";
  EXPECT_THAT(said(), testing::HasSubstr("does not listen there"));
  process.start_ticks += 1;
  EXPECT_THAT(said(), testing::HasSubstr("does not run any more"));
  process.pid = 0;
  EXPECT_THAT(said(), testing::HasSubstr("http://127.0.0.1:9002, is named there now"));
  args_.set("server", {"http://127.0.0.1:9001"});
  EXPECT_THAT(said(), testing::HasSubstr("--server"));
  // Seen here: "Is it running?" of one with a certificate that it signed itself.
  for (const auto& [why, remedy] :
       {std::pair{"certificate", "--ca-file"}, {"no_http", "https://"}}) {
    reason = why;
    EXPECT_THAT(said(), testing::AllOf(testing::HasSubstr(remedy),
                                       testing::Not(testing::HasSubstr("Is it running"))));
  }
}

TEST_F(Locate, ListsFollowTheCursor) {
  local_server();
  server_.on("GET", "/api/workspaces/default/runs", [](const httpclient::Request& r) {
    const bool second = r.url.contains("cursor=c%201");
    return httpclient::Response{200,
                                {},
                                second ? R"({"data":[{"id":"3"}]})"
                                       : R"({"data":[{"id":"1"},{"id":"2"}],"nextCursor":"c 1"})"};
  });
  auto api = ApiClient::connect(context_, args_);
  EXPECT_EQ(api->list("/runs")->size(), 3U);
  EXPECT_EQ(api->list("/runs", {}, 2)->size(), 2U);
}

TEST_F(Locate, FindsByNameOrIdAndSuggests) {
  local_server();
  server_.list("/api/workspaces/default/sync-jobs",
               R"([{"id":"j1","name":"weather"},{"id":"j2","name":"flights"}])");
  server_.on("GET", "/api/workspaces/default/sync-jobs/j2", 200,
             R"({"data":{"id":"j2","name":"flights","full":true}})");
  auto api = ApiClient::connect(context_, args_);
  const auto found = api->find("/sync-jobs", "job", "flights");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(found->contains("full"));
  const auto none = api->find("/sync-jobs", "job", "wether");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::NotFound);
  EXPECT_NE(none.error().message.find("did you mean \"weather\"?"), std::string::npos);
}

TEST(EventParser, SplitsAtAnyByte) {
  const std::string stream =
      ": hello\r\nid: 1\r\ndata: a\r\n\r\nid:2\nevent: end\ndata:b\ndata: c\n\nevent: "
      "nodata\n\ndata: d\n\n";
  for (std::size_t size = 1; size <= stream.size(); ++size) {
    EventParser parser;
    std::string seen;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      EXPECT_TRUE(parser.feed(stream.substr(at, size), [&](const ApiClient::Event& e) {
        seen += e.id + "|" + e.event + "|" + e.data + ";";
        return true;
      }));
    }
    EXPECT_EQ(seen, "1||a;2|end|b\nc;2||d;") << size;
  }
}

}  // namespace
}  // namespace tidegate::cli
