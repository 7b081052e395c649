#include "engine/core/registry.h"

#include <fmt/format.h>

#include "base/json.h"

namespace tidegate::engine {

Result<const Connector*> find_connector(std::span<const Connector* const> all,
                                        std::string_view name) {
  std::vector<std::string_view> names;
  for (const Connector* c : all) {
    if (c->name == name) return c;
    names.push_back(c->name);
  }
  return fail(
      Code::Invalid,
      fmt::format("there is no connector '{}'; use {}", name.substr(0, 64), json::list_of(names)),
      "unknown_connector");
}

}  // namespace tidegate::engine
