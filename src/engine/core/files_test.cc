#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/core/path_policy.h"

namespace tidegate::engine {
namespace {

namespace fs = std::filesystem;

class Paths : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tidegate-paths-XXXXXX").string();
    dir_ = fs::canonical(mkdtemp(pattern.data()));
    fs::create_directories(dir_ / "root/sub");
    fs::create_directories(dir_ / "outside");
    for (const char* name : {"root/a.csv", "root/sub/b.csv", "outside/secret.csv", "store.db"}) {
      std::ofstream(dir_ / name) << "x";
    }
    fs::create_symlink("sub/b.csv", dir_ / "root/inner");
    fs::create_symlink("../outside/secret.csv", dir_ / "root/escape");
    fs::create_symlink("../outside", dir_ / "root/way");
    fs::create_symlink("nowhere", dir_ / "root/dangling");
    fs::create_hard_link(dir_ / "store.db", dir_ / "root/link.db");
  }
  void TearDown() override { fs::remove_all(dir_); }

  PathPolicy policy() const {
    return PathPolicy({(dir_ / "root").string()}, {(dir_ / "store.db").string()});
  }

  fs::path dir_;
};

TEST_F(Paths, WhatLiesBeneathARootIsResolved) {
  EXPECT_EQ(policy().resolve("a.csv", false), (dir_ / "root/a.csv").string());
  EXPECT_EQ(policy().resolve((dir_ / "root/sub/b.csv").string(), false),
            (dir_ / "root/sub/b.csv").string());
  EXPECT_EQ(policy().resolve("inner", false), (dir_ / "root/sub/b.csv").string());
  EXPECT_EQ(policy().resolve("sub/new.db", true), (dir_ / "root/sub/new.db").string());
}

TEST_F(Paths, NothingLeadsOutOfTheRoots) {
  for (const char* path : {"escape", "way/secret.csv", "../outside/secret.csv",
                           "sub/../../store.db", "way/new.db", "/etc/passwd", "../new.db"}) {
    const auto r = policy().resolve(path, true);
    ASSERT_FALSE(r) << path;
    EXPECT_EQ(r.error().code, Code::Forbidden) << path << ": " << r.error().message;
  }
  EXPECT_FALSE(policy().resolve("dangling", true));
}

TEST_F(Paths, TheServersStoreIsRefusedByEveryName) {
  const PathPolicy free({}, {(dir_ / "store.db").string()});
  for (const char* path : {"store.db", "root/link.db", "root/../store.db"}) {
    const auto r = free.resolve((dir_ / path).string(), true);
    ASSERT_FALSE(r) << path;
    EXPECT_EQ(r.error().code, Code::Forbidden);
  }
  EXPECT_TRUE(free.resolve((dir_ / "root/a.csv").string(), false));
  EXPECT_FALSE(policy().resolve("link.db", true));
}

TEST_F(Paths, WhatIsMissingIsSaid) {
  EXPECT_EQ(policy().resolve("none.csv", false).error().code, Code::NotFound);
  EXPECT_EQ(policy().resolve("none/new.db", true).error().code, Code::NotFound);
  EXPECT_EQ(PathPolicy().resolve((dir_ / "none/x").string(), true).error().code, Code::NotFound);
  EXPECT_EQ(policy().resolve("", true).error().code, Code::Invalid);
  EXPECT_EQ(policy().resolve(std::string_view("a\0b", 3), true).error().code, Code::Invalid);
}

}  // namespace
}  // namespace tidegate::engine
