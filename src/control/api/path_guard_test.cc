#include "control/api/path_guard.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tidegate::api {
namespace {

class PathGuardTest : public ::testing::Test {
 protected:
  PathGuardTest() {
    std::string t = (std::filesystem::temp_directory_path() / "tidegate-guard-XXXXXX").string();
    dir_ = std::filesystem::canonical(mkdtemp(t.data())).string();
    for (const char* d : {"/root", "/root/sub", "/rootling", "/out"})
      std::filesystem::create_directory(dir_ + d);
    std::filesystem::create_directory_symlink(dir_ + "/out", dir_ + "/root/away");
    std::filesystem::create_directory_symlink(dir_ + "/root/sub", dir_ + "/root/inside");
    std::ofstream(dir_ + "/root/store.db") << "x";
    std::filesystem::create_hard_link(dir_ + "/root/store.db", dir_ + "/root/hard.db");
    roots_ = {dir_ + "/root"};
    forbidden_ = {dir_ + "/root/store.db"};
  }
  ~PathGuardTest() override { std::filesystem::remove_all(dir_); }
  std::string resolve(const std::string& path) const {
    return PathGuard(roots_, forbidden_).resolve(path).value_or("refused");
  }

  std::string dir_;
  std::vector<std::string> roots_, forbidden_;
};

TEST_F(PathGuardTest, ResolvesBeneathTheRoot) {
  EXPECT_EQ(resolve("a.db"), dir_ + "/root/a.db");
  EXPECT_EQ(resolve("./sub/../a.db"), dir_ + "/root/a.db");
  EXPECT_EQ(resolve("inside/a.db"), dir_ + "/root/sub/a.db");
  EXPECT_EQ(resolve(dir_ + "/root/no/such/a.db"), dir_ + "/root/no/such/a.db");
  EXPECT_EQ(resolve("sub/*.csv"), dir_ + "/root/sub");
}

TEST_F(PathGuardTest, RefusesEveryWayOut) {
  for (const std::string& path :
       {std::string("/etc/passwd"), std::string(".."), std::string("../out/a"),
        std::string("away/a.db"), std::string("sub/../../out/a"), dir_ + "/rootling/a",
        std::string("*/../../x"), std::string("away/*.csv"), dir_ + "/root/../rootling/x"}) {
    EXPECT_EQ(resolve(path), "refused") << path;
  }
}

// Opening such a link for writing made a file outside.
TEST_F(PathGuardTest, FollowsLinksWhoseTargetDoesNotExist) {
  const auto link = [&](const char* to, const char* name) {
    std::filesystem::create_symlink(to, dir_ + "/root/" + name);
  };
  link("../out/new.db", "relative.db");
  link((dir_ + "/out/new.db").c_str(), "absolute.db");
  link("absolute.db", "twice.db");
  link("../out/no/such", "folder");
  link("sub/new.db", "kept.db");
  for (const char* path :
       {"relative.db", "absolute.db", "twice.db", "folder/new.db", "sub/../twice.db"}) {
    EXPECT_EQ(resolve(path), "refused") << path;
  }
  EXPECT_EQ(resolve("kept.db"), dir_ + "/root/sub/new.db");
}

TEST_F(PathGuardTest, RefusesTheStoreUnderAnyName) {
  for (const char* path : {"store.db", "./sub/../store.db", "inside/../store.db", "hard.db"}) {
    EXPECT_EQ(resolve(path), "refused") << path;
  }
  roots_.clear();
  EXPECT_EQ(resolve(dir_ + "/root/store.db"), "refused");
  EXPECT_EQ(resolve(dir_ + "/out/a"), dir_ + "/out/a");
}

}  // namespace
}  // namespace tidegate::api
