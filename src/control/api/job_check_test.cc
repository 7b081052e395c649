// Jobs whose data source and destination fit no run: refused when they are made.
#include "control/api/job_check.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "control/api/test_fixture.h"

namespace tidegate::api {
namespace {

using http::Method;
using protocol::SyncMode;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

namespace fs = std::filesystem;
using Fields = std::vector<std::string>;

model::Connection connection(const std::string& type, const std::string& path,
                             const std::string& more = "") {
  model::Connection c;
  c.name = "c";
  c.type = type;
  c.config = json::parse(fmt::format(R"({{"path":"{}"{}}})", path, more)).value().as_object();
  return c;
}

class JobCheck : public testing::Test {
 protected:
  JobCheck() {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    fs::create_directory(dir_ + "/in");
    fs::create_directory_symlink(dir_ + "/in", dir_ + "/link");
    for (const char* name : {"/in/a.csv", "/in/b.csv.gz", "/in/a%.csv", "/one.db"}) {
      std::ofstream(dir_ + name) << "x";
    }
    fs::create_symlink(dir_ + "/one.db", dir_ + "/other.db");
    fs::create_hard_link(dir_ + "/one.db", dir_ + "/hard.db");
    options_.path_roots = {dir_};
  }
  ~JobCheck() override { fs::remove_all(dir_); }

  std::string dir_ = (fs::temp_directory_path() / "tidegate-job-XXXXXX").string();
  ApiOptions options_;
};

TEST_F(JobCheck, ADestinationThatIsTheDataSourceIsNamed) {
  struct Case {
    std::string from_type, from, to_type, to;
    bool same;
    std::string more = "";     // of the source's configuration
    std::string to_more = "";  // of the destination's
  };
  const Case table[] = {
      {"sqlite", "one.db", "sqlite", "one.db", true},
      {"sqlite", "one.db", "sqlite", "in/../one.db", true},
      {"sqlite", "one.db", "sqlite", dir_ + "/other.db", true},
      {"sqlite", "one.db", "sqlite", "hard.db", true},
      {"sqlite", "new.db", "sqlite", "new.db", true},  // neither is there
      {"sqlite", "one.db", "sqlite", "two.db", false},
      {"file", "in/a.csv", "sqlite", "in/a.csv", true},
      {"file", "in/*.csv", "sqlite", "in", false},
      {"vault", "one.db", "sqlite", "one.db", false},  // what its `path` is nobody knows
      // A destination folder has one CSV file for each entity.
      {"file", "in/a.csv", "file", "in", true},
      {"file", "in/a.csv", "file", "link/", true},
      {"file", "link/a.csv", "file", "in", true},
      {"file", "in/new.csv", "file", "in", true},
      {"file", "in/a.csv", "file", "out", false},
      {"file", "in/b.csv.gz", "file", "in", false},
      {"file", "in/c.jsonl", "file", "in", false},
      {"file", "in/a%.csv", "file", "in", false},
      {"file", "in/a.csv", "file", "in", false, R"(,"entities":{"x":"a.csv"})"},
      {"file", "in", "file", "in", true},
      {"file", "in/", "file", "link", true},
      {"file", "in", "file", "out", false},
      {"file", "in/*.csv", "file", "in", true},
      {"file", "in/*", "file", "in", true},
      {"file", "in/*.jsonl", "file", "in", false},
      {"file", "i*/a.csv", "file", "in", false},
      {"file", "in/c.jsonl", "file", "in", true, "", R"(,"format":"jsonl")"},
      {"file", "in/*.jsonl", "file", "in", true, "", R"(,"format":"jsonl")"},
      {"file", "in/a.csv", "file", "in", false, "", R"(,"format":"parquet")"},
      {"file", "in/a.csv", "file", "in", true, "", R"(,"format":"auto")"},
      {"sqlite", "in/a.csv", "file", "in", false},
      // Names that look like patterns.
      {"sqlite", "a[1].db", "sqlite", "b[1].db", false},
      {"file", "in/a.csv", "file", "in/x[1]", false},
      {"file", "in/x[1].csv", "file", "in", true},
      {"file", "../x.csv", "file", "in", false},  // outside the roots: the engine says so
  };
  for (const Case& c : table) {
    SCOPED_TRACE(c.from + " -> " + c.to_type + " " + c.to);
    const auto problems = endpoint_problems(connection(c.from_type, c.from, c.more),
                                            connection(c.to_type, c.to, c.to_more), {}, options_);
    ASSERT_EQ(problems.size(), c.same ? 1U : 0U);
    if (c.same) EXPECT_EQ(problems[0].field, "destinationDatabaseId");
  }
}

TEST_F(JobCheck, AFolderOfFilesHasNoKeys) {
  const auto fields = [&](const char* type, const model::JobSpec& job) {
    Fields out;
    for (const auto& e : endpoint_problems(connection("sqlite", "one.db"), connection(type, "out"),
                                           job, options_)) {
      out.push_back(e.field);
    }
    return out;
  };
  for (const SyncMode mode :
       {SyncMode::Full, SyncMode::FullAppend, SyncMode::Incremental, SyncMode::IncrementalAppend}) {
    model::JobSpec job;
    job.mode = mode;
    const bool merges = mode == SyncMode::Incremental;
    EXPECT_EQ(fields("file", job), merges ? Fields{"syncMode"} : Fields{});
    EXPECT_EQ(fields("sqlite", job), Fields{});
    job.entities["a"].cursor = "id";
    job.entities["b"].primary_key = {"id"};
    const bool whole = mode == SyncMode::Full;
    EXPECT_EQ(fields("file", job), merges  ? Fields{"syncMode"}
                                   : whole ? Fields{"entities[\"b\"].primaryKey"}
                                           : Fields{});
    EXPECT_EQ(fields("sqlite", job), Fields{});
  }
}

class JobEndpoints : public ApiTest {
 protected:
  std::string make(const std::string& list, const std::string& name, const std::string& path) {
    const Answer a = post(
        kDefault + "/" + list,
        fmt::format(R"({{"name":"{}","type":"sqlite","config":{{"path":"{}"}}}})", name, path));
    EXPECT_EQ(a.status, 201) << a.text;
    return a.at("id");
  }
  // The engine of these tests knows no file destination.
  std::string make_folder() {
    model::Connection c;
    c.id = new_id<ConnectionId>(clock_, rng_);
    c.workspace = WorkspaceId("01900000-0000-7000-8000-000000000001");
    c.kind = model::ConnectionKind::Destination;
    c.name = "folder";
    c.type = "file";
    c.config = {{"path", "/srv/out"}};
    EXPECT_TRUE(store_->create_connection(c, std::nullopt).has_value());
    return c.id.str();
  }
  static std::string body(const std::string& source, const std::string& destination,
                          const std::string& mode) {
    return fmt::format(
        R"({{"name":"j","dataSourceId":"{}","destinationDatabaseId":"{}","syncMode":"{}"}})",
        source, destination, mode);
  }
  const std::string jobs_ = kDefault + "/sync-jobs";
};

// Seen here: 201, and every run failed.
TEST_F(JobEndpoints, AJobThatCanNeverRunIsRefused) {
  const std::string source = make("data-sources", "in", "/srv/a.db");
  const std::string same = make("destinations", "same", "/srv/x/../a.db");
  const std::string other = make("destinations", "other", "/srv/b.db"), folder = make_folder();
  struct Case {
    std::string destination, mode, more;
    Fields fields;
  };
  const std::string made = post(jobs_, body(source, other, "full")).at("id");
  const Case table[] = {{same, "full", "give it another path", {"destinationDatabaseId"}},
                        {folder, "incremental", "incremental_append", {"syncMode"}}};
  for (const Case& c : table) {
    const std::string wrong = body(source, c.destination, c.mode);
    const std::string patch =
        fmt::format(R"({{"destinationDatabaseId":"{}","syncMode":"{}"}})", c.destination, c.mode);
    for (const char* dry : {"", "?dryRun=true"}) {
      for (const Answer& a :
           {post(jobs_ + dry, wrong), call(Method::Put, jobs_ + "/" + made + dry, wrong),
            call(Method::Patch, jobs_ + "/" + made + dry, patch)}) {
        EXPECT_EQ(a.status, 422) << a.text;
        EXPECT_EQ(a.code(), "invalid_job");
        EXPECT_THAT(a.fields(), ElementsAreArray(c.fields));
        EXPECT_THAT(a.text, HasSubstr(c.more));
      }
    }
  }
  EXPECT_EQ(get(jobs_).body.at("total").as_int64(), 1);
  EXPECT_EQ(call(Method::Patch, jobs_ + "/" + made,
                 fmt::format(R"({{"destinationDatabaseId":"{}"}})", folder))
                .status,
            200);
  EXPECT_THAT(call(Method::Patch, jobs_ + "/" + made, R"({"syncMode":"incremental"})").fields(),
              ElementsAre("syncMode"));
}

TEST_F(JobEndpoints, AJobThatAConnectionSpoiledCanStillBeDisabled) {
  const std::string source = make("data-sources", "in", "/srv/a.db");
  const std::string destination = make("destinations", "out", "/srv/b.db");
  const std::string job = jobs_ + "/" + post(jobs_, body(source, destination, "full")).at("id");
  ASSERT_EQ(call(Method::Patch, kDefault + "/destinations/" + destination,
                 R"({"config":{"path":"/srv/a.db"}})")
                .status,
            200);
  EXPECT_EQ(call(Method::Patch, job, R"({"enabled":false})").status, 200);
  EXPECT_EQ(post(job + "/toggle").status, 200);
  EXPECT_THAT(call(Method::Patch, job, R"({"syncMode":"full_append"})").fields(),
              ElementsAre("destinationDatabaseId"));
}

// Seen at jobs with a time that had passed: the repeated request was refused.
TEST_F(JobEndpoints, ARepeatedCreateAnswersAlsoWhenAConnectionWasChanged) {
  const std::string source = make("data-sources", "in", "/srv/a.db");
  const std::string destination = make("destinations", "out", "/srv/b.db");
  const std::vector<http::Header> key = {{"Idempotency-Key", "k"}};
  const Answer first = post(jobs_, body(source, destination, "full"), key);
  call(Method::Patch, kDefault + "/destinations/" + destination,
       R"({"config":{"path":"/srv/a.db"}})");
  EXPECT_EQ(post(jobs_, body(source, destination, "full"), key).at("id"), first.at("id"));
}

}  // namespace
}  // namespace tidegate::api
