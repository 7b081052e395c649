#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <set>

#include "base/json.h"
#include "control/api/route.h"

namespace tidegate::api {
namespace {

using Operation = std::pair<std::string, std::string>;  // path, method

boost::json::object document() {
  return json::parse(openapi_json(), {.max_bytes = 8 << 20, .max_depth = 64}).value().as_object();
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

TEST(OpenApi, RoutesArePathsAndMethods) {
  std::set<Operation> routes, operations;
  for (const ApiRoute& r : all_routes()) {
    EXPECT_TRUE(routes.emplace(std::string(r.pattern), lower(http::method_name(r.method))).second);
  }
  for (const auto& path : document().at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      if (method.key() != "parameters") operations.emplace(path.key(), method.key());
    }
  }
  EXPECT_EQ(routes, operations);
}

TEST(OpenApi, PublicOperationsAreThePublicRoutes) {
  const auto paths = document().at("paths").as_object();
  for (const ApiRoute& r : all_routes()) {
    const auto& operation = paths.at(r.pattern).at(lower(http::method_name(r.method))).as_object();
    EXPECT_EQ(operation.contains("security"), r.access == Access::Public) << r.pattern;
  }
}

TEST(OpenApi, DryRunIsAParameterOfTheRoutesThatHaveOne) {
  const auto paths = document().at("paths").as_object();
  for (const ApiRoute& r : all_routes()) {
    const auto& operation = paths.at(r.pattern).at(lower(http::method_name(r.method))).as_object();
    const auto* parameters = operation.if_contains("parameters");
    const bool documented = parameters != nullptr &&
                            json::write(*parameters).find("parameters/dryRun") != std::string::npos;
    EXPECT_EQ(documented, r.has_dry_run) << r.pattern;
    EXPECT_TRUE(!r.has_dry_run || r.method != http::Method::Get) << r.pattern;
  }
}

TEST(Routes, AWorkspaceInThePathIsAlwaysChecked) {
  for (const ApiRoute& r : all_routes()) {
    const bool in_path = r.pattern.find("{ws}") != std::string_view::npos;
    EXPECT_EQ(in_path, r.scope == Scope::Workspace) << r.pattern;
  }
}

// A write needs more than reading does; what handles credentials needs an admin.
TEST(Routes, WritesNeedAtLeastAnOperator) {
  for (const ApiRoute& r : all_routes()) {
    if (r.method != http::Method::Get) {
      EXPECT_GE(r.access, Access::Operator) << r.pattern;
    }
    if (r.pattern.starts_with("/api/tokens")) {
      EXPECT_EQ(r.access, Access::Admin) << r.pattern;
      EXPECT_EQ(r.scope, Scope::Instance) << r.pattern;
    }
  }
}

}  // namespace
}  // namespace tidegate::api
