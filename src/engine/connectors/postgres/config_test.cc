#include "engine/connectors/postgres/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace tidegate::engine::postgres {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Result<Config> read(std::string_view text) { return read_config(json::parse(text)->as_object()); }

std::string parameter(const Config& config, std::string_view keyword) {
  for (const auto& [name, value] : config.parameters) {
    if (name == keyword) return std::string(value.reveal());
  }
  return "-";
}

TEST(PostgresConfig, AUrlOrFieldsSayTheSame) {
  for (
      const char* text :
      {R"({"url":"postgresql://ada:s%40e@db.example.com:6432/shop?sslmode=verify-full"})",
       R"({"host":"db.example.com","port":6432,"database":"shop","user":"ada","password":"s@e","sslMode":"verify-full"})"}) {
    const auto config = read(text);
    ASSERT_TRUE(config) << describe(config.error());
    EXPECT_EQ(config->place, "db.example.com:6432/shop");
    EXPECT_EQ(config->user, "ada");
    EXPECT_EQ(parameter(*config, "password"), "s@e");
    EXPECT_EQ(parameter(*config, "sslmode"), "verify-full");
    EXPECT_EQ(parameter(*config, "connect_timeout"), "15");
  }
}

TEST(PostgresConfig, APasswordBesideTheUrlCounts) {
  const auto config = read(R"({"url":"postgresql://ada@h/d?connect_timeout=3","password":"p"})");
  ASSERT_TRUE(config);
  EXPECT_EQ(parameter(*config, "password"), "p");
  EXPECT_EQ(parameter(*config, "connect_timeout"), "3");
}

struct Wrong {
  const char* config;
  const char* field;
  const char* says;
};
class WrongConfig : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongConfig, NamesTheFieldAndTheRemedyAndNoSecret) {
  const auto config = read(GetParam().config);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::Invalid);
  EXPECT_THAT(describe(config.error()), HasSubstr(GetParam().field));
  EXPECT_THAT(describe(config.error()), HasSubstr(GetParam().says));
  EXPECT_THAT(describe(config.error()), Not(HasSubstr("canary")));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, WrongConfig,
    ::testing::Values(
        Wrong{"{}", "config.host", "missing"},
        Wrong{R"({"host":"h"})", "config.database", "missing"},
        Wrong{R"({"host":"h","database":"d","port":0})", "config.port", "1"},
        Wrong{R"({"host":"h","database":"d","sslMode":"on"})", "config.sslMode", "verify-full"},
        Wrong{R"({"url":"postgresql://u:canary@h:x/d"})", "config.url", "port"},
        Wrong{R"({"url":"postgresql://u:pa@canary@h/d"})", "config.url", "%40"},
        Wrong{R"({"url":"postgresql://u:12/canary@h/d"})", "config.url", "%2F"},
        Wrong{R"({"url":"postgresql://u:canary@h/d?service=x"})", "config.url", "service"},
        Wrong{R"({"url":"postgresql://u:canary@h/d?passfile=/etc/passwd"})", "config.url",
              "passfile"},
        Wrong{R"({"url":"postgresql://h/d","host":"other"})", "config.host", "beside url"},
        Wrong{R"({"url":7})", "config.url", "text"},
        Wrong{R"({"host":"h","database":"d","schemas":[""]})", "config.schemas", "empty"},
        Wrong{R"({"host":"h","database":"d","shema":"x"})", "config.shema", "not a known field"}));

}  // namespace
}  // namespace tidegate::engine::postgres
