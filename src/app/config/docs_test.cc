#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "app/config/config.h"

namespace tidegate::app {
namespace {

TEST(ConfigDocs, TheTableInTheDocumentIsTheTableInTheCode) {
  std::ifstream in(TIDEGATE_SOURCE_DIR "/docs/ops/configuration.md");
  std::stringstream text;
  text << in.rdbuf();
  std::string expected =
      "| key | variable | type | default | restart | what |\n|---|---|---|---|---|---|\n";
  for (const Key& k : config_keys()) {
    expected +=
        fmt::format("| `{}` | `{}` | {} | {} | {} | {} |\n", k.name, env_name(k), type_name(k.type),
                    k.fallback.empty() ? "" : fmt::format("`{}`", k.fallback),
                    k.needs_restart ? "yes" : "no", k.text);
  }
  EXPECT_NE(text.str().find(expected + "\n"), std::string::npos)
      << "docs/ops/configuration.md must have:\n"
      << expected;
}

}  // namespace
}  // namespace tidegate::app
