#include "control/api/path_guard.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace tidegate::api {
namespace {

namespace fs = std::filesystem;

// Links resolved, `..` folded in the part that does not exist. weakly_canonical alone takes a link
// whose target does not exist for a name: writing to it would make the target, wherever that is.
fs::path real(const fs::path& path) {
  constexpr int kMaxLinks = 40;  // as the kernel's
  std::error_code ec;
  fs::path at = path;
  for (int links = 0; links < kMaxLinks; ++links) {
    fs::path resolved = fs::weakly_canonical(at, ec);
    if (ec) return path.lexically_normal();
    fs::path walked;
    auto part = resolved.begin();
    for (; part != resolved.end(); ++part) {
      walked /= *part;
      if (fs::is_symlink(fs::symlink_status(walked, ec))) break;
    }
    if (part == resolved.end()) return resolved;
    const fs::path target = fs::read_symlink(walked, ec);
    if (ec) return path.lexically_normal();
    at = walked.parent_path() / target;  // an absolute target replaces what is before it
    for (++part; part != resolved.end(); ++part) at /= *part;
  }
  return path.lexically_normal();
}

bool beneath(const fs::path& path, const fs::path& root) {
  const auto [r, p] = std::ranges::mismatch(root, path);
  return r == root.end() || (std::next(r) == root.end() && r->empty());
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code ec;
  return a == b || (fs::equivalent(a, b, ec) && !ec);
}

// The path up to the first component with a wildcard.
fs::path fixed_part(const fs::path& path) {
  fs::path fixed;
  for (const fs::path& part : path) {
    if (part.native().find_first_of("*?[") != std::string::npos) break;
    fixed /= part;
  }
  return fixed;
}

}  // namespace

Result<std::string> PathGuard::resolve(std::string_view text) const {
  if (text.starts_with("~")) {
    return fail(Code::Invalid, "begins with '~', which only a shell expands; write the whole path");
  }
  if (text.starts_with("file:")) return fail(Code::Invalid, "is a URL; write the path alone");
  fs::path path(text);
  if (path.is_relative() && !roots_.empty()) path = fs::path(roots_.front()) / path;
  std::error_code ec;
  if (path.is_relative()) path = fs::absolute(path, ec);
  const fs::path fixed = fixed_part(path);
  const fs::path resolved = real(fixed);
  for (const fs::path& part : path.lexically_relative(fixed)) {
    if (part == "..") {
      return fail(Code::Invalid, "has '..' after a wildcard; write the path without it");
    }
  }
  for (const std::string& f : forbidden_) {
    if (same_file(resolved, real(f))) {
      return fail(Code::Invalid, "is a file of the Tidegate server itself; choose another file");
    }
  }
  const bool allowed = roots_.empty() || std::ranges::any_of(roots_, [&](const std::string& root) {
                         return beneath(resolved, real(root));
                       });
  if (!allowed) {
    return fail(
        Code::Invalid,
        fmt::format("lies outside the folders that this server may use ({}); move the file there "
                    "or add its folder to paths.roots",
                    fmt::join(roots_, ", ")));
  }
  return resolved.string();
}

}  // namespace tidegate::api
