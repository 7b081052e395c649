#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "app/sync/endpoint.h"
#include "app/sync/reporter.h"
#include "app/sync/scrub.h"

namespace tidegate::app {
namespace {

EndpointParams params() {
  EndpointParams p;
  p.cwd = "/srv/dir";
  p.named_in = "tidegate.yaml";
  p.named =
      boost::json::parse(R"({"crm":{"type":"postgres","config":{"url":"u","password":"s3cret"}},
    "csv":{"type":"file","config":{"path":"in/*.csv","delimiter":";"}},"broken":3,"untyped":{"config":{}}})")
          .as_object();
  p.look = [](const std::string& path) {
    if (path == "/srv/dir/lite") return PathKind::SqliteFile;
    if (path == "/srv/dir/duck") return PathKind::DuckdbFile;
    if (path == "/srv/dir/folder") return PathKind::Folder;
    if (path == "/srv/dir/blob") return PathKind::File;
    return PathKind::Missing;
  };
  return p;
}

TEST(Endpoint, NamesUrlsAndPaths) {
  struct Case {
    const char* text;
    const char* type;
    const char* config;
    const char* shown;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"data/*.csv", "file", R"({"path":"/srv/dir/data/*.csv"})", "file /srv/dir/data/*.csv"},
           {"./a.csv.gz", "file", R"({"path":"/srv/dir/a.csv.gz"})", "file /srv/dir/a.csv.gz"},
           {"/abs/x.parquet", "file", R"({"path":"/abs/x.parquet"})", "file /abs/x.parquet"},
           // Seen here: "cannot tell what … is", though a pattern would have read them.
           {"a.pq", "file", R"({"path":"/srv/dir/a.pq"})", "file /srv/dir/a.pq"},
           {"a.txt.gz", "file", R"({"path":"/srv/dir/a.txt.gz"})", "file /srv/dir/a.txt.gz"},
           {"folder", "file", R"({"path":"/srv/dir/folder"})", "file /srv/dir/folder"},
           {"new/", "file", R"({"path":"/srv/dir/new/"})", "file /srv/dir/new/"},
           {"out.db", "sqlite", R"({"path":"/srv/dir/out.db"})", "sqlite /srv/dir/out.db"},
           {"../up.sqlite3", "sqlite", R"({"path":"/srv/up.sqlite3"})", "sqlite /srv/up.sqlite3"},
           {"lite", "sqlite", R"({"path":"/srv/dir/lite"})", "sqlite /srv/dir/lite"},
           {"w.duckdb", "duckdb", R"({"path":"/srv/dir/w.duckdb"})", "duckdb /srv/dir/w.duckdb"},
           {"w.ddb", "duckdb", R"({"path":"/srv/dir/w.ddb"})", "duckdb /srv/dir/w.ddb"},
           {"duck", "duckdb", R"({"path":"/srv/dir/duck"})", "duckdb /srv/dir/duck"},
           {"duckdb:w.db", "duckdb", R"({"path":"/srv/dir/w.db"})", "duckdb /srv/dir/w.db"},
           {"sqlite:out.db", "sqlite", R"({"path":"/srv/dir/out.db"})", "sqlite /srv/dir/out.db"},
           {"sqlite:/abs/out.db", "sqlite", R"({"path":"/abs/out.db"})", "sqlite /abs/out.db"},
           {"sqlite:///abs/out.db", "sqlite", R"({"path":"/abs/out.db"})", "sqlite /abs/out.db"},
           {"file:blob", "file", R"({"path":"/srv/dir/blob"})", "file /srv/dir/blob"},
           {"file:///a b/c", "file", R"({"path":"/a b/c"})", "file /a b/c"},
           {"out/?format=parquet", "file", R"({"path":"/srv/dir/out/","format":"parquet"})",
            "file /srv/dir/out/ (parquet)"},
           {"file:out?format=jsonl", "file", R"({"path":"/srv/dir/out","format":"jsonl"})",
            "file /srv/dir/out (jsonl)"},
           // Seen here: "cannot tell what … is", though the format was said.
           {"blob?format=jsonl", "file", R"({"path":"/srv/dir/blob","format":"jsonl"})",
            "file /srv/dir/blob (jsonl)"},
           {"a?.csv", "file", R"({"path":"/srv/dir/a?.csv"})", "file /srv/dir/a?.csv"},
           // Seen here: a name wrote to the terminal.
           {"x\x1b[2J/", "file", R"({"path":"/srv/dir/x\u001b[2J/"})", "file /srv/dir/x\\x1b[2J/"},
           {"csv", "file", R"({"path":"/srv/dir/in/*.csv","delimiter":";"})",
            "file /srv/dir/in/*.csv (csv in tidegate.yaml)"},
           {"crm", "postgres", R"({"url":"u","password":"s3cret"})",
            "postgres (crm in tidegate.yaml)"},
           {"postgresql://u:s3cret@h/db", "postgres", R"({"url":"postgresql://u:s3cret@h/db"})",
            "postgresql://u:***@h/db"},
           {"mysql://u:s3cret@h/db", "mysql", R"({"url":"mysql://u:s3cret@h/db"})",
            "mysql://u:***@h/db"},
           {"mariadb://u:s3cret@h/db", "mysql", R"({"url":"mariadb://u:s3cret@h/db"})",
            "mariadb://u:***@h/db"},
           {"mongodb+srv://h/db?a=b@c:d", "mongodb", R"({"url":"mongodb+srv://h/db?a=b@c:d"})",
            "mongodb+srv://h/db"},
           // Seen here: what a variable held was printed when it had a '/' or an '@', and so was
           // a password among the parameters.
           {"postgres://me:s3cret/@pw@h/db", "postgres",
            R"({"url":"postgres://me:s3cret/@pw@h/db"})", "postgres://me:***@h/db"},
           {"postgres://me:?s3cret@h/db", "postgres", R"({"url":"postgres://me:?s3cret@h/db"})",
            "postgres://me:***@h/db"},
           {"postgres://h/db?user=me&password=s3cret", "postgres",
            R"({"url":"postgres://h/db?user=me&password=s3cret"})", "postgres://h/db"}}) {
    const auto e = parse_endpoint(c.text, Role::Source, params());
    ASSERT_TRUE(e) << c.text << ": " << e.error().message;
    EXPECT_EQ(e->endpoint.type, c.type) << c.text;
    EXPECT_EQ(boost::json::serialize(e->endpoint.config), c.config) << c.text;
    EXPECT_EQ(e->shown, c.shown) << c.text;
    EXPECT_EQ(e->identity.find("s3cret"), std::string::npos) << c.text;
    EXPECT_EQ(e->shown.find("s3cret"), std::string::npos) << c.text;
  }
}

TEST(Endpoint, WhatIsNoneSaysWhatToWrite) {
  struct Case {
    const char* text;
    const char* expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"", "the source is empty"},
           {"blob", "write file:blob, sqlite:blob or duckdb:blob"},
           {"nothing", "there is no file /srv/dir/nothing and no such name in tidegate.yaml"},
           {"sqlite:", "write sqlite:PATH"},
           {"sqlite://out.db", "write sqlite:out.db for a relative path"},
           {"sqlite://u:s3cret@h/x", "write sqlite:u:***@h/x for a relative path"},
           {":memory:", "not kept in a file"},
           {"sqlite::memory:", "not kept in a file"},
           {"out.db?format=csv", "?format= is of files and folders alone"},
           {"folder?format=", "write csv, jsonl or parquet behind it"},
           {"blob?format=", "write csv, jsonl or parquet behind it"},
           {"sqlite:file:x?mode=memory", "not kept in a file"},
           {"duckdb::memory:", "not kept in a file"},
           {"postgres:rd:s3cret@h/db", "looks like a database's URL"},
           {"postgresql:/rd:s3cret@h/db", "looks like a database's URL"},
           {"rd:s3cret@h/db", "looks like a database's URL"},
           {"host=h password=s3cret", "looks like a database's URL"},
           {"broken", "must be a map with type and config"},
           {"untyped", "must be a map with type and config"}}) {
    const auto e = parse_endpoint(c.text, Role::Source, params());
    ASSERT_FALSE(e) << c.text;
    EXPECT_EQ(e.error().code, Code::Invalid);
    EXPECT_NE(e.error().message.find(c.expected), std::string::npos) << e.error().message;
    EXPECT_EQ(e.error().message.find("s3cret"), std::string::npos) << e.error().message;
  }
}

TEST(Endpoint, AMissingDestinationSaysHowAFolderIsWritten) {
  const auto e = parse_endpoint("outdir", Role::Destination, params());
  ASSERT_FALSE(e);
  for (const char* part : {"no known destination", "outdir/ for a folder of CSV files", "outdir.db",
                           "no such name in tidegate.yaml"}) {
    EXPECT_NE(e.error().message.find(part), std::string::npos) << e.error().message;
  }
}

// Seen here: a mistyped option became the name of a folder that was made.
TEST(Endpoint, AWrongOptionBehindADestinationIsNoPartOfItsName) {
  const auto e = parse_endpoint("out/?fmt=jsonl", Role::Destination, params());
  ASSERT_FALSE(e);
  EXPECT_NE(e.error().message.find("only ?format=csv"), std::string::npos) << e.error().message;
  EXPECT_TRUE(parse_endpoint("file:out/?fmt=jsonl", Role::Destination, params()));
  const auto url = parse_endpoint("postgres:u:s3cret@h/d?sslmode=x", Role::Destination, params());
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().message.find("s3cret"), std::string::npos) << url.error().message;
}

TEST(Endpoint, TheSamePlaceIsTheSameIdentityHoweverItIsWritten) {
  const auto id = [](const char* text) {
    return parse_endpoint(text, Role::Destination, params())->identity;
  };
  EXPECT_EQ(id("out.db"), id("sqlite:///srv/dir/out.db"));
  EXPECT_NE(id("out.db"), id("out2.db"));
  // Another format is another way of writing to it: the job and its state stay.
  EXPECT_EQ(id("out/"), id("out/?format=parquet"));
}

// Seen here: `sync data/*.csv out.db` without quotes took the second file as the destination.
TEST(Endpoint, APatternThatTheShellReplacedIsGuessed) {
  EndpointParams p = params();
  p.look = [](const std::string& path) {
    return path == "/srv/dir/data/b.csv" ? PathKind::File : PathKind::Missing;
  };
  EXPECT_EQ(unquoted_pattern("data/b.csv", p), "data/*.csv");
  EXPECT_EQ(unquoted_pattern("data/new.csv", p), std::nullopt);
  EXPECT_EQ(unquoted_pattern("out.db", p), std::nullopt);
}

TEST(Endpoint, LooksAtContent) {
  const std::string folder = testing::TempDir() + "/look" + std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/lite") << std::string("SQLite format 3\0rest", 20);
  std::ofstream(folder + "/other") << "abc";
  EXPECT_EQ(look_at(folder), PathKind::Folder);
  EXPECT_EQ(look_at(folder + "/lite"), PathKind::SqliteFile);
  EXPECT_EQ(look_at(folder + "/other"), PathKind::File);
  EXPECT_EQ(look_at(folder + "/none"), PathKind::Missing);
  std::filesystem::remove_all(folder);
}

TEST(Scrub, PasswordsInArgvAreOverwrittenInPlace) {
  struct Case {
    std::string word, after;
  };
  for (const Case& c : std::vector<Case>{
           {"postgres://u:s3cret@h/db", "postgres://u:******@h/db"},
           {"postgres://u:p/w@x@h/db", "postgres://u:*****@h/db"},
           {"--store=postgres://u:a@b/c9@h:1/db", "--store=postgres://u:******@h:1/db"},
           {"postgres://a@b/c9@h/db", "postgres://******@h/db"},
           {"postgres://u:a@b?c@h/db?x=y", "postgres://u:*****@h/db?x=y"},
           {"postgres://u:a@h1:1,[::1]:2/db?x=y", "postgres://u:*@h1:1,[::1]:2/db?x=y"},
           {"postgres://u:a@h/db?password=b@c", "postgres://u:*@h/db?password=***"},
           {"postgres://u:${PASS}@h/db", "postgres://u:${PASS}@h/db"},
           {"postgres://h/d?password=pw&a=b&sslpassword=q",
            "postgres://h/d?password=**&a=b&sslpassword=*"},
           {"postgres://h/d?password=${PASS}", "postgres://h/d?password=${PASS}"},
           {"postgres://u@h:5432/db", "postgres://u@h:5432/db"},
           {"http://h:80/x", "http://h:80/x"},
           {"sqlite:out.db", "sqlite:out.db"},
           {"user:pass@host", "user:pass@host"}}) {
    std::string word = c.word;
    char* argv[] = {word.data()};
    EXPECT_EQ(scrub_passwords(argv), c.word != c.after);
    EXPECT_EQ(word, c.after);
  }
}

TEST(Scrub, AShownUrlHidesAllUpToTheLastAtBeforeTheQuery) {
  for (const auto& [url, shown] : std::vector<std::pair<std::string, std::string>>{
           {"postgres://u:Top@Secret/Pw9@h:1/db", "postgres://u:***@h:1/db"},
           {"postgres://u:Top/Secret@h/db?x=y", "postgres://u:***@h/db"},
           {"postgres://u:Top?Secret@h/db?x=y", "postgres://u:***@h/db"},
           {"postgres://u:Top@Secret?x@h/db?x=a@b", "postgres://u:***@b"},
           {"postgres://u:Top@Secret?x=y@h/db", "postgres://u:***@h/db"},
           {"postgres://Top@Secret:9@h/db", "postgres://***@h/db"},
           {"postgres://u:pw@h1:1,h2:2/db?x=y", "postgres://u:***@h1:1,h2:2/db"},
           {"postgres://u:pw@[::1]:2/db", "postgres://u:***@[::1]:2/db"},
           {"postgres://h:1/db?user=a@b", "postgres://h:1/db"},
           {"mongodb://u:pw@h/?appName=@me@", "mongodb://u:***@h/"},
           {"http://h:80/x", "http://h:80/x"}}) {
    EXPECT_EQ(shown_url(url), shown);
  }
}

class Reporter : public testing::Test {
 protected:
  Reporter() {
    io_.out = [this](std::string_view text) { out_ += text; };
    io_.err = [this](std::string_view text) { err_ += text; };
  }
  static protocol::RunResult result() {
    protocol::RunResult r;
    r.entities.push_back({.entity = "weather",
                          .rows_read = 10,
                          .rows_written = 9,
                          .rows_rejected = 1,
                          .duration = Millis(1500),
                          .destination_table = "weather"});
    return r;
  }
  cli::Io io_;
  std::string out_, err_;
};

TEST_F(Reporter, APipeGetsOneJsonLineAnEventAndTheResultLast) {
  SyncReporter reporter(io_, true);
  reporter.on_event(protocol::Started{});
  reporter.on_event(protocol::EntityPlanned{"weather", 10});
  reporter.on_event(protocol::Progress{.entity = "weather", .rows_read = 10, .rows_written = 9});
  reporter.on_event(protocol::StateCommitted{.entity = "weather"});
  reporter.on_event(protocol::LogLine{.message = "hello"});
  protocol::RunResult last = result();
  last.code = protocol::ExitCode::Cancelled;
  reporter.finish(last, 130);
  std::vector<boost::json::value> lines;
  std::stringstream in(out_);
  for (std::string line; std::getline(in, line);) lines.push_back(boost::json::parse(line));
  ASSERT_EQ(lines.size(), 4U) << out_;
  EXPECT_EQ(lines[0].at("type"), "entity");
  EXPECT_EQ(lines[1].at("type"), "progress");
  EXPECT_EQ(lines[2].at("type"), "log");
  EXPECT_EQ(lines[3].at("type"), "result");
  EXPECT_EQ(lines[3].at("code"), 130) << "the process's, not the engine's";
  EXPECT_EQ(lines[3].at("entities").at(0).at("rowsWritten"), 9);
  EXPECT_EQ(err_, "");
}

TEST_F(Reporter, ATerminalGetsBarsWarningsAndATable) {
  io_.err_is_terminal = true;
  SyncReporter reporter(io_, false);
  reporter.on_event(protocol::EntityPlanned{"weather", 10});
  reporter.tick();
  reporter.on_event(
      protocol::LogLine{.level = LogLevel::Warn, .message = "odd row", .entity = "weather"});
  reporter.finish(result(), 0);
  EXPECT_NE(err_.find("[....................] 0 of 10 rows"), std::string::npos) << err_;
  EXPECT_NE(err_.find("warning: weather: odd row\n"), std::string::npos) << err_;
  EXPECT_NE(err_.find("10 rows  succeeded"), std::string::npos) << err_;
  EXPECT_EQ(
      out_,
      "ENTITY   STATE      READ  WRITTEN  UPDATED  REJECTED  SUPERSEDED  TIME     TABLE    "
      "ERROR\n"
      "weather  succeeded  10    9        0        1         0           1s500ms  weather  -\n");
}

// Symptom: names and values of the data wrote to the terminal.
TEST_F(Reporter, WarningsShowNoControlCharacters) {
  SyncReporter reporter(io_, false);
  reporter.on_event(
      protocol::LogLine{.level = LogLevel::Warn, .message = "a\x1b[2J\nb", .entity = "e\x07"});
  protocol::RunResult r = result();
  r.warnings = {"c\x1b[0m"};
  r.entities[0].warnings = {"d\r"};
  reporter.finish(r, 0);
  EXPECT_NE(err_.find("warning: e\\x07: a\\x1b[2J\\x0ab\n"), std::string::npos) << err_;
  EXPECT_NE(err_.find("warning: c\\x1b[0m\nwarning: weather: d\\x0d\n"), std::string::npos) << err_;
}

// Symptom: what a dry run would copy was "skipped".
TEST_F(Reporter, ADryRunIsNamedSo) {
  SyncReporter reporter(io_, false);
  protocol::RunResult r = result();
  r.entities.push_back({.entity = "empty"});
  for (auto& e : r.entities) e.outcome = protocol::EntityOutcome::Skipped;
  r.reply = boost::json::parse(R"({"entities": [{"entity": "weather"}]})");
  reporter.finish(r, 0);
  EXPECT_NE(out_.find("weather  dry run  10"), std::string::npos) << out_;
  EXPECT_NE(out_.find("empty    skipped  0"), std::string::npos) << out_;
}

// Symptom: the bar ran backwards when keys were deduplicated, and ended behind where it had been.
TEST_F(Reporter, ABarCountsTheRowsThatWereRead) {
  io_.err_is_terminal = true;
  SyncReporter reporter(io_, false);
  reporter.on_event(protocol::EntityPlanned{"weather", 10});
  reporter.on_event(protocol::Progress{.entity = "weather", .rows_read = 5, .rows_written = 0});
  reporter.tick();
  EXPECT_NE(err_.find("[##########..........] 5 of 10 rows"), std::string::npos) << err_;
  reporter.finish(result(), 0);
  EXPECT_NE(err_.find("[####################] 10 rows  succeeded"), std::string::npos) << err_;
}

}  // namespace
}  // namespace tidegate::app
