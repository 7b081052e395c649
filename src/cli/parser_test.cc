#include <gtest/gtest.h>

#include "base/version.h"
#include "cli/command.h"

namespace tidegate::cli {
namespace {

std::vector<Command> table() {
  return {
      {"jobs list", "List jobs", {output_option(), {"--limit", "How many"}}, {}},
      {"jobs run",
       "Run a job",
       {{"JOB", "The job", Arity::One, true},
        {"--wait", "Wait", Arity::Flag},
        {"-f,--file", "File"}},
       {}},
      {"sync",
       "Copy",
       {{"SOURCE", "From", Arity::One, true},
        {"DESTINATION", "To", Arity::One, true},
        {"ENTITY", "What", Arity::Many},
        {"--key", "Key columns", Arity::Many}},
       {}},
  };
}
const std::vector<Group> kGroups = {{"jobs", "Manage jobs"}};

Result<Invocation> parse_words(const std::vector<Command>& commands,
                               std::vector<std::string> words) {
  return parse(commands, kGroups, words);
}

TEST(Parser, BindsOptionsAndPositionals) {
  const auto commands = table();
  const auto run = parse_words(commands, {"jobs", "run", "nightly", "--wait", "-f", "a.yaml"});
  ASSERT_TRUE(run) << run.error().message;
  ASSERT_EQ(run->command, &commands[1]);
  EXPECT_EQ(run->args.get("JOB"), "nightly");
  EXPECT_TRUE(run->args.has("wait"));
  EXPECT_EQ(run->args.get("file"), "a.yaml");

  const auto sync =
      parse_words(commands, {"sync", "--key", "a,b", "x.csv", "--key=c", "y.db", "e1", "e2"});
  ASSERT_TRUE(sync) << sync.error().message;
  EXPECT_EQ(sync->args.get("SOURCE"), "x.csv");
  EXPECT_EQ(sync->args.get("DESTINATION"), "y.db");
  EXPECT_EQ(sync->args.all("ENTITY"), (std::vector<std::string>{"e1", "e2"}));
  EXPECT_EQ(sync->args.all("key", true), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Parser, HelpIsNoError) {
  const auto commands = table();
  for (const auto& words : std::vector<std::vector<std::string>>{
           {}, {"--help"}, {"jobs"}, {"jobs", "--help"}, {"jobs", "run", "--help"}}) {
    const auto r = parse_words(commands, words);
    ASSERT_TRUE(r) << r.error().message;
    EXPECT_EQ(r->command, nullptr);
    EXPECT_NE(r->help, "");
  }
  EXPECT_NE(parse_words(commands, {"jobs", "run", "--help"})->help.find("--wait"),
            std::string::npos);
}

TEST(Parser, TheVersionIsAnOptionToo) {
  const auto commands = table();
  const auto r = parse_words(commands, {"--version"});
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->help, "tidegate " + std::string(version()) + "\n");
}

TEST(Parser, WrongUseSaysWhatAndSuggests) {
  const auto commands = table();
  struct Case {
    std::vector<std::string> words;
    const char* expected;
  };
  for (const Case& c : std::vector<Case>{
           {{"jbos"}, "there is no command \"jbos\"; did you mean \"jobs\"?"},
           {{"jbos", "--help"}, "there is no command \"jbos\"; did you mean \"jobs\"?"},
           {{"jobs", "lst", "--help"}, "there is no command \"lst\"; did you mean \"list\"?"},
           {{"jobs", "lst"}, "did you mean \"list\"? (see `tidegate jobs --help`)"},
           {{"jobs", "run", "x", "--wiat"},
            "unexpected option \"--wiat\"; did you mean \"--wait\"?"},
           {{"jobs", "run", "x", "y"}, "unexpected value \"y\""},
           {{"jobs", "run"}, "JOB is required"},
           {{"jobs", "list", "--output", "xml"}, "must be table, json or yaml, not \"xml\""},
           // Seen here: "--output: At Most 1 required but received 2".
           {{"jobs", "list", "-o", "json", "--output", "yaml"},
            "-o,--output is given more than once; give it once (see `tidegate jobs list --help`)"},
           {{"jobs", "list", "--limit"}, "--limit"}}) {
    const auto r = parse_words(commands, c.words);
    ASSERT_FALSE(r) << c.expected;
    EXPECT_EQ(r.error().code, Code::Invalid);
    EXPECT_NE(r.error().message.find(c.expected), std::string::npos) << r.error().message;
  }
}

TEST(Lists, ACommaInAnItemStandsInQuotes) {
  using Texts = std::vector<std::string>;
  for (const auto& [text, items] :
       std::initializer_list<std::pair<const char*, Texts>>{{"a", {"a"}},
                                                            {"a,b", {"a", "b"}},
                                                            {" a , b ", {"a", "b"}},
                                                            {",a,,b,", {"a", "b"}},
                                                            {"", {}},
                                                            {R"("a,b",c)", {"a,b", "c"}},
                                                            {R"(c , "a,b" )", {"c", "a,b"}},
                                                            {R"(" a ")", {" a "}},
                                                            {R"("say ""hi""")", {R"(say "hi")"}},
                                                            {R"("")", {}},
                                                            // Not CSV: taken as it is.
                                                            {R"(5" disk,b)", {R"(5" disk)", "b"}},
                                                            {R"("a,b)", {R"("a)", "b"}},
                                                            {R"("a"b,c)", {R"("a"b)", "c"}}}) {
    EXPECT_EQ(split_list(text), items) << text;
  }
  for (const char* name : {"a", "a,b", " a", "\"a\"", "a\"b", "a, \"b\""}) {
    EXPECT_EQ(split_list(list_item(name)), Texts{name});
  }
  EXPECT_EQ(list_item("a b"), "a b") << "no quotes where none are needed";
}

TEST(Parser, IntegersAreChecked) {
  Args args;
  args.set("limit", {"12"});
  EXPECT_EQ(args.integer("limit", 1, 100).value(), 12);
  EXPECT_FALSE(args.integer("absent", 1, 100).value());
  for (const char* wrong : {"0", "101", "x", "1.5", "", "12 "}) {
    args.set("limit", {wrong});
    EXPECT_FALSE(args.integer("limit", 1, 100)) << wrong;
  }
}

TEST(Terminal, ClipsByColumns) {
  EXPECT_EQ(columns("añ日"), 4U);
  EXPECT_EQ(clip("hello", 5), "hello");
  EXPECT_EQ(clip("hello", 4), "hel…");
  EXPECT_EQ(clip("日本語", 4), "日…");
}

}  // namespace
}  // namespace tidegate::cli
