// What a configuration may say, and that no error of it shows a secret.

#include "engine/connectors/mongodb/config.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <filesystem>
#include <fstream>
#include <utility>

namespace tidegate::engine::mongodb {
namespace {

std::string problem(const std::string& url) {
  const auto c = read_config({{"url", url}}, PathPolicy());
  return c ? "" : describe(c.error());
}

TEST(MongoConfig, TheUrlNamesHostsAndDatabase) {
  const auto c =
      read_config({{"url", "mongodb://u:s3cret@a:1,b:2/shop?replicaSet=r&tls=true"}}, PathPolicy());
  ASSERT_TRUE(c) << describe(c.error());
  EXPECT_EQ(c->place, "a:1,b:2/shop");
  EXPECT_EQ(read_config({{"url", "mongodb://a"}, {"database", "shop"}}, PathPolicy())->place,
            "a:27017/shop");
}

TEST(MongoConfig, WhatIsWrongIsSaidWithoutTheSecret) {
  const std::pair<const char*, const char*> cases[] = {
      {"mongodb://u:x@s3cret@h/db", "more than one @"},
      {"mongodb://u:s3cret/x@h/db", "percent-encoded"},
      {"http://u:s3cret@h/db", "no MongoDB URL"},
      {"mongodb://u:s3cret@h", "names no database"},
      {"mongodb://u:s3cret@h/db?tlss=true", "tlss"},
      {"mongodb://u:x@h/s3cret@h2", "more than one @"},
      {"mongodb://u:s3cret@h/db?tls=true&tls=false", "tls, more than once"},
      {"mongodb://u:s3cret@h/db?tls=", "tls, without a value"},
      {"mongodb://u:s3cret@h/db?waitQueueTimeoutMS=5", "waitqueuetimeoutms"},
      {"mongodb://u:s3cret@h/db?authMechanism=PLAIN", "authMechanism=PLAIN"},
      {"mongodb://u:s3cret@h/db?authMechanism=GSSAPI&authMechanismProperties=SERVICE_NAME:x",
       "authMechanismProperties"},
      {"mongodb://u:s3cret@h/db?tls=true&tlsCAFile=/nowhere", "/nowhere"}};
  for (const auto& [url, words] : cases) {
    const std::string said = problem(url);
    EXPECT_NE(said.find(words), std::string::npos) << url << ": " << said;
    EXPECT_EQ(said.find("s3cret"), std::string::npos) << said;
  }
}

TEST(MongoConfig, TheUsualOptionsAreTaken) {
  EXPECT_EQ(problem("mongodb://u:p@h/db?replicaSet=r&authSource=admin&authMechanism=SCRAM-SHA-256"
                    "&ssl=true&tlsInsecure=true&readPreference=secondary&maxStalenessSeconds=90"
                    "&w=majority&readConcernLevel=local&retryWrites=true&retryReads=true"
                    "&appName=a&compressors=zlib&connectTimeoutMS=1&socketTimeoutMS=1"
                    "&serverSelectionTimeoutMS=1&directConnection=false"),
            "");
}

// Symptom: a path behind the policy's back told whether any file of the machine is there.
TEST(MongoConfig, FilesOfTlsAreTakenFromWhereThePolicyAllows) {
  const std::string root = std::filesystem::canonical(testing::TempDir()).string() + "/mongo_tls";
  std::filesystem::create_directories(root);
  std::ofstream(root + "/ca.pem") << "x";
  const PathPolicy paths({root}, {});
  for (const char* option : {"tlsCAFile", "tlsCertificateKeyFile", "sslCertificateAuthorityFile"}) {
    const std::string url = std::string("mongodb://h/db?tls=true&") + option + "=";
    const auto out = read_config({{"url", url + "/etc/passwd"}}, paths);
    ASSERT_FALSE(out) << option;
    EXPECT_NE(describe(out.error()).find("/etc/passwd"), std::string::npos);
    const auto in = read_config({{"url", url + "ca.pem"}}, paths);
    ASSERT_TRUE(in) << describe(in.error());
    EXPECT_EQ(in->ca_file + in->key_file, root + "/ca.pem");
  }
}

TEST(MongoConfig, ADatabaseThatCannotBeIsRefused) {
  const auto c = read_config({{"url", "mongodb://h"}, {"database", "a b"}}, PathPolicy());
  ASSERT_FALSE(c);
  EXPECT_NE(describe(c.error()).find("database name"), std::string::npos);
}

TEST(MongoConfig, EachRoleHasItsOwnFields) {
  const boost::json::object source{{"url", "mongodb://h/db"}, {"mode", "document"}};
  const boost::json::object target{{"url", "mongodb://h/db"}, {"timestamps", "truncate"}};
  EXPECT_TRUE(read_config(source, PathPolicy())->documents);
  EXPECT_EQ(read_config(target, PathPolicy(), true)->timestamps, Timestamps::Truncate);
  EXPECT_FALSE(read_config(source, PathPolicy(), true));
  EXPECT_FALSE(read_config(target, PathPolicy()));
}

}  // namespace
}  // namespace tidegate::engine::mongodb
