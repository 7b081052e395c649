#pragma once
// Which local files a run may touch.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace tidegate::engine {

// A path is resolved with openat2(2) RESOLVE_BENEATH under one of the roots, so neither `..` nor a
// symbolic link leads out. With no roots (serverless) every path is allowed but the forbidden
// files, which are compared by device and inode too: a hard link to the control store is refused.
//
// Thread-safe: immutable.
class PathPolicy {
 public:
  PathPolicy() = default;
  PathPolicy(std::vector<std::string> roots, std::vector<std::string> forbidden)
      : roots_(std::move(roots)), forbidden_(std::move(forbidden)) {}

  // The real path, free of symbolic links, to open with O_NOFOLLOW. A relative path is taken from
  // the first root, or from the working directory when there are none. The last component may be
  // missing when `may_create`; its folder must exist. `field` names the setting in errors.
  // NotFound: no such file or folder. Forbidden: outside the roots, or the control store.
  Result<std::string> resolve(std::string_view path, bool may_create,
                              std::string_view field = "path") const;

  bool restricted() const { return !roots_.empty(); }
  const std::vector<std::string>& roots() const { return roots_; }

 private:
  Result<std::string> resolve_free(const std::string& path, bool may_create,
                                   std::string_view field) const;
  Result<std::string> resolve_beneath(const std::string& path, bool may_create,
                                      std::string_view field) const;
  Status refuse_forbidden(const std::string& real, std::string_view field) const;

  std::vector<std::string> roots_;
  std::vector<std::string> forbidden_;
};

}  // namespace tidegate::engine
