// What a configuration may say, and that no error of it shows a secret.

#include "engine/connectors/mongodb/config.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <utility>

namespace tidegate::engine::mongodb {
namespace {

std::string problem(const std::string& url) {
  const auto c = read_config({{"url", url}});
  return c ? "" : describe(c.error());
}

TEST(MongoConfig, TheUrlNamesHostsAndDatabase) {
  const auto c = read_config({{"url", "mongodb://u:s3cret@a:1,b:2/shop?replicaSet=r&tls=true"}});
  ASSERT_TRUE(c) << describe(c.error());
  EXPECT_EQ(c->place, "a:1,b:2/shop");
  EXPECT_EQ(read_config({{"url", "mongodb://a"}, {"database", "shop"}})->place, "a:27017/shop");
}

TEST(MongoConfig, WhatIsWrongIsSaidWithoutTheSecret) {
  const std::pair<const char*, const char*> cases[] = {
      {"mongodb://u:x@s3cret@h/db", "more than one @"},
      {"mongodb://u:s3cret/x@h/db", "percent-encoded"},
      {"http://u:s3cret@h/db", "no MongoDB URL"},
      {"mongodb://u:s3cret@h", "names no database"},
      {"mongodb://u:s3cret@h/db?tlss=true", "tlss"},
      {"mongodb://u:s3cret@h/db?tls=true&tlsCAFile=/nowhere", "/nowhere"}};
  for (const auto& [url, words] : cases) {
    const std::string said = problem(url);
    EXPECT_NE(said.find(words), std::string::npos) << url << ": " << said;
    EXPECT_EQ(said.find("s3cret"), std::string::npos) << said;
  }
}

TEST(MongoConfig, ADatabaseThatCannotBeIsRefused) {
  const auto c = read_config({{"url", "mongodb://h"}, {"database", "a b"}});
  ASSERT_FALSE(c);
  EXPECT_NE(describe(c.error()).find("database name"), std::string::npos);
}

TEST(MongoConfig, EachRoleHasItsOwnFields) {
  const boost::json::object source{{"url", "mongodb://h/db"}, {"mode", "document"}};
  const boost::json::object target{{"url", "mongodb://h/db"}, {"timestamps", "truncate"}};
  EXPECT_TRUE(read_config(source)->documents);
  EXPECT_EQ(read_config(target, true)->timestamps, Timestamps::Truncate);
  EXPECT_FALSE(read_config(source, true));
  EXPECT_FALSE(read_config(target));
}

}  // namespace
}  // namespace tidegate::engine::mongodb
