// The commands against a server that is a table.
#include "cli/commands.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <fstream>

#include "cli/api_client.h"
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

// `--workspaces "$TEAM"` with TEAM unset made a token for all workspaces.
TEST_F(Commands, AnEmptyScopeIsNotEveryWorkspace) {
  EXPECT_EQ(run({"token", "create", "ci", "--role", "admin", "--workspaces", ""}), 2);
  EXPECT_NE(err_.find("--workspaces is empty"), std::string::npos) << err_;
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
  const std::string write = "POST " + kWs + "/destinations";
  EXPECT_EQ(run({"apply", "-f", path, "--dry-run"}), 0) << err_;
  EXPECT_EQ(server_.writes(), std::vector{write + "?dryRun=true"});
  EXPECT_NE(out_.find("+ destination db\n1 to create, 0 to change, 0 to delete, 1 unchanged"),
            std::string::npos)
      << out_;
  EXPECT_EQ(run({"apply", "-f", path}), 0) << err_;
  EXPECT_EQ(server_.writes(), (std::vector{write + "?dryRun=true", write + "?dryRun=true", write}));
  EXPECT_TRUE(out_.ends_with("applied 1 change\n")) << out_;
  ::unlink(path.c_str());
  EXPECT_EQ(run({"apply", "-f", path}), 2) << "a missing file";
}

// Seen here: what the server refuses was found after the first changes were made.
TEST_F(Commands, ApplyFindsWhatTheServerRefusesBeforeTheFirstChange) {
  const std::string path = testing::TempDir() + "/faults" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(path) << "sources:\n  files: {type: sqlite, config: {path: /etc/x}}\n"
                         "destinations:\n  out: {type: sqlite, config: {path: /srv/x}}\n"
                         "jobs:\n  copy: {source: files, destination: out}\n";
  server_.on(
      "PUT", kWs + "/data-sources/s1", 422,
      R"({"error":"see details","code":"invalid_connection","details":[)"
      R"({"field":"config.path","message":"lies outside"},{"field":"type","message":"no"}]})");
  server_.on("POST", kWs + "/destinations", 200, R"({"data":{"id":"kept by nobody"}})");
  server_.on("POST", kWs + "/sync-jobs", 403, R"({"error":"this needs operator","code":"role"})");
  for (const bool dry_run : {true, false}) {
    server_.requests.clear();
    EXPECT_EQ(run(dry_run ? std::vector<std::string>{"apply", "-f", path, "--dry-run"}
                          : std::vector<std::string>{"apply", "-f", path}),
              2);
    EXPECT_EQ(server_.writes(), (std::vector{"PUT " + kWs + "/data-sources/s1?dryRun=true",
                                             "POST " + kWs + "/destinations?dryRun=true",
                                             "POST " + kWs + "/sync-jobs?dryRun=true"}));
    EXPECT_EQ(err_, path +
                        ": the server refuses it; nothing was changed\n"
                        "  sources[\"files\"].config.path: lies outside\n"
                        "  sources[\"files\"].type: no\n"
                        "  jobs[\"copy\"]: this needs operator");
  }
  server_.on("PUT", kWs + "/data-sources/s1", 503, R"({"error":"the engine is away"})");
  server_.requests.clear();
  EXPECT_EQ(run({"apply", "-f", path}), 1);
  EXPECT_EQ(server_.writes().size(), 1U) << "no other change would fare better";
  EXPECT_EQ(err_, "the engine is away");
  server_.on("PUT", kWs + "/data-sources/s1", 422,
             R"({"error":"see details","code":"invalid_parameter","details":[)"
             R"({"field":"dryRun","message":"is not a known parameter; remove it"}]})");
  EXPECT_EQ(run({"apply", "-f", path}), 2);
  EXPECT_TRUE(err_.starts_with("the server is older than this program")) << err_;
}

// Seen here: a job that will probably fail was applied without a word, which `jobs create` has.
TEST_F(Commands, ApplyShowsTheWarningsOfEachChangeOnce) {
  const std::string path = testing::TempDir() + "/warn" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(path) << "jobs:\n  copy: {source: files, destination: out}\n";
  server_.list(kWs + "/destinations", R"([{"id":"d1","name":"out"}])");
  server_.on("POST", kWs + "/sync-jobs", 201,
             R"({"data":{"id":"j2","warnings":["mind the\ncursor\u001b"]}})");
  const std::string warning = "warning: job \"copy\": mind the cursor\\x1b\n";
  EXPECT_EQ(run({"apply", "-f", path}), 0);
  EXPECT_EQ(err_, warning);
  for (const bool dry_run : {true, false}) {
    std::vector<std::string> words = {"apply", "-f", path, "-o", "json"};
    if (dry_run) words.emplace_back("--dry-run");
    EXPECT_EQ(run(words), 0);
    EXPECT_EQ(err_, warning);
    EXPECT_EQ(boost::json::parse(out_),
              boost::json::parse(R"({"changes":[{"action":"create","kind":"job","name":"copy",
                  "diff":[],"warnings":["mind the\ncursor\u001b"],"made":)" +
                                 std::string(dry_run ? "false" : "true") +
                                 R"(}],"notes":[],"unchanged":0})"));
  }
  ::unlink(path.c_str());
}

// Seen here: a token that may delete no connection was found out when the jobs were gone.
TEST_F(Commands, ApplyTriesDeletionsBeforeTheFirstChange) {
  const std::string path = testing::TempDir() + "/prune" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(path) << "sources: {}\n";
  server_.on("DELETE", kWs + "/sync-jobs/j1", 200, R"({"data":{"id":"j1"}})");
  server_.on("DELETE", kWs + "/data-sources/s1", 403, R"({"error":"this needs admin"})");
  EXPECT_EQ(run({"apply", "-f", path, "--prune"}), 2);
  EXPECT_EQ(server_.writes(), (std::vector{"DELETE " + kWs + "/sync-jobs/j1?dryRun=true",
                                           "DELETE " + kWs + "/data-sources/s1?dryRun=true"}));
  EXPECT_EQ(err_, path +
                      ": the server refuses it; nothing was changed\n"
                      "  sources[\"files\"]: this needs admin");
  ::unlink(path.c_str());
}

// A job would be judged by what its destination was before the same file changed it.
TEST_F(Commands, ApplyTriesAJobWithoutTheConnectionsThatTheFileChanges) {
  const std::string path = testing::TempDir() + "/both" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(path) << "destinations:\n  out: {type: sqlite, config: {path: /b}}\n"
                         "jobs:\n  copy: {source: files, destination: out}\n";
  server_.list(kWs + "/destinations",
               R"([{"id":"d1","name":"out","type":"file","config":{"path":"/a"}}])");
  server_.on("PUT", kWs + "/destinations/d1", 200, R"({"data":{"id":"d1"}})");
  std::vector<std::string> destinations;
  server_.on("POST", kWs + "/sync-jobs", [&](const httpclient::Request& r) {
    destinations.push_back(text_at(boost::json::parse(r.body), "destinationDatabaseId"));
    return httpclient::Response{201, {}, R"({"data":{"id":"j2"}})"};
  });
  EXPECT_EQ(run({"apply", "-f", path}), 0) << err_;
  EXPECT_EQ(destinations, (std::vector<std::string>{"out", "d1"}));
  ::unlink(path.c_str());
}

// Seen here: "-, line 1".
TEST_F(Commands, AFileFromStandardInputIsCalledSo) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"apply", "-f", "-"},
           {"jobs", "create", "-f", "-"},
           {"sources", "add", "x", "--type", "file", "-f", "-"}}) {
    for (const auto& [text, said] :
         {std::pair{"a: [1", "standard input, line "},
          {"[]", words[0] == "apply" ? "standard input: the file must"
                                     : "standard input must be a map"}}) {
      context_.io.read_line = [line = std::optional<std::string>(text)]() mutable {
        return std::exchange(line, std::nullopt);
      };
      EXPECT_EQ(run(words), 2);
      EXPECT_NE(err_.find(said), std::string::npos) << err_;
    }
  }
}

// Seen here: nothing was said for the minutes between two attempts.
TEST_F(Commands, WaitingInAPipeTellsEachChangeOfTheState) {
  server_.on("POST", kWs + "/sync-jobs/j1/run", 202, R"({"data":{"runId":"r1"}})");
  const auto answers = [&] {
    server_.on("GET", kWs + "/runs/r1", [n = 0](const httpclient::Request&) mutable {
      constexpr const char* kStates[] = {
          R"("state":"queued","attempt":0)",
          R"("state":"running","attempt":1)",
          R"("state":"running","attempt":1)",
          R"("state":"queued","attempt":1,"notBefore":"T","error":"away\n\u001b")",
          R"("state":"running","attempt":2)",
          R"("state":"queued","attempt":2,"notBefore":"T","error":null)",
          R"("state":"running","attempt":3)",
          R"("state":"failed","attempt":3,"error":"gone")"};
      const std::string state = kStates[n++];
      return httpclient::Response{200, {}, R"({"data":{"id":"r1",)" + state + "}}"};
    });
  };
  answers();
  EXPECT_EQ(run({"jobs", "run", "nightly", "--wait"}), 1);
  EXPECT_EQ(err_,
            "run r1 of nightly\nqueued\nrunning, attempt 1\n"
            "attempt 1 failed, the next one is not before T: away \\x1b\n"
            "running, attempt 2\nattempt 2 was handed back, the next one is not before T\n"
            "running, attempt 3\nfailed\n");
  answers();
  context_.io.err_is_terminal = true;
  EXPECT_EQ(run({"jobs", "run", "nightly", "--wait"}), 1);
  EXPECT_EQ(err_, "run r1 of nightly\n") << "bars are drawn there";
}

// Seen here: errors told users to reset the job, and no command did.
TEST_F(Commands, WhatTheApiCanDoTheCommandsCan) {
  const std::string job = kWs + "/sync-jobs/j1";
  server_.on("POST", job + "/reset", 200, R"({"data":{"id":"j1","name":"nightly"}})");
  EXPECT_EQ(run({"jobs", "reset", "nightly"}), 0) << err_;
  server_.list(
      job + "/slots",
      R"([{"first":"T1","last":"T2","count":3,"outcome":"missed","runId":null,"why":"W"}])");
  EXPECT_EQ(run({"jobs", "slots", "nightly", "--since", "T0", "-n", "5"}), 0) << err_;
  EXPECT_NE(out_.find("T1     T2    3      missed   -    W"), std::string::npos) << out_;
  EXPECT_TRUE(server_.requests.back().url.ends_with("?since=T0&limit=5"));
  server_.list(job + "/next", R"([{"at":"T3","local":"T4"}])");
  EXPECT_EQ(run({"jobs", "next", "nightly", "-n", "1"}), 0) << err_;
  EXPECT_NE(out_.find("T3  T4"), std::string::npos) << out_;
  EXPECT_TRUE(server_.requests.back().url.ends_with("/next?count=1"));
  server_.list(kWs + "/runs", R"([{"id":"r1","jobId":"j1","state":"succeeded"}])");
  EXPECT_EQ(run({"jobs", "history", "nightly"}), 0) << err_;
  EXPECT_NE(out_.find("r1   nightly  succeeded"), std::string::npos) << out_;
  server_.list("/api/workers", R"([{"id":"w1","host":"h","running":1,"capacity":4}])");
  EXPECT_EQ(run({"workers", "list"}), 0) << err_;
  EXPECT_NE(out_.find("1 of 4"), std::string::npos) << out_;
}

TEST_F(Commands, Workspaces) {
  const std::string all = "/api/workspaces";
  server_.list(all, R"([{"id":"w1","name":"team"}])");
  EXPECT_EQ(run({"workspaces", "list"}), 0) << err_;
  EXPECT_NE(out_.find("team"), std::string::npos) << out_;
  server_.on("POST", all, 201, R"({"data":{"id":"w2","name":"new"}})");
  EXPECT_EQ(run({"workspaces", "create", "new"}), 0) << err_;
  EXPECT_EQ(server_.requests.back().body, R"({"name":"new"})");
  server_.on("GET", all + "/w1", 200, R"({"data":{"id":"w1","name":"team"}})");
  server_.on("DELETE", all + "/w1", 200, R"({"data":{"id":"w1"}})");
  EXPECT_EQ(run({"workspaces", "delete", "team"}), 0) << err_;
  EXPECT_EQ(server_.writes().back(), "DELETE /api/workspaces/w1");
  EXPECT_EQ(run({"workspaces", "delete", "taem"}), 2);
  EXPECT_NE(err_.find("there is no workspace \"taem\"; did you mean \"team\"?"), std::string::npos)
      << err_;
}

// Seen here: tables showed ids of jobs, connections and workspaces, and "-" for all workspaces.
TEST_F(Commands, TablesShowNamesAndJsonIds) {
  server_.list(kWs + "/runs", R"([{"id":"r1","jobId":"j1"},{"id":"r2","jobId":"gone"}])");
  EXPECT_EQ(run({"runs", "list"}), 0) << err_;
  EXPECT_NE(out_.find("r1   nightly"), std::string::npos) << out_;
  EXPECT_NE(out_.find("r2   deleted job gone"), std::string::npos) << out_;
  server_.on("GET", kWs + "/sync-jobs", [](const httpclient::Request& r) {
    const bool deleted = r.url.contains("deleted=true");
    return httpclient::Response{200,
                                {},
                                R"({"data":[)" +
                                    std::string(deleted ? R"({"id":"gone","name":"weekly"})"
                                                        : R"({"id":"j1","name":"nightly"})") +
                                    "]}"};
  });
  EXPECT_EQ(run({"runs", "list"}), 0) << err_;
  EXPECT_NE(out_.find("r2   weekly (deleted)"), std::string::npos) << out_;
  server_.on("GET", kWs + "/sync-jobs/gone", 403, R"({"error":"not yours","code":"forbidden"})");
  EXPECT_EQ(run({"runs", "list"}), 0) << err_;
  EXPECT_NE(out_.find("r2   gone"), std::string::npos) << "it may exist: " << out_;
  EXPECT_EQ(run({"runs", "list", "-o", "json"}), 0) << err_;
  EXPECT_NE(out_.find(R"("jobId": "j1")"), std::string::npos) << out_;
  server_.on("GET", kWs + "/sync-jobs/j1", 200,
             R"({"data":{"id":"j1","name":"nightly","dataSourceId":"s1"}})");
  EXPECT_EQ(run({"jobs", "get", "nightly"}), 0) << err_;
  EXPECT_NE(out_.find("SOURCE           files"), std::string::npos) << out_;
  server_.on("GET", "/api/workspaces/w1", 200, R"({"data":{"id":"w1","name":"team"}})");
  server_.list("/api/tokens", R"([{"id":"t1","name":"ci","workspaces":["w1"]},
                                  {"id":"t2","name":"root","workspaces":[]}])");
  EXPECT_EQ(run({"token", "list"}), 0) << err_;
  EXPECT_NE(out_.find("ci    -     team"), std::string::npos) << out_;
  EXPECT_NE(out_.find("root  -     all"), std::string::npos) << out_;
}

// Seen here: a bare id where a job was deleted. With many jobs one list is asked for.
TEST_F(Commands, ADeletedJobAmongManyIsCalledSo) {
  std::string runs;
  for (int i = 0; i < 30; ++i) runs += R"({"id":"r","jobId":"gone)" + std::to_string(i) + R"("},)";
  server_.list(kWs + "/runs", "[" + runs + R"({"id":"r","jobId":"j1"}])");
  EXPECT_EQ(run({"runs", "list"}), 0) << err_;
  EXPECT_NE(out_.find("r    nightly"), std::string::npos) << out_;
  EXPECT_NE(out_.find("r    deleted job gone29"), std::string::npos) << out_;
  EXPECT_EQ(server_.requests.size(), 3U);
}

// Seen here: "dataSourceId: is missing" to somebody who types --source.
TEST_F(Commands, ErrorsOfJobsNameTheOptions) {
  server_.on("POST", kWs + "/sync-jobs", 422,
             R"({"error":"wrong","code":"invalid","details":[{"field":"dataSourceId",
                 "message":"is missing"},{"field":"timeout","message":"is bad"}]})");
  EXPECT_EQ(run({"jobs", "create", "--name", "n"}), 2);
  EXPECT_NE(err_.find("dataSourceId (--source): is missing"), std::string::npos) << err_;
  EXPECT_NE(err_.find("timeout: is bad"), std::string::npos) << err_;
}

// Seen here: the message named login.json.token, which does not exist.
TEST_F(Commands, LoginNamesTheFileThatItWasGiven) {
  const std::string path = testing::TempDir() + "/login" + std::to_string(::getpid());
  std::ofstream(path) << "some-token\n";
  server_.on("GET", "/api/workspaces", 401, R"({"error":"no such token","code":"unauthorized"})");
  EXPECT_EQ(run({"login", "http://s", "--token-file", path}), 2);
  EXPECT_NE(err_.find("The token is from " + path), std::string::npos) << err_;
  server_.on("GET", "/api/workspaces", [](const httpclient::Request&) {
    return fail(Code::Unavailable, "cannot reach http://s");
  });
  EXPECT_EQ(run({"login", "http://s", "--token-file", path}), 1);
  EXPECT_EQ(err_.find("--server"), std::string::npos) << err_;
  ::unlink(path.c_str());
}

// All jobs of a restored store are paused; its page said `tidegate jobs resume`, which did nothing.
TEST_F(Commands, ResumeOfAllLeavesThoseAloneThatAreNotPaused) {
  server_.list(kWs + "/sync-jobs", R"([{"id":"j1","name":"a","pause":{"note":"restored"}},
      {"id":"j2","name":"b","pause":null},{"id":"j3","name":"c","pause":{"note":""}}])");
  for (const std::string id : {"j1", "j3"}) {
    server_.on("POST", kWs + "/sync-jobs/" + id + "/resume", 200,
               R"({"data":{"id":")" + id + R"(","name":")" + id + R"(","status":"scheduled"}})");
  }
  EXPECT_EQ(run({"jobs", "resume", "--all", "-o", "json"}), 0) << err_;
  EXPECT_EQ(server_.writes(), (std::vector<std::string>{"POST " + kWs + "/sync-jobs/j1/resume",
                                                        "POST " + kWs + "/sync-jobs/j3/resume"}));
  EXPECT_EQ(boost::json::parse(out_).as_array().size(), 2U);
  server_.on("POST", kWs + "/sync-jobs/j3/resume", 403, R"({"error":"no","code":"forbidden"})");
  EXPECT_EQ(run({"jobs", "resume", "--all"}), 2);
  EXPECT_NE(err_.find("job c: "), std::string::npos) << err_;
}

TEST_F(Commands, ResumeTakesOneJobOrAll) {
  EXPECT_EQ(run({"jobs", "resume"}), 2);
  EXPECT_NE(err_.find("--all"), std::string::npos) << err_;
  EXPECT_EQ(run({"jobs", "resume", "nightly", "--all"}), 2);
  EXPECT_TRUE(server_.writes().empty());
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
  EXPECT_EQ(out_, "T info  hi\\x1b[2J\n");
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
