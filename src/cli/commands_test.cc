// The commands against a server that is a table.
#include "cli/commands.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <fstream>

#include "cli/fake_server.h"

namespace tidegate::cli {
namespace {

class Commands : public testing::Test {
 protected:
  Commands() {
    context_.io.out = [this](std::string_view text) { out_ += text; };
    context_.io.err = [this](std::string_view text) { err_ += text; };
    context_.io.env = [](const std::string& name) -> std::optional<std::string> {
      return name == "TIDEGATE_SERVER" ? std::optional<std::string>("http://s") : std::nullopt;
    };
    context_.transport = &server_;
    server_.list(kWs + "/data-sources",
                 R"([{"id":"s1","name":"files","type":"file","config":{"path":"/x"}}])");
    server_.list(kWs + "/destinations", "[]");
    server_.list(
        kWs + "/sync-jobs",
        R"([{"id":"j1","name":"nightly","status":"scheduled","schedule":{"cron":"0 2 * * *","timezone":"UTC"}}])");
    server_.on(
        "GET", kWs + "/sync-jobs/j1", 200,
        R"({"data":{"id":"j1","revision":4,"name":"nightly","schedule":{"cron":"0 2 * * *","timezone":"UTC"},"runCount":1}})");
    server_.on("GET", kWs + "/data-sources/s1", 200, R"({"data":{"id":"s1","name":"files"}})");
  }

  int run(std::vector<std::string> words) {
    out_.clear();
    err_.clear();
    static const std::vector<Command> commands = server_commands();
    static const std::vector<Group> groups = server_groups();
    auto invocation = parse(commands, groups, words);
    if (!invocation || !invocation->command) {
      ADD_FAILURE() << (invocation ? "help" : invocation.error().message);
      return -1;
    }
    const auto code = invocation->command->action(context_, invocation->args);
    if (code) return *code;
    err_ += describe(code.error());
    return traits(code.error().code).exit_code;
  }

  const std::string kWs = "/api/workspaces/default";
  FakeServer server_;
  Context context_;
  std::string out_, err_;
};

// `--scope "$TEAM"` with TEAM unset made a token for all workspaces.
TEST_F(Commands, AnEmptyScopeIsNotEveryWorkspace) {
  EXPECT_EQ(run({"token", "create", "ci", "--role", "admin", "--scope", ""}), 2);
  EXPECT_NE(err_.find("--scope is empty"), std::string::npos) << err_;
}

TEST_F(Commands, ListsAsTableJsonOrYaml) {
  EXPECT_EQ(run({"jobs", "list"}), 0);
  EXPECT_TRUE(out_.starts_with("NAME     STATUS     SCHEDULE")) << out_;
  EXPECT_EQ(run({"jobs", "list", "--output", "json"}), 0);
  EXPECT_EQ(boost::json::parse(out_).as_array().size(), 1U);
  EXPECT_EQ(run({"jobs", "list", "-o", "yaml"}), 0);
  EXPECT_TRUE(out_.starts_with("- id: j1\n")) << out_;
}

TEST_F(Commands, CreateResolvesNames) {
  server_.on("POST", kWs + "/sync-jobs", 201,
             R"({"data":{"id":"j2","warnings":["mind the cursor"]}})");
  server_.list(kWs + "/destinations", R"([{"id":"d1","name":"db"}])");
  server_.on("GET", kWs + "/destinations/d1", 200, R"({"data":{"id":"d1","name":"db"}})");
  EXPECT_EQ(run({"jobs",
                 "create",
                 "--name",
                 "n",
                 "--source",
                 "files",
                 "--destination",
                 "db",
                 "--cron",
                 "5 * * * *",
                 "-z",
                 "Europe/Berlin",
                 "--mode",
                 "incremental",
                 "--entity",
                 "e",
                 "--cursor",
                 "c",
                 "--key",
                 "a,b",
                 "--set",
                 "retry.maxAttempts=2"}),
            0)
      << err_;
  EXPECT_NE(err_.find("warning: mind the cursor"), std::string::npos);
  EXPECT_EQ(
      boost::json::parse(server_.requests.back().body),
      boost::json::parse(
          R"({"name":"n","syncMode":"incremental","schedule":{"cron":"5 * * * *","timezone":"Europe/Berlin"},
              "entityFilter":["e"],"entities":{"e":{"cursor":"c","primaryKey":["a","b"]}},"retry":{"maxAttempts":2},
              "dataSourceId":"s1","destinationDatabaseId":"d1"})"));
}

TEST_F(Commands, EditSendsTheWholeJobUnderItsRevision) {
  server_.on("PUT", kWs + "/sync-jobs/j1", 200, R"({"data":{"id":"j1"}})");
  EXPECT_EQ(run({"jobs", "edit", "nightly", "--timezone", "Asia/Tokyo"}), 0) << err_;
  const auto& r = server_.requests.back();
  EXPECT_EQ(boost::json::parse(r.body),
            boost::json::parse(
                R"({"name":"nightly","schedule":{"cron":"0 2 * * *","timezone":"Asia/Tokyo"}})"));
  EXPECT_NE(std::ranges::find(r.headers, std::pair<std::string, std::string>("If-Match", "\"4\"")),
            r.headers.end());
  EXPECT_EQ(run({"jobs", "edit", "nightly"}), 2) << "nothing to change and no terminal";
}

// Seen here: another cron expression moved the job to UTC; options of one entity erased those of
// the others, and with several only the last one got them.
TEST_F(Commands, EditKeepsWhatItWasNotTold) {
  server_.on("PUT", kWs + "/sync-jobs/j1", 200, R"({"data":{"id":"j1"}})");
  server_.on("GET", kWs + "/sync-jobs/j1", 200,
             R"({"data":{"id":"j1","revision":4,"name":"nightly",
                 "schedule":{"cron":"0 2 * * *","timezone":"Asia/Tokyo","dst":"once"},
                 "entities":{"t":{"cursor":"c","where":"x > 1"},"u":{"cursor":"d"}}}})");
  const auto sent = [&] { return boost::json::parse(server_.requests.back().body); };
  EXPECT_EQ(run({"jobs", "edit", "nightly", "--cron", "0 3 * * *"}), 0) << err_;
  EXPECT_EQ(sent().at("schedule"),
            boost::json::parse(R"({"cron":"0 3 * * *","timezone":"Asia/Tokyo","dst":"once"})"));
  EXPECT_EQ(run({"jobs", "edit", "nightly", "--every", "5m"}), 0) << err_;
  EXPECT_EQ(sent().at("schedule"), boost::json::parse(R"({"every":"5m"})"));
  EXPECT_EQ(run({"jobs", "edit", "nightly", "--entity", "t", "--entity", "v", "--key", "id"}), 0);
  EXPECT_EQ(sent().at("entities"),
            boost::json::parse(R"({"t":{"cursor":"c","where":"x > 1","primaryKey":["id"]},
                                   "u":{"cursor":"d"},"v":{"primaryKey":["id"]}})"));
  EXPECT_EQ(run({"jobs", "edit", "nightly", "--cursor", "at"}), 0) << err_;
  EXPECT_EQ(sent().at("entities").at("*"), boost::json::parse(R"({"cursor":"at"})"));
}

TEST_F(Commands, RunAndWaitGivesTheRunsExitCode) {
  server_.on("POST", kWs + "/sync-jobs/j1/run", 202, R"({"data":{"runId":"r1"}})");
  EXPECT_EQ(run({"jobs", "run", "nightly"}), 0);
  EXPECT_NE(out_.find("r1"), std::string::npos);
  for (const auto& [state, code] : std::vector<std::pair<std::string, int>>{
           {"succeeded", 0}, {"failed", 1}, {"timed_out", 1}, {"cancelled", 130}}) {
    server_.on("GET", kWs + "/runs/r1", 200,
               R"({"data":{"id":"r1","state":")" + state +
                   R"(","entities":[{"entity":"e","rowsWritten":1234}]}})");
    EXPECT_EQ(run({"jobs", "run", "nightly", "--wait"}), code) << state;
    EXPECT_NE(out_.find("1,234"), std::string::npos) << out_;
  }
}

TEST_F(Commands, ErrorsOfTheServerGiveTheirExitCode) {
  server_.on("POST", kWs + "/sync-jobs/j1/run", 409,
             R"({"success":false,"error":"already running","code":"run_active"})");
  EXPECT_EQ(run({"jobs", "run", "nightly"}), 1);
  EXPECT_NE(err_.find("already running"), std::string::npos);
  EXPECT_EQ(run({"jobs", "get", "nope"}), 2);
  EXPECT_EQ(run({"sources", "check", "files"}), 2);
}

TEST_F(Commands, CheckThatFailsIsExitCodeOne) {
  server_.on("POST", kWs + "/data-sources/s1/check", 200,
             R"({"data":{"ok":false,"message":"no such folder"}})");
  EXPECT_EQ(run({"sources", "check", "files"}), 1);
  EXPECT_NE(out_.find("no such folder"), std::string::npos);
}

TEST_F(Commands, ApplyPrintsThePlanThenChanges) {
  const std::string path = testing::TempDir() + "/apply" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(path) << "sources:\n  files: {type: file, config: {path: /x}}\ndestinations:\n  "
                         "db: {type: sqlite, config: {path: /y}}\n";
  server_.on("POST", kWs + "/destinations", 201, R"({"data":{"id":"d9"}})");
  EXPECT_EQ(run({"apply", "-f", path, "--dry-run"}), 0) << err_;
  EXPECT_EQ(server_.writes(), std::vector<std::string>{});
  EXPECT_NE(out_.find("+ destination db\n1 to create, 0 to change, 0 to delete, 1 unchanged"),
            std::string::npos)
      << out_;
  EXPECT_EQ(run({"apply", "-f", path}), 0) << err_;
  EXPECT_EQ(server_.writes(), std::vector<std::string>{"POST " + kWs + "/destinations"});
  ::unlink(path.c_str());
  EXPECT_EQ(run({"apply", "-f", path}), 2) << "a missing file";
}

TEST_F(Commands, LogsFollowUntilTheEnd) {
  server_.on("GET", kWs + "/runs/r1/logs", [](const httpclient::Request& r) {
    const bool stream = r.on_data != nullptr;
    return httpclient::Response{
        200,
        {},
        stream ? "id: 1\ndata: "
                 "{\"at\":\"T\",\"level\":\"info\",\"message\":\"hi\\u001b[2J\"}\n\nevent: "
                 "end\ndata: {}\n\n"
               : R"({"data":[{"at":"T","level":"warn","entity":"e","message":"m"}]})"};
  });
  EXPECT_EQ(run({"runs", "logs", "r1"}), 0) << err_;
  EXPECT_EQ(out_, "T warn  e: m\n");
  EXPECT_EQ(run({"runs", "logs", "r1", "-f"}), 0) << err_;
  EXPECT_EQ(out_, "T info  hi [2J\n");
}

TEST(CommandTable, EveryCommandHasASummaryAndAnAction) {
  for (const Command& c : server_commands()) {
    EXPECT_TRUE(c.action) << c.path;
    EXPECT_NE(c.summary, "") << c.path;
    for (const Option& o : c.options) EXPECT_NE(o.help, "") << c.path << " " << o.name;
  }
}

}  // namespace
}  // namespace tidegate::cli
