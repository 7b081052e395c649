#include "control/launch/child_host.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tidegate::launch {
namespace {

namespace fs = std::filesystem;

TEST(FindEngine, AFileThatCanBeExecuted) {
  std::string dir = (fs::temp_directory_path() / "tidegate-engine-XXXXXX").string();
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const auto file = [&](const char* name, fs::perms mode) {
    std::ofstream(fs::path(dir) / name) << "#!/bin/sh\n";
    fs::permissions(fs::path(dir) / name, mode);
  };
  file("good", fs::perms::owner_all);
  file("plain", fs::perms::owner_read);
  fs::create_symlink("good", dir + "/link");
  fs::create_symlink("gone", dir + "/dangling");
  const struct {
    const char* name;
    std::string_view reason;  // empty: found
  } table[] = {{"good", ""},
               {"link", ""},
               {"plain", "engine_not_executable"},
               {".", "engine_not_executable"},
               {"dangling", "engine_missing"},
               {"good/below", "engine_missing"},
               {"none", "engine_missing"}};
  for (const auto& row : table) {
    const Status found = find_engine(dir + "/" + row.name);
    EXPECT_EQ(found ? "" : found.error().reason, row.reason) << row.name;
    if (!found) {
      EXPECT_NE(found.error().message.find(dir + "/" + row.name), std::string::npos);
    }
  }
  fs::remove_all(dir);
}

}  // namespace
}  // namespace tidegate::launch
