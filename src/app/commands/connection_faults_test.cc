#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "app/commands/commands.h"

namespace tidegate::app {
namespace {

// Seen here: `apply` found out from the server's refusal, after other changes were made.
TEST(ConnectionFaults, AreTheServersOwn) {
  const auto connectors = boost::json::parse(R"([{"name":"file","roles":["source"],"spec":{
      "type":"object","required":["path"],"additionalProperties":false,
      "properties":{"path":{"type":"string"},"header":{"type":"boolean"}}}}])");
  const auto faults = [&](const char* connection, bool source = true) {
    std::string out;
    for (const FieldError& f :
         connection_faults(connectors, source, boost::json::parse(connection).as_object()))
      out += f.field + ": " + f.message + "; ";
    return out;
  };
  EXPECT_EQ(faults(R"({"type":"file","config":{"path":"/x"}})"), "");
  EXPECT_EQ(faults(R"({"type":"file","config":{"paht":"/x","header":1}})"),
            "config.path: is missing; config.paht: is not a known field; did you mean 'path'?; "
            "config.header: must be true or false, not a number; ");
  EXPECT_EQ(faults(R"({"type":"file"})"), "config.path: is missing; ");
  EXPECT_NE(faults(R"({"type":"flie","config":{}})").find("did you mean 'file'?"),
            std::string::npos);
  EXPECT_NE(faults(R"({"type":"file","config":{}})", false).find("no destination connector"),
            std::string::npos);
}

}  // namespace
}  // namespace tidegate::app
