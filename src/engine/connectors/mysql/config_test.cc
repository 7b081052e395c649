#include "engine/connectors/mysql/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace tidegate::engine::mysql {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Result<Config> read(std::string_view text) { return read_config(json::parse(text)->as_object()); }

TEST(MysqlConfig, AUrlOrFieldsSayTheSame) {
  for (
      const char* text :
      {R"({"url":"mysql://ada:s%40e%25@db.example.com:3307/shop?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem"})",
       R"({"url":"mariadb://ada@db.example.com:3307/shop?ssl-mode=verify-identity&ssl-ca=%2Fca.pem","password":"s@e%"})",
       R"({"host":"db.example.com","port":3307,"database":"shop","user":"ada","password":"s@e%","sslMode":"verify-identity","sslCa":"/ca.pem"})"}) {
    const auto config = read(text);
    ASSERT_TRUE(config) << describe(config.error());
    EXPECT_EQ(config->place(), "db.example.com:3307/shop");
    EXPECT_EQ(config->user, "ada");
    EXPECT_EQ(config->password.reveal(), "s@e%");
    EXPECT_EQ(config->ssl_mode, SslMode::VerifyIdentity);
    EXPECT_EQ(config->ssl_ca, "/ca.pem");
  }
}

TEST(MysqlConfig, WhatIsLeftOutHasItsDefault) {
  const auto config = read(R"({"url":"mysql://[::1]/d"})");
  ASSERT_TRUE(config) << describe(config.error());
  EXPECT_EQ(config->place(), "[::1]:3306/d");
  EXPECT_EQ(config->user, "");
  EXPECT_EQ(config->ssl_mode, SslMode::Preferred);
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
        Wrong{R"({"host":"h","database":"d","sslMode":"on"})", "config.sslMode", "verify-identity"},
        Wrong{R"({"url":"mysql://u:canary@h:x/d"})", "config.url", "port"},
        Wrong{R"({"url":"mysql://u:canary@h"})", "config.url", "database"},
        Wrong{R"({"url":"mysql://u:canary@h/"})", "config.url", "database"},
        Wrong{R"({"url":"mysql://u:canary%zz@h/d"})", "config.url", "%25"},
        Wrong{R"({"url":"mysql://u:pa@canary@h/d"})", "config.url", "%40"},
        Wrong{R"({"url":"mysql://u:12/canary@h/d"})", "config.url", "%2F"},
        Wrong{R"({"url":"mysql://u:12?canary@h/d"})", "config.url", "%3F"},
        Wrong{R"({"url":"http://u:canary@h/d"})", "config.url", "mysql://"},
        Wrong{R"({"url":"mysql://u:canary@h/d?ssl-mode=canary"})", "config.url", "ssl-mode"},
        Wrong{R"({"url":"mysql://u:canary@h/d?init-command=canary"})", "config.url", "ssl-mode"},
        Wrong{R"({"url":"mysql://h/d","host":"other"})", "config.host", "beside url"},
        Wrong{R"({"url":"mysql://u:canary@h/d?ssl-mode=verify-ca"})", "config.url", "ssl-ca"},
        Wrong{R"({"host":"h","database":"d","sslMode":"verify-ca"})", "config.sslCa", "verify-ca"},
        Wrong{R"({"url":7})", "config.url", "text"},
        Wrong{R"({"host":"h","database":"d","shema":"x"})", "config.shema", "not a known field"}));

}  // namespace
}  // namespace tidegate::engine::mysql
