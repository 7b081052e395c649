#include <cstddef>

#include "control/api/api.h"

// Made by tidegate_embed (cmake/embed.cmake).
extern "C" const char tidegate_openapi_begin[];
extern "C" const char tidegate_openapi_end[];

namespace tidegate::api {

std::string_view openapi_json() {
  return {tidegate_openapi_begin,
          static_cast<std::size_t>(tidegate_openapi_end - tidegate_openapi_begin)};
}

}  // namespace tidegate::api
