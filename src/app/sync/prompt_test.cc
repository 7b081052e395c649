#include "app/sync/prompt.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <deque>

namespace tidegate::app {
namespace {

using testing::HasSubstr;
using Texts = std::vector<std::string>;

constexpr const char* kShop = R"json([
  {"name": "orders", "primaryKey": ["id"], "keyCandidates": [],
   "cursorCandidates": ["at", "updated_at", "id"],
   "columns": [{"name": "id", "title": "whole number (int64)", "cursor": true},
               {"name": "at", "title": "timestamp", "cursor": true},
               {"name": "updated_at", "title": "timestamp", "cursor": true},
               {"name": "paid", "title": "true or false", "cursor": false}]},
  {"name": "items", "primaryKey": ["id", "line"], "keyCandidates": [],
   "cursorCandidates": ["updated_at"],
   "columns": [{"name": "id", "title": "whole number (int64)", "cursor": true},
               {"name": "line", "title": "whole number (int64)", "cursor": true},
               {"name": "updated_at", "title": "timestamp", "cursor": true}]},
  {"name": "files", "primaryKey": [], "keyCandidates": ["sku", "id"], "cursorCandidates": [],
   "columns": [{"name": "sku", "title": "text", "cursor": true},
               {"name": "id", "title": "whole number (int64)", "cursor": true}]},
  {"name": "pairs", "primaryKey": ["id", "sku"], "keyCandidates": ["id"], "cursorCandidates": [],
   "columns": [{"name": "id", "title": "whole number (int64)", "cursor": true},
               {"name": "sku", "title": "text", "cursor": true}]},
  {"name": "alien", "primaryKey": [], "keyCandidates": ["x"], "cursorCandidates": ["x"],
   "columns": [{"name": "x", "title": "date", "cursor": true}]},
  {"name": "empty", "columns": [], "primaryKey": [], "keyCandidates": [], "cursorCandidates": []},
  {"name": "back\\slash", "primaryKey": [], "keyCandidates": [], "cursorCandidates": ["b"],
   "columns": [{"name": "b", "title": "date", "cursor": true}]},
  {"name": "bad", "error": "unreadable"}, {"name": "unseen"}])json";

class Prompt : public testing::Test {
 protected:
  Prompt() {
    context_.io.err = [this](std::string_view text) { err_ += text; };
    context_.io.read_line = [this]() -> std::optional<std::string> {
      if (typed_.empty()) return std::nullopt;
      std::string line = typed_.front();
      typed_.pop_front();
      return line;
    };
    params_.check = [](Role role, const std::string& text) -> Status {
      if (text != "wrong") return {};
      return fail(Code::Invalid, fmt::format("no such {}", kRoleNames[static_cast<int>(role)]));
    };
    params_.check_mode = [](const std::string& mode) -> Status {
      if (mode != "full_append") return {};
      return fail(Code::Invalid, "not into this destination");
    };
    params_.discover = [this]() -> Result<boost::json::array> {
      ++discovered_;
      return boost::json::parse(source_).as_array();
    };
  }

  Status ask(const Texts& typed) {
    typed_ = {typed.begin(), typed.end()};
    err_.clear();
    return app::ask(context_, args_, params_);
  }

  cli::Context context_;
  cli::Args args_;
  PromptParams params_;
  std::deque<std::string> typed_;
  std::string err_;
  std::string source_ = kShop;
  int discovered_ = 0;
};

// Seen here: a folder named ~ was made, and a path in quotes was looked for with them.
TEST_F(Prompt, APathIsMeantAsInAShell) {
  context_.io.env = [](const std::string& name) -> std::optional<std::string> {
    return name == "HOME" ? std::optional<std::string>("/people/ann") : std::nullopt;
  };
  ASSERT_TRUE(ask({"~/in.db", "~", "full"}));
  EXPECT_EQ(args_.get("SOURCE"), "/people/ann/in.db");
  EXPECT_EQ(args_.get("DESTINATION"), "/people/ann");
  for (const auto& [typed, path] : std::initializer_list<std::pair<const char*, const char*>>{
           {"'my file.csv'", "my file.csv"},
           {"\"my file.csv\"", "my file.csv"},
           {"\"~/a b\"", "/people/ann/a b"},
           {"''a''", "'a'"},
           {"'a\"", "'a\""},
           {"'", "'"}}) {
    args_ = {};
    ASSERT_TRUE(ask({typed, "out.db", "full"}));
    EXPECT_EQ(args_.get("SOURCE"), path);
  }
}

TEST_F(Prompt, AWrongAnswerIsToldWhatIsWrongAndAskedForAgain) {
  ASSERT_TRUE(ask({"", "wrong", " in.db ", "wrong", "out.db", "ful", "full_append", ""}));
  EXPECT_EQ(args_.get("SOURCE"), "in.db");
  EXPECT_EQ(args_.get("DESTINATION"), "out.db");
  EXPECT_EQ(args_.get("mode"), "full");
  EXPECT_EQ(discovered_, 0) << "nobody asks for columns";
  for (const char* text :
       {"an answer is needed", "not into this destination", "no such source", "no such destination",
        "the mode must be full, full_append, incremental or incremental_append, "
        "not \"ful\""}) {
    EXPECT_THAT(err_, HasSubstr(text));
  }
}

TEST_F(Prompt, OnlyWhatIsMissingIsAskedFor) {
  args_.set("SOURCE", {"in.db"});
  args_.set("DESTINATION", {"out.db"});
  args_.set("incremental", {});
  args_.set("cursor", {"at"});
  args_.set("key", {"id"});
  ASSERT_TRUE(ask({}));
  EXPECT_EQ(err_, "");
  EXPECT_EQ(discovered_, 0);
}

TEST_F(Prompt, ColumnsAreShownAndTheObviousOnesOffered) {
  struct Case {
    Texts entities;
    const char* mode;
    Texts typed;
    const char* cursor;
    Texts key;  // empty: the source's own, unsaid
    Texts said;
  };
  for (const Case& c : std::initializer_list<Case>{
           // Of several candidates the one that is called as such columns are.
           {{"orders"},
            "incremental",
            {"", ""},
            "updated_at",
            {},
            {"Columns of orders:\n  id          whole number (int64), primary key\n  at          "
             "timestamp\n",
             "every change [updated_at]: ", "[id]: "}},
           {{"orders"}, "incremental_append", {"id"}, "id", {}, {}},
           {{"orders"},
            "incremental",
            {"updated", "paid", "at", "id, nope", ",", "id , at"},
            "at",
            {"id", "at"},
            {"there is no column \"updated\"; the columns are listed above",
             "the column \"paid\" is true or false and cannot be a cursor; take one that can be "
             "ordered, such as at, updated_at, id",
             "there is no column \"nope\"", "give at least one column"}},
           // What all have.
           {{"orders", "it*"},
            "incremental",
            {"at", "", ""},
            "updated_at",
            {},
            {"there is no column \"at\" of items", "[the source's own]: ", "Columns of items"}},
           // A key for all would take the place of the one that `pairs` has.
           {{"pairs", "files"},
            "incremental",
            {"id", "", "id"},
            "id",
            {"id"},
            {"separated by commas: ", "an answer is needed"}},
           // Without columns, as a run skips it.
           {{"alien", "empty"}, "incremental_append", {""}, "x", {}, {"[x]: "}},
           // Not looked into: the run checks it.
           {{"un*"},
            "incremental",
            {"", "seen_at", "a, b"},
            "seen_at",
            {"a", "b"},
            {"Not looked into, so their columns are not checked here:\n  unseen\n",
             "an answer is needed"}},
           {{"alien", "unseen"}, "incremental_append", {"y", ""}, "x", {}, {"no column \"y\""}},
           {{"alien", "bad"},
            "incremental_append",
            {""},
            "x",
            {},
            {"These cannot be read, and the run would fail:\n  bad: unreadable\n"}},
           // A backslash is a letter, as to the run.
           {{R"(back\*)"}, "incremental_append", {""}, "b", {}, {R"(Columns of back\slash:)"}},
           {{"files"},
            "incremental",
            {"", "sku", ""},
            "sku",
            {"id"},
            {"an answer is needed", "[id]: "}},
           {{"alien"}, "incremental", {"", ""}, "x", {"x"}, {"[x]: "}}}) {
    args_ = {};
    args_.set("SOURCE", {"in.db"});
    args_.set("DESTINATION", {"out.db"});
    args_.set("mode", {c.mode});
    args_.set("ENTITY", c.entities);
    const Status asked = ask(c.typed);
    ASSERT_TRUE(asked) << asked.error().message << err_;
    EXPECT_EQ(args_.get("cursor"), c.cursor) << err_;
    EXPECT_EQ(args_.all("key", true), c.key) << err_;
    EXPECT_TRUE(typed_.empty()) << err_;
    for (const auto& text : c.said) EXPECT_THAT(err_, HasSubstr(text));
  }
}

// Seen here: all answers were given up.
TEST_F(Prompt, EntitiesThatNothingCanBeMadeOfAreAskedFor) {
  for (const auto& [entities, text] : std::initializer_list<std::pair<Texts, const char*>>{
           {{}, "no column is in all of them"},
           {{"nope"}, "give another SOURCE or ENTITY"},
           {{"empty"}, "give another SOURCE or ENTITY"},
           {{"bad", "empty"}, "bad: unreadable"}}) {
    args_ = {};
    args_.set("SOURCE", {"in.db"});
    args_.set("DESTINATION", {"out.db"});
    args_.set("incremental", {});
    args_.set("ENTITY", entities);
    ASSERT_TRUE(ask({"", "nop", "items, ord*", "", ""})) << err_;
    EXPECT_EQ(args_.all("ENTITY"), (Texts{"items", "ord*"}));
    EXPECT_EQ(args_.get("cursor"), "updated_at");
    EXPECT_THAT(err_, HasSubstr(text));
    EXPECT_THAT(err_, HasSubstr("There are:\n  orders\n  items\n"));
    EXPECT_EQ(discovered_, 1);
    discovered_ = 0;
  }
}

TEST_F(Prompt, ASourceWithNothingInItIsAskedForUnlessTheCommandNamesIt) {
  const std::string shop = std::exchange(source_, R"([{"name": "bad", "error": "unreadable"}])");
  params_.check = [&](Role, const std::string& text) -> Status {
    if (text == "better.db") source_ = shop;
    return {};
  };
  args_.set("ENTITY", {"orders"});
  ASSERT_TRUE(ask({"in.db", "out.db", "incremental", "better.db", "", ""})) << err_;
  EXPECT_EQ(args_.get("SOURCE"), "better.db");
  EXPECT_EQ(args_.get("DESTINATION"), "out.db");
  EXPECT_THAT(err_, HasSubstr("give another SOURCE or ENTITY"));
  args_ = {};
  source_ = R"([{"name": "bad", "error": "unreadable"}])";
  args_.set("SOURCE", {"in.db"});
  const Status none = ask({"out.db", "incremental", "x"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::Invalid);
  EXPECT_THAT(none.error().message, HasSubstr("bad: unreadable"));
  args_.set("incremental", {});
  params_.discover = []() -> Result<boost::json::array> {
    return fail(Code::Unavailable, "locked");
  };
  EXPECT_THAT(ask({}).error().message, HasSubstr("locked"));
}

// Seen here: such a key could not be given, and the offered one was taken for two columns.
TEST_F(Prompt, AColumnMayHaveACommaInItsName) {
  for (const char* typed : {"", R"("a, b")", R"( "a, b" , c)"}) {
    source_ = R"([{"name": "t", "primaryKey": [], "keyCandidates": ["a, b"],
      "cursorCandidates": [], "columns": [{"name": "a, b", "title": "text", "cursor": true},
                                          {"name": "c", "title": "date", "cursor": true}]}])";
    args_ = {};
    args_.set("SOURCE", {"in.db"});
    args_.set("DESTINATION", {"out.db"});
    args_.set("incremental", {});
    ASSERT_TRUE(ask({"a, b", typed})) << err_;
    EXPECT_EQ(args_.get("cursor"), "a, b");
    EXPECT_EQ(args_.all("key", true), typed[0] == ' ' ? (Texts{"a, b", "c"}) : Texts{"a, b"});
    EXPECT_THAT(err_, HasSubstr(R"(["a, b"]: )"));
  }
}

// Seen here: `id` of a CSV file was offered as a key though its values are not unique, and text as
// a cursor though 9 comes after 10.
TEST_F(Prompt, WhatNobodyHasCheckedIsSaid) {
  args_.set("SOURCE", {"in.csv"});
  args_.set("DESTINATION", {"out.db"});
  args_.set("incremental", {});
  args_.set("ENTITY", {"files"});
  ASSERT_TRUE(ask({"sku", ""}));
  EXPECT_THAT(err_, HasSubstr("  sku  text, as a cursor compared letter by letter (fits ISO dates, "
                              "not 9 before 10)\n  id   whole number (int64)\n"));
  EXPECT_THAT(err_, HasSubstr("Rows that share their primary key become one: it must be unique.\n"
                              "Primary key, columns separated by commas [id]: "));
  args_ = {};
  args_.set("SOURCE", {"in.csv"});
  args_.set("DESTINATION", {"out.db"});
  args_.set("incremental", {});
  args_.set("ENTITY", {"orders"});
  ASSERT_TRUE(ask({"", ""}));
  EXPECT_THAT(err_, testing::Not(HasSubstr("must be unique"))) << "the source declares its key";
}

// Seen here: the header of a CSV file set the title of the terminal's window.
TEST_F(Prompt, ATerminalIsToldNothingByNames) {
  source_ = R"json([
    {"name": "n\u001b[1m", "primaryKey": [], "keyCandidates": ["k\u001b]0;x\u0007"],
     "cursorCandidates": ["c\u009b2J"],
     "columns": [{"name": "k\u001b]0;x\u0007", "title": "t\u007f", "cursor": false},
                 {"name": "c\u009b2J", "title": "date", "cursor": true}]},
    {"name": "e\u001b", "error": "why\u001b"}, {"name": "u\u001b"}])json";
  args_.set("SOURCE", {"in"});
  args_.set("DESTINATION", {"out"});
  args_.set("incremental", {});
  ASSERT_TRUE(ask({"k\x1b]0;x\x07", "\x1b[2J", "", ""})) << err_;
  EXPECT_EQ(args_.get("cursor"), "c\u009b2J");
  EXPECT_EQ(args_.all("key", true), Texts{"k\x1b]0;x\x07"});
  for (const char* control : {"\x1b", "\x07", "\x7f", "\u009b"}) {
    EXPECT_THAT(err_, testing::Not(HasSubstr(control)));
  }
  for (const char* text :
       {R"(  k\x1b]0;x\x07  t\x7f)", R"(  c\xc2\x9b2J    date)", R"([k\x1b]0;x\x07]: )",
        R"(the column "k\x1b]0;x\x07" is)", R"(e\x1b: why\x1b)"}) {
    EXPECT_THAT(err_, HasSubstr(text));
  }
}

TEST_F(Prompt, TheEndOfTheInputAndCtrlCEndIt) {
  const Status closed = ask({"in.db"});
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, Code::Cancelled);
  EXPECT_THAT(closed.error().message, HasSubstr("nothing was done"));
  EXPECT_TRUE(err_.ends_with(": \n")) << "the shell's next prompt has a line of its own: " << err_;
  args_ = {};
  params_.check = [](Role, const std::string&) -> Status {
    return fail(Code::Cancelled, "the run was cancelled");
  };
  EXPECT_EQ(ask({"in.db", "again"}).error().code, Code::Cancelled);
  EXPECT_EQ(typed_.size(), 1U);
}

}  // namespace
}  // namespace tidegate::app
