#include "engine/core/condition.h"

#include <fmt/format.h>

namespace tidegate::engine {

Error of_condition(std::string_view entity, std::string_view what, Error error) {
  error.message =
      fmt::format("entity \"{}\": the condition `where` {}: {}", entity, what, error.message);
  return error;
}

}  // namespace tidegate::engine
