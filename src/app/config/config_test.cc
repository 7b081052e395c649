#include "app/config/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace tidegate::app {
namespace {

ConfigInput input(std::map<std::string, std::string> env, std::string yaml = "",
                  std::map<std::string, std::string> flags = {}) {
  env.try_emplace("HOME", "/h");
  ConfigInput in;
  in.flags = std::move(flags);
  in.env = [env](const std::string& name) -> std::optional<std::string> {
    const auto it = env.find(name);
    return it == env.end() ? std::nullopt : std::optional(it->second);
  };
  if (!yaml.empty()) in.file = "tidegate.yaml";
  in.file_text = std::move(yaml);
  in.program = "/opt/tidegate/bin/tidegate";
  in.cores = 3;
  return in;
}

TEST(Config, Defaults) {
  const auto c = load_config(input({}));
  ASSERT_TRUE(c) << describe(c.error());
  EXPECT_EQ(c->data_dir, "/h/.local/share/tidegate");
  EXPECT_EQ(c->store_url, "sqlite:///h/.local/share/tidegate/tidegate.db");
  EXPECT_EQ(c->path_roots, std::vector<std::string>{"/h/.local/share/tidegate/files"});
  EXPECT_EQ(c->listen, "127.0.0.1:8080");
  EXPECT_EQ(c->engine, "/opt/tidegate/bin/tidegate-sync");
  EXPECT_EQ(c->max_concurrent_runs, 6);
  EXPECT_EQ(c->scheduler_ttl, Millis(8000));
  EXPECT_EQ(c->run_log_bytes, 10 << 20);
  EXPECT_EQ(c->retention_age, Millis(std::int64_t{30} * 86'400'000));
  EXPECT_TRUE(c->admin_token.empty());
  const auto xdg = load_config(input({{"XDG_DATA_HOME", "/x"}}));
  ASSERT_TRUE(xdg);
  EXPECT_EQ(xdg->data_dir, "/x/tidegate");
}

TEST(Config, FlagsBeatEnvironmentBeatsFileBeatsDefault) {
  struct Case {
    std::map<std::string, std::string> env;
    std::string yaml;
    std::map<std::string, std::string> flags;
    std::string value, where;
  };
  const std::string yaml = "worker:\n  maxConcurrentRuns: 1\n";
  const std::map<std::string, std::string> env = {{"TIDEGATE_WORKER_MAX_CONCURRENT_RUNS", "2"}};
  const std::map<std::string, std::string> flags = {{"worker.maxConcurrentRuns", "4"}};
  for (const Case& c :
       std::vector<Case>{{{}, "", {}, "6", "default"},
                         {{}, yaml, {}, "1", "tidegate.yaml"},
                         {{}, "worker.maxConcurrentRuns: 1", {}, "1", "tidegate.yaml"},
                         {env, "", {}, "2", "TIDEGATE_WORKER_MAX_CONCURRENT_RUNS"},
                         {env, yaml, {}, "2", "TIDEGATE_WORKER_MAX_CONCURRENT_RUNS"},
                         {{}, yaml, flags, "4", "--worker-max-concurrent-runs"},
                         {env, yaml, flags, "4", "--worker-max-concurrent-runs"}}) {
    const auto config = load_config(input(c.env, c.yaml, c.flags));
    ASSERT_TRUE(config) << describe(config.error());
    const Setting& s = config->settings.at("worker.maxConcurrentRuns");
    EXPECT_EQ(s.value, c.value);
    EXPECT_EQ(s.where, c.where);
    EXPECT_EQ(std::to_string(config->max_concurrent_runs), c.value);
  }
}

TEST(Config, DatabaseUrlIsTheLastResortOfTheStore) {
  EXPECT_EQ(load_config(input({{"DATABASE_URL", "sqlite:///d.db"}}))->store_url, "sqlite:///d.db");
  EXPECT_EQ(
      load_config(input({{"DATABASE_URL", "sqlite:///d.db"}}, "store: sqlite:///y.db"))->store_url,
      "sqlite:///y.db");
}

// `tidegate config` printed it.
TEST(Config, ThePasswordOfTheStoreIsNotShown) {
  const auto c = load_config(input({{"DATABASE_URL", "postgres://u:canarypw@h/db"}}));
  ASSERT_TRUE(c) << describe(c.error());
  EXPECT_EQ(c->store_url, "postgres://u:canarypw@h/db");
  EXPECT_EQ(c->settings.at("store").value, "postgres://u:***@h/db");
  const auto raw = load_config(input({{"DATABASE_URL", "postgres://u:canary@canary/pw@h/db"}}));
  ASSERT_TRUE(raw) << describe(raw.error());
  EXPECT_EQ(raw->settings.at("store").value, "postgres://u:***@h/db");
  const auto query = load_config(input({{"DATABASE_URL", "postgres://h/db?password=canarypw"}}));
  ASSERT_TRUE(query) << describe(query.error());
  EXPECT_EQ(query->settings.at("store").value, "postgres://h/db");
  EXPECT_EQ(
      load_config(input({{"TIDEGATE_STORE", "sqlite:///a?b.db"}}))->settings.at("store").value,
      "sqlite:///a?b.db");
}

TEST(Config, ListsAndSections) {
  const auto c = load_config(
      input({}, "paths: {roots: [/a, /b]}\nsources: {x: {type: file}}\nlog: {level: debug}\n"));
  ASSERT_TRUE(c) << describe(c.error());
  EXPECT_EQ(c->path_roots, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(c->log_level, LogLevel::Debug);
  EXPECT_EQ(load_config(input({{"TIDEGATE_PATHS_ROOTS", "/a:/c"}}))->path_roots,
            (std::vector<std::string>{"/a", "/c"}));
}

// Seen here: `listen: [1]` was read as "1".
TEST(Config, AListIsNoSingleValue) {
  const auto c = load_config(input({}, "listen: ['127.0.0.1:1']\n"));
  ASSERT_FALSE(c);
  EXPECT_NE(describe(c.error()).find("listen: must be one value in tidegate.yaml, not a list"),
            std::string::npos)
      << describe(c.error());
}

TEST(Config, WrongValuesNameKeyOriginProblemAndRemedyAllAtOnce) {
  const auto c = load_config(
      input({{"TIDEGATE_LISTEN", "8080"}, {"TIDEGATE_LOG_LEVEL", "loud"}},
            "wroker: {drain: 1s}\nworker: {drain: soon}\nlisten2: x\njobs: {}\nadmin: {token: abc}",
            {{"worker.maxConcurrentRuns", "0"}, {"retention.runLogBytes", "10 MB"}}));
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, Code::Invalid);
  EXPECT_EQ(traits(c.error().code).exit_code, 2);
  std::map<std::string, std::string> by_key;
  for (const FieldError& d : c.error().details) by_key[d.field] = d.message;
  struct Case {
    const char* key;
    std::vector<std::string> parts;
  };
  for (const Case& e : std::vector<Case>{
           {"listen", {"\"8080\"", "TIDEGATE_LISTEN", "HOST:PORT"}},
           {"log.level", {"\"loud\"", "TIDEGATE_LOG_LEVEL", "debug, info, warn or error"}},
           {"worker.drain", {"\"soon\"", "tidegate.yaml", "such as 30s"}},
           {"wroker", {"not a configuration key", "tidegate.yaml"}},
           {"listen2", {"did you mean 'listen'?"}},
           {"jobs", {"tidegate apply"}},
           {"admin.token", {"TIDEGATE_ADMIN_TOKEN_FILE"}},
           {"worker.maxConcurrentRuns",
            {"\"0\"", "--worker-max-concurrent-runs", "from 1 to 10000"}},
           {"retention.runLogBytes", {"KiB, MiB, GiB"}}}) {
    ASSERT_TRUE(by_key.contains(e.key)) << e.key << "\n" << describe(c.error());
    for (const std::string& part : e.parts) {
      EXPECT_NE(by_key[e.key].find(part), std::string::npos) << e.key << ": " << by_key[e.key];
    }
  }
}

TEST(Config, SecretsComeFromVariablesOrFilesAndAreNeverShown) {
  const std::string path = testing::TempDir() + "/token" + std::to_string(::getpid());
  std::ofstream(path) << "0123456789abcdef\n";
  const auto c =
      load_config(input({{"TIDEGATE_ADMIN_TOKEN_FILE", path}, {"TIDEGATE_SECRET_KEY", "k1"}}));
  ASSERT_TRUE(c) << describe(c.error());
  EXPECT_EQ(c->admin_token.reveal(), "0123456789abcdef");
  EXPECT_EQ(c->secret_key.reveal(), "k1");
  EXPECT_EQ(c->settings.at("admin.token").value, "***");
  EXPECT_EQ(c->settings.at("secret.key").value, "***");

  EXPECT_FALSE(load_config(
      input({{"TIDEGATE_ADMIN_TOKEN_FILE", path}, {"TIDEGATE_ADMIN_TOKEN", "0123456789abcdef"}})));
  ::unlink(path.c_str());
  EXPECT_FALSE(load_config(input({{"TIDEGATE_ADMIN_TOKEN_FILE", path}})));
  const auto shorty = load_config(input({{"TIDEGATE_ADMIN_TOKEN", "canary"}}));
  ASSERT_FALSE(shorty);
  EXPECT_EQ(describe(shorty.error()).find("canary"), std::string::npos);
}

// A URL with its password would else stand in the environment, or in a file that is copied around.
TEST(Config, TheStoresUrlMayComeFromAFile) {
  const std::string path = testing::TempDir() + "/store-url" + std::to_string(::getpid());
  std::ofstream(path) << "postgres://tidegate:hunter2@db/tidegate\n";
  const auto c = load_config(input({{"TIDEGATE_STORE_FILE", path}}, "store: sqlite:///x/y.db"));
  ASSERT_TRUE(c) << describe(c.error());
  EXPECT_EQ(c->store_url, "postgres://tidegate:hunter2@db/tidegate");
  const Setting& shown = c->settings.at("store");
  EXPECT_EQ(shown.where, "TIDEGATE_STORE_FILE");
  EXPECT_EQ(shown.value.find("hunter2"), std::string::npos);
  EXPECT_FALSE(
      load_config(input({{"TIDEGATE_STORE_FILE", path}, {"TIDEGATE_STORE", "sqlite:///x"}})));
  ::unlink(path.c_str());
}

TEST(Config, TlsFilesGoTogether) {
  EXPECT_FALSE(load_config(input({{"TIDEGATE_TLS_CERT", "/c"}})));
  EXPECT_TRUE(load_config(input({{"TIDEGATE_TLS_CERT", "/c"}, {"TIDEGATE_TLS_KEY", "/k"}})));
}

TEST(Config, UnknownVariablesAreFoundWithTheNearestName) {
  const std::vector<std::string> names = {
      "TIDEGATE_LISTNE",         "TIDEGATE_LISTEN",           "TIDEGATE_SERVER",  "HOME",
      "TIDEGATE_DUCKDB_LIBRARY", "TIDEGATE_ADMIN_TOKEN_FILE", "TIDEGATE_QQQQQQQQ"};
  const auto found = unknown_variables(names);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0], (std::pair<std::string, std::string>("TIDEGATE_LISTNE", "TIDEGATE_LISTEN")));
  EXPECT_EQ(found[1], (std::pair<std::string, std::string>("TIDEGATE_QQQQQQQQ", "")));
}

}  // namespace
}  // namespace tidegate::app
