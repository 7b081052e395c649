#include "app/serve/open_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <tuple>

namespace tidegate::app {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

TEST(StoreUrl, PathsServersAndWhatIsRefused) {
  EXPECT_EQ(parse_store_url("sqlite:///var/x.db")->path, "/var/x.db");
  EXPECT_EQ(parse_store_url("sqlite:/var/../x.db")->path, "/x.db");
  EXPECT_EQ(parse_store_url("sqlite:x.db")->path, fs::current_path().string() + "/x.db");
  for (const char* url : {"postgres://u:s3cret@h/d", "postgresql://u:s3cret@h/d?password=s3cret"}) {
    EXPECT_EQ(parse_store_url(url)->kind, StoreKind::Postgres);
    EXPECT_THAT(parse_store_url(url)->shown, AllOf(HasSubstr("@h/d"), Not(HasSubstr("s3cret"))));
  }
  for (const char* url : {"mongodb://u:s3cret@h/d", "mongodb+srv://u:s3cret@h/d?x=y"}) {
    EXPECT_EQ(parse_store_url(url)->kind, StoreKind::Mongo);
    EXPECT_THAT(parse_store_url(url)->shown, AllOf(HasSubstr("@h/d"), Not(HasSubstr("s3cret"))));
  }
  struct Case {
    const char* url;
    const char* expected;
  };
  for (const Case& c :
       std::initializer_list<Case>{{"mysql://u:s3cret@h/d", "no known kind of store"},
                                   {"/var/x.db", "must be a URL"},
                                   {"sqlite::memory:", "would not be kept in a file"},
                                   {"sqlite:file:x?mode=memory", "would not be kept in a file"},
                                   {"sqlite:", "names no file"},
                                   {"sqlite://x.db", "names no file"},
                                   {"sqlite:///var/", "names no file"},
                                   {"postgres:u:s3cret@h/d", "must begin with postgres://"},
                                   {"postgres://u:s3cret@s3cret/x@h:1/d", "percent-encoded"},
                                   {"postgres://u:s3cret/s3cret@h/d", "%2F"},
                                   {"postgres://u:s3cret?s3cret@h/d", "%3F"},
                                   {"postgres://u:s3cret@s3cret?x=y@h/d", "percent-encoded"},
                                   {"postgres://s3cret@s3cret@h/d?x=y", "%40"},
                                   {"mongodb://u:s3cret@s3cret@h1:1,h2:2/d?x=y", "%40"},
                                   {"mongodb+srv://u:s3cret/s3cret@h/d", "%2F"}}) {
    const auto url = parse_store_url(c.url);
    ASSERT_FALSE(url) << c.url;
    EXPECT_EQ(traits(url.error().code).exit_code, 2);
    EXPECT_THAT(url.error().message, AllOf(HasSubstr(c.expected), Not(HasSubstr("s3cret"))));
  }
}

TEST(StoreUrl, WhatIsEscapedOrNoPasswordIsTaken) {
  struct Case {
    const char* url;
    const char* shown;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"postgres://u:s3cret%40%2Fx@h:1/d", "postgres://u:***@h:1/d"},
           {"postgres://u:s3cret@h1:1,h2:2/d?x=y", "postgres://u:***@h1:1,h2:2/d"},
           {"postgres://u:s3cret@[::1]:5432/d?x=y", "postgres://u:***@[::1]:5432/d"},
           {"postgres://[::1]/d?user=a@b", "postgres://[::1]/d"},
           {"postgres://h1:1,h2:2/d?user=a@b", "postgres://h1:1,h2:2/d"},
           {"postgres:///d?host=/run/pg", "postgres:///d"},
           {"postgres://u@/d?host=/run/pg", "postgres://u@/d"},
           {"postgres://u:s3cret:x@h/d", "postgres://u:***@h/d"},
           {"mongodb://u:s3cret==@h:1/?appName=@me@", "mongodb://u:***@h:1/"},
           {"mongodb://u@h1,h2/d", "mongodb://u@h1,h2/d"}}) {
    const auto url = parse_store_url(c.url);
    ASSERT_TRUE(url) << c.url;
    EXPECT_EQ(url->shown, c.shown);
  }
}

class OpenStore : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/storeXXXXXX";
    base_ = ::mkdtemp(pattern.data());
    config_.data_dir = base_ + "/data";
    config_.scheduler_ttl = Millis(1000);
    config_.run_ttl = Millis(1000);
    config_.store_connections = 2;
  }
  void TearDown() override { fs::remove_all(base_); }

  Result<std::unique_ptr<store::Store>> open(const std::string& url) {
    config_.store_url = url;
    return open_store(config_, *parse_store_url(url), clock_, rng_);
  }

  std::string base_;
  Config config_;
  SystemClock clock_;
  SystemRng rng_;
};

// Seen here: `--store sqlite:///nope/x.db` made /nope.
TEST_F(OpenStore, OnlyTheDataFolderIsMade) {
  const auto check = [&](const std::string& path) {
    return check_store_folder(config_, {.path = path, .shown = path});
  };
  EXPECT_TRUE(check(config_.data_dir + "/x.db"));
  EXPECT_TRUE(check(base_ + "/x.db"));
  const Status refused = check(base_ + "/nope/x.db");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr(base_ + "/nope does not exist"));
}

TEST_F(OpenStore, AServerThatIsAwayMayComeBackAndAWrongFileMayNot) {
  for (const char* url : {"postgres://u:s3cret@127.0.0.1:1/d",
                          "mongodb://u:s3cret@127.0.0.1:1/d?serverSelectionTimeoutMS=100"}) {
    const auto away = open(url);
    ASSERT_FALSE(away) << url;
    EXPECT_EQ(away.error().code, Code::Unavailable) << away.error().message;
    EXPECT_THAT(away.error().message, AllOf(HasSubstr("127.0.0.1"), Not(HasSubstr("s3cret"))));
  }
  for (const std::string& url : {std::string("postgres://u@h/d?nonsense=1"),
                                 std::string("mongodb://h:port/d"), "sqlite://" + base_}) {
    const auto wrong = open(url);
    ASSERT_FALSE(wrong) << url;
    EXPECT_EQ(wrong.error().code, Code::Invalid) << wrong.error().message;
    EXPECT_EQ(traits(wrong.error().code).exit_code, 2);
  }
}

// Seen here: the server waited for MongoDB, and what was wrong was in no message.
TEST_F(OpenStore, AWrongOptionOfAMongoUriIsNamed) {
  for (const auto& [options, code, expected] :
       {std::tuple{"tlsCAFile=/nope.pem", Code::Invalid, "/nope.pem"},
        {"replicasett=rs0", Code::Invalid, "replicasett"},
        {"replicaSet=other&serverSelectionTimeoutMS=100", Code::Unavailable, "'other'"}}) {
    const auto refused = open(std::string("mongodb://u:s3cret@127.0.0.1:1/d?") + options);
    ASSERT_FALSE(refused) << options;
    EXPECT_EQ(refused.error().code, code) << refused.error().message;
    EXPECT_THAT(refused.error().message, HasSubstr(expected));
    EXPECT_THAT(refused.error().message, Not(HasSubstr("s3cret")));
  }
}

TEST_F(OpenStore, TheFirstProcessSaysWhichKeySealsAndAnotherKeyIsRefused) {
  const auto store = open("sqlite://" + base_ + "/x.db");
  ASSERT_TRUE(store) << describe(store.error());
  const auto ring = [](const std::string& keys) { return *secrets::KeyRing::from_text(keys); };
  const std::string one(64, '1'), two(64, '2');
  EXPECT_TRUE(check_store_key(**store, ring(two))) << "none is kept, and looking keeps none";
  ASSERT_TRUE(keep_store_key(**store, ring(one)));
  EXPECT_TRUE(keep_store_key(**store, ring(one)));
  for (const Status& refused :
       {check_store_key(**store, ring(two)), keep_store_key(**store, ring(two))}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(traits(refused.error().code).exit_code, 2);
    EXPECT_THAT(refused.error().message,
                AllOf(HasSubstr(ring(one).key_ids().front()),
                      HasSubstr(ring(two).key_ids().front()), HasSubstr("TIDEGATE_SECRET_KEY")));
  }
  EXPECT_TRUE(keep_store_key(**store, ring(two + "," + one))) << "while rotating";
  ASSERT_TRUE(replace_store_key(**store, ring(two + "," + one)));
  EXPECT_TRUE(keep_store_key(**store, ring(two)));
  EXPECT_FALSE(keep_store_key(**store, ring(one)));
}

}  // namespace
}  // namespace tidegate::app
