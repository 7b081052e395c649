#pragma once
// Local paths in a connection's configuration, judged when it is written; the engine judges again
// when it opens them (openat2), since links may change meanwhile.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace tidegate::api {

// Immutable; thread-safe.
class PathGuard {
 public:
  // Absolute paths. No roots: every path but the forbidden ones is allowed.
  PathGuard(const std::vector<std::string>& roots, const std::vector<std::string>& forbidden)
      : roots_(roots), forbidden_(forbidden) {}

  // The absolute path with its symbolic links resolved as far as it exists. A relative one is taken
  // from the first root; a pattern (`*`, `?`, `[`) is judged by its folder. The message says what
  // is wrong: outside the roots, or a file of the server itself.
  Result<std::string> resolve(std::string_view path) const;

 private:
  const std::vector<std::string>& roots_;
  const std::vector<std::string>& forbidden_;
};

}  // namespace tidegate::api
