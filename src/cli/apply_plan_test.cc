#include "cli/apply_plan.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "cli/yaml.h"

namespace tidegate::cli {
namespace {

boost::json::value yaml(std::string_view text) { return read_yaml(text, "f.yaml").value(); }

const char* const kFile = R"(
sources:
  files: {type: file, config: {path: /data/*.csv}}
destinations:
  db: {type: postgres, config: {url: x, password: s3cret}}
jobs:
  nightly:
    source: files
    destination: db
    schedule: {cron: "0 2 * * *"}
    timeout: 90m
    retry: {maxAttempts: 5}
)";

// The server's answers after kFile was applied.
Existing applied() {
  Existing e;
  e.items[0] =
      boost::json::parse(
          R"([{"id":"s1","revision":1,"name":"files","type":"file","config":{"path":"/data/*.csv"}}])")
          .as_array();
  e.items[1] =
      boost::json::parse(
          R"([{"id":"d1","revision":2,"name":"db","type":"postgres","config":{"url":"x","password":"***"}}])")
          .as_array();
  e.items[2] =
      boost::json::parse(
          R"([{"id":"j1","revision":3,"name":"nightly","dataSourceId":"s1","destinationDatabaseId":"d1",
    "schedule":{"cron":"0 2 * * *","timezone":"UTC","dst":"auto"},"syncMode":"full","timeout":"1h30m","retry":{"maxAttempts":5},
    "status":"scheduled","runCount":7,"nextRunAt":"2026-11-24T02:00:00Z"}])")
          .as_array();
  return e;
}

ApplyPlan plan_of(std::string_view file, const Existing& existing, bool prune = false,
                  bool send_secrets = false) {
  auto declared = read_declared(yaml(file), existing);
  EXPECT_TRUE(declared) << describe(declared.error());
  return plan_apply(*declared, existing, prune, send_secrets);
}

std::vector<std::string> words(const ApplyPlan& plan) {
  std::vector<std::string> out;
  for (const Change& c : plan.changes) {
    out.push_back(std::string(1, "+~-"[static_cast<int>(c.kind)]) +
                  std::string(kSectionNames[static_cast<int>(c.section)]) + " " + c.name);
  }
  return out;
}

TEST(ApplyPlan, CreatesInTheOrderThatReferencesNeed) {
  const ApplyPlan plan = plan_of(kFile, {});
  EXPECT_EQ(words(plan),
            (std::vector<std::string>{"+source files", "+destination db", "+job nightly"}));
  const auto body = api_body(plan.changes[2], {{"files", "S"}}, {{"db", "D"}});
  EXPECT_EQ(body.at("name"), "nightly");
  EXPECT_EQ(body.at("dataSourceId"), "S");
  EXPECT_EQ(body.at("destinationDatabaseId"), "D");
  EXPECT_FALSE(body.contains("source"));
  EXPECT_EQ(format_plan(plan).find("s3cret"), std::string::npos);
}

TEST(ApplyPlan, ASecondApplyChangesNothing) {
  const ApplyPlan plan = plan_of(kFile, applied());
  EXPECT_EQ(words(plan), std::vector<std::string>{}) << format_plan(plan);
  EXPECT_EQ(plan.unchanged, 3U);
  ASSERT_EQ(plan.notes.size(), 1U);
  EXPECT_NE(plan.notes[0].find("secrets of destination \"db\""), std::string::npos);
  EXPECT_EQ(words(plan_of(kFile, applied(), true)), std::vector<std::string>{});
}

TEST(ApplyPlan, SecretsAreSentAgainOnRequest) {
  const ApplyPlan plan = plan_of(kFile, applied(), false, true);
  EXPECT_EQ(words(plan), std::vector<std::string>{"~destination db"});
  EXPECT_EQ(plan.changes[0].revision, "2");
  EXPECT_EQ(format_plan(plan).find("s3cret"), std::string::npos);
}

// Seen here: a stored `password: null` showed the new password in the plan.
TEST(ApplyPlan, NoNewValueOfAConfigurationIsShownThatMayBeASecret) {
  const auto diff_of = [](const char* stored, const std::string& wanted) {
    Existing e = applied();
    e.items[1].at(0).as_object()["config"] = boost::json::parse(stored);
    const ApplyPlan plan =
        plan_of("destinations: {db: {type: postgres, config: " + wanted + "}}", e);
    return plan.changes.empty() || plan.changes[0].diff.empty() ? "" : plan.changes[0].diff[0];
  };
  EXPECT_EQ(diff_of(R"({"password":null})", "{password: s3cret}"), "config.password: null → (set)");
  EXPECT_EQ(diff_of("{}", "{password: s3cret}"), "config.password: (none) → (set)");
  EXPECT_EQ(diff_of(R"({"keys":["a"]})", "{keys: [s3cret]}"), R"(config.keys: ["a"] → (set))");
  EXPECT_EQ(diff_of(R"({"url":"x"})", "{url: y}"), R"(config.url: "x" → "y")");
}

TEST(ApplyPlan, ShowsEachFieldThatChangesAndDefaultsThatReturn) {
  const ApplyPlan plan = plan_of(R"(
jobs:
  nightly:
    source: files
    destination: db
    schedule: {cron: "5 2 * * *", timezone: Europe/Berlin}
    retry: {maxAttempts: 5}
)",
                                 applied());
  ASSERT_EQ(words(plan), std::vector<std::string>{"~job nightly"});
  EXPECT_EQ(plan.changes[0].diff,
            (std::vector<std::string>{R"(schedule.cron: "0 2 * * *" → "5 2 * * *")",
                                      R"(schedule.timezone: "UTC" → "Europe/Berlin")",
                                      R"(timeout: "1h30m" → null)"}));
  EXPECT_EQ(plan.changes[0].id, "j1");
}

TEST(ApplyPlan, PruneDeletesJobsBeforeWhatTheyUse) {
  EXPECT_EQ(words(plan_of("sources: {}", applied())), std::vector<std::string>{});
  EXPECT_EQ(words(plan_of("sources: {}", applied(), true)),
            (std::vector<std::string>{"-job nightly", "-destination db", "-source files"}));
}

// Seen here: what the file's own job uses was planned away; the server refused it for ever.
TEST(ApplyPlan, PruneKeepsWhatAJobOfTheFileUses) {
  Existing existing = applied();
  existing.items[0].push_back(boost::json::object{{"id", "s2"}, {"name", "unused"}});
  const ApplyPlan plan = plan_of(
      "jobs: {hourly: {source: files, destination: db, schedule: {every: 1h}}}", existing, true);
  EXPECT_EQ(words(plan),
            (std::vector<std::string>{"+job hourly", "-job nightly", "-source unused"}));
  EXPECT_EQ(plan.notes, (std::vector<std::string>{
                            "destination \"db\" is not pruned: job \"hourly\" of the file uses it",
                            "source \"files\" is not pruned: job \"hourly\" of the file uses it"}));
}

TEST(ApplyPlan, WrongFilesNameEveryWrongField) {
  const auto declared = read_declared(yaml(R"(
source: {}
sources:
  a: {tpye: file}
  b: 3
jobs:
  x: {source: filse, destination: db, schedule: {cron: "61 * * * *"}}
  y: {source: files, destination: db, name: z, syncMode: sometimes}
  w: {destination: db}
)"),
                                      applied());
  ASSERT_FALSE(declared);
  EXPECT_EQ(declared.error().code, Code::Invalid);
  const std::string all = describe(declared.error());
  for (const char* part : {"source", "did you mean 'sources'?", "sources[\"a\"].tpye",
                           "sources[\"a\"].type", "sources[\"b\"]", "jobs[\"x\"].source",
                           "did you mean \"files\"?", "jobs[\"x\"].schedule.cron",
                           "jobs[\"y\"].name", "jobs[\"y\"].syncMode", "jobs[\"w\"].source"}) {
    EXPECT_NE(all.find(part), std::string::npos) << part << "\n" << all;
  }
}

// The server cannot try a job one of whose connections is new.
TEST(ApplyPlan, AModeThatTheDestinationDoesNotHaveIsRefused) {
  const std::string file = R"(
destinations: {folder: {type: file, config: {path: /out}}}
jobs: {x: {source: files, destination: folder, syncMode: )";
  const auto refused = read_declared(yaml(file + "incremental}}"), applied());
  ASSERT_FALSE(refused);
  ASSERT_EQ(refused.error().details.size(), 1U);
  EXPECT_EQ(refused.error().details[0].field, "jobs[\"x\"].syncMode");
  EXPECT_TRUE(read_declared(yaml(file + "incremental_append}}"), applied()));

  Existing existing = applied();
  existing.items[1].push_back(boost::json::object{{"id", "d2"}, {"name", "old"}, {"type", "file"}});
  const std::string with_new_source = R"(
sources: {new: {type: file, config: {path: /in}}}
jobs: {x: {source: new, destination: old, syncMode: )";
  const auto of_old = read_declared(yaml(with_new_source + "incremental}}"), existing);
  ASSERT_FALSE(of_old);
  EXPECT_EQ(of_old.error().details[0].field, "jobs[\"x\"].syncMode");
  EXPECT_TRUE(read_declared(yaml(with_new_source + "full}}"), existing));
}

TEST(ApplyPlan, ExportIsWhatApplyReads) {
  const boost::json::object file = export_file(applied());
  EXPECT_EQ(boost::json::serialize(file.at("destinations")),
            R"({"db":{"type":"postgres","config":{"url":"x","password":"${DB_PASSWORD}"}}})");
  EXPECT_EQ(boost::json::serialize(file.at("jobs").at("nightly").at("timeout")), R"("1h30m")");
  EXPECT_FALSE(file.at("jobs").at("nightly").as_object().contains("syncMode"))
      << "a default is left out";
  EXPECT_EQ(words(plan_of(write_yaml(file), applied(), true)), std::vector<std::string>{});
}

}  // namespace
}  // namespace tidegate::cli
