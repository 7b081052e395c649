// `tidegate doctor` looks and changes nothing.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>

#include <filesystem>

#include "app/commands/commands.h"
#include "base/json.h"
#include "control/store/sqlite/sqlite_store.h"

namespace tidegate::app {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class Doctor : public testing::Test {
 protected:
  Doctor() {
    std::string pattern = testing::TempDir() + "doctorXXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ + "/tidegate.db";
    EXPECT_TRUE(store::open_sqlite_store({.path = path_}, clock_));
    context_.io.out = [this](std::string_view text) { out_ += text; };
    context_.io.err = [](std::string_view) {};
    context_.io.env = [](const std::string&) { return std::nullopt; };
  }
  ~Doctor() override { std::filesystem::remove_all(folder_); }

  void sql(const std::string& script) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, script.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << script;
    sqlite3_close(db);
  }
  // What the doctor says of the store: "status: detail | remedy".
  std::string store_row() {
    out_.clear();
    cli::Args args;
    args.set("data", {folder_});
    args.set("listen", {"127.0.0.1:0"});
    args.set("engine", {"/none"});  // nothing is asked of it here
    args.set("output", {"json"});
    EXPECT_TRUE(doctor_command().action(context_, args));
    const auto rows = json::parse(out_);
    if (!rows) return "no JSON: " + out_;
    for (const auto& row : rows->as_array()) {
      const auto text = [&](const char* name) { return std::string(row.at(name).as_string()); };
      if (text("check") != "store") continue;
      return fmt::format("{}: {} | {}", text("status"), text("detail"), text("remedy"));
    }
    return "no row";
  }

  const SystemClock clock_;
  std::string folder_, path_, out_;
  cli::Context context_;
};

// Seen here: a look at a store of an older version migrated it, beneath the servers that ran on it.
TEST_F(Doctor, AStoreOfAnotherVersionIsToldOfAndLeftAlone) {
  const int needed = store::sqlite_schema(path_)->needed;
  EXPECT_EQ(store_row(), "ok: " + path_ + " | ");
  sql(fmt::format("DELETE FROM schema_migrations WHERE version = {}", needed));
  EXPECT_THAT(store_row(), AllOf(HasSubstr("warning: "), HasSubstr("tidegate migrate"),
                                 HasSubstr(fmt::format("has schema version {}", needed - 1))));
  EXPECT_EQ(store::sqlite_schema(path_)->present, needed - 1);
  sql(fmt::format("INSERT INTO schema_migrations VALUES ({}, 'new', 0)", needed + 1));
  EXPECT_THAT(store_row(), AllOf(HasSubstr("failed: "), HasSubstr("newer tidegate")));
}

// Seen here: a restore that was killed left a store of which all was said to be well.
TEST_F(Doctor, AHalfRestoredStoreIsNotWell) {
  const auto store = store::open_sqlite_store({.path = path_}, clock_);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->begin_restore("a1"));
  EXPECT_THAT(store_row(), MatchesRegex("failed: [^|]+ \\| [^|]*repeat the same[^|]*"));
  ASSERT_TRUE((*store)->end_restore("a1"));
  EXPECT_EQ(store_row(), "ok: " + path_ + " | ");
}

}  // namespace
}  // namespace tidegate::app
