#include "cli/yaml.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace tidegate::cli {
namespace {

TEST(Yaml, ScalarsByTheCoreSchema) {
  struct Case {
    const char* yaml;
    const char* json;
  };
  for (const Case& c : std::initializer_list<Case>{{"a: 1", R"({"a":1})"},
                                                   {"a: '1'", R"({"a":"1"})"},
                                                   {"a: \"true\"", R"({"a":"true"})"},
                                                   {"a: true", R"({"a":true})"},
                                                   {"a: no", R"({"a":"no"})"},
                                                   {"a: 1:30", R"({"a":"1:30"})"},
                                                   {"a: ~", R"({"a":null})"},
                                                   {"a:", R"({"a":null})"},
                                                   {"a: 1.5", R"({"a":1.5E0})"},
                                                   {"a: -3", R"({"a":-3})"},
                                                   {"a: 1h30m", R"({"a":"1h30m"})"},
                                                   {"a: 2026-01-01", R"({"a":"2026-01-01"})"},
                                                   {"a: inf", R"({"a":"inf"})"},
                                                   {"a: [x, {y: 2}]", R"({"a":["x",{"y":2}]})"},
                                                   {"a: '* * * * *'", R"({"a":"* * * * *"})"},
                                                   {"{\"a\": [1, null]}", R"({"a":[1,null]})"},
                                                   {"a: &x [1]\nb: *x", R"({"a":[1],"b":[1]})"},
                                                   {"", "null"}}) {
    const auto v = read_yaml(c.yaml, "f.yaml");
    ASSERT_TRUE(v) << c.yaml << ": " << v.error().message;
    EXPECT_EQ(boost::json::serialize(*v), c.json) << c.yaml;
  }
}

TEST(Yaml, ErrorsNameFileAndPlace) {
  struct Case {
    const char* yaml;
    const char* expected;
  };
  for (const Case& c :
       std::initializer_list<Case>{{"a: [1", "f.yaml, line"},
                                   {"a: 1\na: 2", "line 2, column 1: the key \"a\" is given twice"},
                                   {"[a]: 1", "a key must be text"},
                                   {"a: 1\n---\nb: 2", "line 2, column 1: a second YAML document"},
                                   // yaml-cpp gives such a comma a document without end.
                                   {"a: 1\n, 2. ", "f.yaml, line 2"},
                                   {", 2. ", "f.yaml, line 1, column 1"},
                                   {"]", "f.yaml, line 1, column 1"},
                                   {"a: 1\nb: \xD9x", "line 2: the text is not UTF-8"},
                                   {"\ta: 1", "f.yaml, line"}}) {
    const auto v = read_yaml(c.yaml, "f.yaml");
    ASSERT_FALSE(v) << c.yaml;
    EXPECT_EQ(v.error().code, Code::Malformed);
    EXPECT_NE(v.error().message.find(c.expected), std::string::npos) << v.error().message;
  }
}

TEST(Yaml, DeepAndExplodingDocumentsAreRefused) {
  EXPECT_FALSE(read_yaml(std::string(100'000, '['), "f"));
  EXPECT_FALSE(read_yaml(std::string(70, '[') + std::string(70, ']'), "f"));
  std::string bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ",*a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  const auto v = read_yaml(bomb, "f");
  ASSERT_FALSE(v);
  EXPECT_NE(v.error().message.find("too many values"), std::string::npos) << v.error().message;
}

TEST(Yaml, WritesWhatItReadsBack) {
  const auto v = boost::json::parse(
      R"({"a":"1","b":1,"c":"true","d":["x: y","# no","",null,1.5],"e":{},"f":[],"g":"two\nlines","h":"* * * * *","i":"${X}"})");
  const std::string text = write_yaml(v);
  const auto back = read_yaml(text, "f");
  ASSERT_TRUE(back) << text;
  EXPECT_EQ(*back, v) << text;
}

TEST(Yaml, ExpandsVariables) {
  const EnvLookup env = [](const std::string& name) -> std::optional<std::string> {
    if (name == "A") return "va";
    if (name == "EMPTY") return "";
    return std::nullopt;
  };
  const auto v =
      expand_env(boost::json::parse(
                     R"({"x":"${A}/${B:-d}","y":["$${A} $A","${EMPTY}","${EMPTY:-e}"],"${A}":1})"),
                 env);
  ASSERT_TRUE(v);
  EXPECT_EQ(boost::json::serialize(*v), R"({"x":"va/d","y":["${A} $A","","e"],"${A}":1})");

  const auto missing =
      expand_env(boost::json::parse(R"({"sources":{"s":{"p":["${NOPE}"]}}})"), env);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "environment variables are missing");
  ASSERT_EQ(missing.error().details.size(), 1U);
  EXPECT_EQ(missing.error().details[0].field, "sources.s.p[0]");
  EXPECT_NE(missing.error().details[0].message.find("NOPE"), std::string::npos);

  // Seen here: it was called missing, and A is set.
  const auto open = expand_env(boost::json::parse(R"({"p":"${NOPE}","q":"x${A"})"), env);
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().message, "a reference to an environment variable is not valid");
  ASSERT_EQ(open.error().details.size(), 2U);
  EXPECT_EQ(open.error().details[1].message,
            "has a ${ without its }; add it, or write $${ for a literal ${");
}

}  // namespace
}  // namespace tidegate::cli
