#include <arrow/builder.h>

#include <boost/json/serialize.hpp>
#include <fstream>

#include "engine/connectors/file/source_fixture.h"
#include "engine/core/engine.h"

namespace tidegate::engine::file {
namespace {

using protocol::EntityOutcome;
using protocol::ExitCode;
using Texts = std::vector<std::string>;

class FileDestinationTest : public FileSourceTest {
 protected:
  struct NoEvents final : EventSink {
    void send(const protocol::Event&) override {}
  };

  protocol::RunResult run(const std::string& from, const std::string& to) {
    protocol::Request request;
    request.kind = protocol::RequestKind::Run;
    request.source = protocol::Endpoint{"file", {{"path", from}}};
    request.destination = protocol::Endpoint{"file", {{"path", to}}};
    request.run = spec_;
    LeaseGuard lease(clock_, {}, Millis(0));
    NoEvents events;
    const Connector* const all[] = {&file_connector()};
    return engine::answer(request, all, context_, lease, events);
  }

  std::string text(const std::string& name) {
    std::ifstream in(folder_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  Texts entries(const std::string& name) {
    Texts out;
    for (const auto& e : std::filesystem::directory_iterator(folder_ + "/" + name)) {
      out.push_back(e.path().filename());
    }
    std::ranges::sort(out);
    return out;
  }

  static std::shared_ptr<arrow::RecordBatch> one_row(std::int64_t id) {
    const auto schema = arrow::schema({arrow::field("id", arrow::int64())});
    arrow::Int64Builder ids;
    EXPECT_TRUE(ids.Append(id).ok());
    return arrow::RecordBatch::Make(schema, 1, {*ids.Finish()});
  }

  protocol::RunSpec spec_{.job = "j", .run_id = RunId("r")};
};

// Symptom: with take-over a source's own file was overwritten by what was read from it.
TEST_F(FileDestinationTest, AFileIsNeverItsOwnDestination) {
  write("data/a.csv", "id\n1\n");
  write("data/b.csv", "id\n2\n");
  std::filesystem::create_directory(folder_ + "/linked");
  std::filesystem::create_hard_link(folder_ + "/data/b.csv", folder_ + "/linked/b.csv");
  spec_.take_over = true;
  for (const char* to : {"data", "data/", "linked"}) {
    const auto r = run("data/*.csv", to);
    EXPECT_EQ(r.code, ExitCode::Configuration) << to;
    EXPECT_NE(r.error.value_or("").find("source.path"), std::string::npos) << *r.error;
    EXPECT_NE(r.error.value_or("").find("destination.path"), std::string::npos) << *r.error;
  }
  EXPECT_EQ(text("data/a.csv") + text("linked/b.csv"), "id\n1\nid\n2\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/data/.tidegate"));
  // Its own output, read as a source, is the same file too.
  ASSERT_EQ(run("data", "out").code, ExitCode::Done);
  EXPECT_EQ(run("out/*.csv", "out").code, ExitCode::Configuration);
}

// Symptom: `out.csv` became a folder of that name.
TEST_F(FileDestinationTest, TheNameOfAFileIsNoFolder) {
  write("a.csv", "id\n1\n");
  write("there", "x");
  for (const char* to : {"out.csv", "sub.CSV.gz", "there"}) {
    const auto r = run("a.csv", to);
    EXPECT_EQ(r.code, ExitCode::Configuration) << to;
    EXPECT_NE(r.error.value_or("").find("give a folder, such as '"), std::string::npos) << *r.error;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/out.csv"));
  std::filesystem::create_directory(folder_ + "/old.csv");
  EXPECT_EQ(run("a.csv", "old.csv").code, ExitCode::Done);
}

// A writer that was taken over can publish nothing, however far it was: neither a second attempt's
// nor another job's rows are in danger.
TEST_F(FileDestinationTest, WhoWasTakenOverIsFencedAtItsCommit) {
  write("a.csv", "id\n1\n");
  for (const bool other_job : {false, true}) {
    const std::string to = other_job ? "out1" : "out2";
    spec_ = {.job = "j", .run_id = RunId("r")};
    ASSERT_EQ(run("a.csv", to).code, ExitCode::Done);
    const boost::json::object config{{"path", to}};
    const auto destination = file_connector().make_destination(config, context_);
    const auto old =
        (*destination)
            ->open({.job = "j", .entity = "a", .run_id = RunId("old"), .fence = Fence(5)});
    ASSERT_TRUE(old) << old.error().message;
    const auto rows = one_row(7);
    ASSERT_TRUE((*old)->begin({.kind = LoadKind::Replace, .schema = rows->schema()}));
    ASSERT_TRUE((*old)->write(*rows));
    ASSERT_TRUE((*old)->flush());
    write("a.csv", "id\n1\n2\n");
    spec_.job = other_job ? "k" : "j";
    spec_.take_over = other_job;
    spec_.fence = Fence(6);
    const auto r = run("a.csv", to);
    ASSERT_EQ(r.code, ExitCode::Done) << r.error.value_or("");
    const Status late = (*old)->commit(Writer::NewState{"{}", 0});
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::Fenced) << late.error().message;
    EXPECT_TRUE((*old)->abort({}));
    EXPECT_EQ(text(to + "/a.csv"), "id\n1\n2\n");
    EXPECT_EQ(entries(to + "/.tidegate/a"), (Texts{"claim.json", "current", "lock", "v1", "v2"}));
    write("a.csv", "id\n1\n");
  }
}

// What a process leaves that died in the middle: stages, half made links and files, and a complete
// version that no link leads to (it died between the rename and the switch).
TEST_F(FileDestinationTest, WhatADeadProcessLeftIsIgnoredAndRemoved) {
  write("a.csv", "id\n1\n");
  spec_.mode = protocol::SyncMode::IncrementalAppend;
  spec_.entities["a"].cursor = "id";
  ASSERT_EQ(run("a.csv", "out").code, ExitCode::Done);
  write("a.csv", "id\n1\n2\n");
  ASSERT_EQ(run("a.csv", "out").code, ExitCode::Done);
  const std::string table = folder_ + "/out/.tidegate/a/";
  std::filesystem::copy(table + "v2", table + "v3", std::filesystem::copy_options::recursive);
  write("out/.tidegate/a/v3/a.csv", "id\n1\n2\n9\n");
  write("out/.tidegate/a/stage-9-1/a.csv", "id\n8\n");
  write("out/.tidegate/a/stage-9-1/state.json", "{");
  write("out/.tidegate/a/claim.json.new", "{");
  std::filesystem::create_symlink("v3", table + "current.new");
  EXPECT_EQ(text("out/a.csv"), "id\n1\n2\n");
  write("a.csv", "id\n1\n2\n3\n");
  const auto r = run("a.csv", "out");
  ASSERT_EQ(r.code, ExitCode::Done) << r.error.value_or("");
  EXPECT_EQ(r.entities[0].rows_written, 1);
  EXPECT_EQ(text("out/a.csv"), "id\n1\n2\n3\n");
  EXPECT_EQ(entries("out/.tidegate/a"), (Texts{"claim.json", "current", "lock", "v2", "v3"}));
}

// It died between the first switch and the link that shows the file, or in making that.
TEST_F(FileDestinationTest, AFileThatWasNotYetShownIsShownByTheNextRun) {
  write("a.csv", "id\n1\n");
  ASSERT_EQ(run("a.csv", "out").code, ExitCode::Done);
  std::filesystem::rename(folder_ + "/out/a.csv", folder_ + "/out/a.csv.new");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/out/a.csv"));
  ASSERT_EQ(run("a.csv", "out").code, ExitCode::Done);
  EXPECT_EQ(text("out/a.csv"), "id\n1\n");
  EXPECT_EQ(entries("out"), (Texts{".tidegate", "a.csv"}));
}

// Seen here: a column without any value was typed text, which made a later run's numbers "a
// change", and a day's file with only a header ended `incremental_append` with exit 2.
TEST_F(FileDestinationTest, AColumnWithoutValuesIsNoChangeOfType) {
  spec_.mode = protocol::SyncMode::IncrementalAppend;
  spec_.entities["a"].cursor = "at";
  spec_.schema_change = protocol::SchemaChange::Fail;
  const auto appended = [&](const std::string& file) {
    write("a.csv", file);
    const auto r = run("a.csv", "out");
    EXPECT_EQ(r.code, ExitCode::Done) << r.error.value_or("");
    EXPECT_TRUE(r.entities[0].schema_changes.empty()) << r.entities[0].schema_changes.at(0);
  };
  appended("at,n,m\n");
  appended("at,n,m\n2026-01-01,1,\n");
  appended("at,n,m\n");
  appended("at,n,m\n2026-01-02,,\n,,\n");
  appended("at,n,m\n,,\n2026-01-03,3,x\n");
  EXPECT_EQ(text("out/a.csv"), "at,n,m\n2026-01-01,1,\n2026-01-02,,\n,,\n2026-01-03,3,x\n");
}

TEST_F(FileDestinationTest, ADryRunAndADiscoverNameAColumnWithoutValues) {
  write("a.csv", "a,b\n1,\n");
  spec_.dry_run = true;
  const auto dry = run("a.csv", "out");
  ASSERT_EQ(dry.code, ExitCode::Done) << dry.error.value_or("");
  const std::string shown = boost::json::serialize(dry.reply);
  EXPECT_NE(shown.find(R"({"name":"b","type":"no values"})"), std::string::npos) << shown;
  EXPECT_NE(shown.find(R"([{"a":1,"b":null}])"), std::string::npos) << shown;
  protocol::Request request;
  request.kind = protocol::RequestKind::Discover;
  request.source = protocol::Endpoint{"file", {{"path", "a.csv"}}};
  LeaseGuard lease(clock_, {}, Millis(0));
  NoEvents events;
  const Connector* const all[] = {&file_connector()};
  const auto found = engine::answer(request, all, context_, lease, events);
  ASSERT_EQ(found.code, ExitCode::Done);
  const std::string columns = boost::json::serialize(found.reply);
  EXPECT_NE(columns.find(R"("type":"null","title":"no values")"), std::string::npos) << columns;
}

// Symptom: a dry run into CSV files found nothing wrong with what the run then refused. Whatever it
// is, both say it in the same words, and the dry run writes nothing.
TEST_F(FileDestinationTest, ADryRunRefusesWhatTheRunDoes) {
  write("a.csv", "id,v\n1,2\n");
  write("foreign/a.csv", "id\n1\n");
  spec_.mode = protocol::SyncMode::IncrementalAppend;
  spec_.entities["a"].cursor = "id";
  ASSERT_EQ(run("a.csv", "ours").code, ExitCode::Done);
  struct Case {
    const char* to;
    const char* rows;
    const char* job;
    protocol::SyncMode mode;
    bool take_over;
    const char* expected;
  };
  using enum protocol::SyncMode;
  for (const Case& c : std::initializer_list<Case>{
           {"ours", "id,v,w\n2,3,4\n", "j", IncrementalAppend, false, "column \"w\" ("},
           {"ours", "id,v\n2,x\n", "j", IncrementalAppend, false, "column \"v\" was"},
           {"ours", "id,v\n2,3\n", "k", IncrementalAppend, false, "belongs to the job 'j'"},
           {"foreign", "id\n2\n", "j", Full, false, "was not written by Tidegate"},
           {"foreign", "id\n2\n", "j", FullAppend, true, "nothing can be appended"},
           {"none/out", "id\n2\n", "j", Full, false, "does not exist"}}) {
    write("a.csv", c.rows);
    spec_ = {.job = c.job, .run_id = RunId("r2"), .mode = c.mode, .take_over = c.take_over};
    spec_.entities["a"].cursor = "id";
    spec_.schema_change = protocol::SchemaChange::Fail;
    spec_.dry_run = true;
    const auto dry = run("a.csv", c.to);
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/foreign/.tidegate/a/claim.json"));
    spec_.dry_run = false;
    const auto real = run("a.csv", c.to);
    EXPECT_EQ(dry.code, real.code) << c.expected;
    ASSERT_TRUE(dry.error && real.error) << c.expected;
    EXPECT_EQ(*dry.error, *real.error);
    EXPECT_NE(dry.error->find(c.expected), std::string::npos) << *dry.error;
    std::filesystem::remove_all(folder_ + "/foreign/.tidegate");
  }
  EXPECT_EQ(text("ours/a.csv"), "id,v\n1,2\n");
  EXPECT_EQ(text("foreign/a.csv"), "id\n1\n");
}

// Symptom: one empty file failed the whole run.
TEST_F(FileDestinationTest, AnEmptyFileIsSkippedWithAWarning) {
  write("in/good.csv", "id\n1\n");
  write("in/none.csv", "");
  write("in/none2.jsonl", "");
  const auto r = run("in", "out");
  EXPECT_EQ(r.code, ExitCode::Done) << r.error.value_or("");
  ASSERT_EQ(r.entities.size(), 3U);
  EXPECT_EQ(r.entities[0].outcome, EntityOutcome::Succeeded);
  for (const int i : {1, 2}) {
    EXPECT_EQ(r.entities[i].outcome, EntityOutcome::Skipped);
    EXPECT_NE(r.entities[i].warnings.at(0).find("empty"), std::string::npos);
  }
  EXPECT_EQ(text("out/good.csv"), "id\n1\n");
  // Symptom: its error named no file.
  const auto none = run("in/none.csv", "out");
  EXPECT_EQ(none.code, ExitCode::Configuration) << "nothing but an empty file";
  EXPECT_NE(none.error.value_or("").find("in/none.csv\" has no columns"), std::string::npos)
      << none.error.value_or("");
}

}  // namespace
}  // namespace tidegate::engine::file
