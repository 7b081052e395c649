#include "engine/core/path_policy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "base/unique_fd.h"

namespace tidegate::engine {
namespace {

UniqueFd open_beneath(int root, const std::string& relative) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, root, relative.c_str(), &how, sizeof how)));
}

std::optional<std::string> path_of(const UniqueFd& fd) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n =
      readlink(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), buffer.data(), buffer.size());
  if (n <= 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(n));
}

std::optional<std::string> real_path(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  if (!real) return std::nullopt;
  return std::string(real.get());
}

// Folder and last component: `a/b` → (`a`, `b`), `b` → (`.`, `b`), `/b` → (`/`, `b`).
std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

std::unexpected<Error> bad(Code code, std::string_view field, std::string message) {
  return fail(Error{code,
                    message,
                    code == Code::Forbidden ? "path_forbidden" : "path_not_found",
                    {{std::string(field), message, {}}}});
}

// What an errno of resolving means to the user.
std::unexpected<Error> refused(int err, const std::string& path, const std::string& root,
                               std::string_view field) {
  switch (err) {
    case EXDEV:
    case ELOOP:
      return bad(
          Code::Forbidden, field,
          fmt::format("'{}' leads out of the folder '{}' that runs may use (`..` or a symbolic "
                      "link); put the file beneath it or add its folder to paths.roots",
                      path, root));
    case EACCES:
    case EPERM:
      return bad(Code::Forbidden, field,
                 fmt::format("no permission to reach '{}'; grant this user access", path));
    case ENOENT:
    case ENOTDIR:
      return bad(Code::NotFound, field, fmt::format("'{}' does not exist; check the path", path));
    default:
      return bad(Code::Unavailable, field,
                 fmt::format("cannot reach '{}': {}", path, std::strerror(err)));
  }
}

bool usable(std::string_view name) { return !name.empty() && name != "." && name != ".."; }

}  // namespace

Result<std::string> PathPolicy::resolve(std::string_view path, bool may_create,
                                        std::string_view field) const {
  if (path.empty()) return bad(Code::Invalid, field, "the path is empty; give one");
  if (path.find('\0') != std::string_view::npos) {
    return bad(Code::Invalid, field, "the path holds a NUL character; remove it");
  }
  const std::string text(path);
  TG_TRY(std::string real, restricted() ? resolve_beneath(text, may_create, field)
                                        : resolve_free(text, may_create, field));
  TG_CHECK(refuse_forbidden(real, field));
  return real;
}

Result<std::string> PathPolicy::resolve_free(const std::string& path, bool may_create,
                                             std::string_view field) const {
  if (auto real = real_path(path)) return *real;
  const int err = errno;
  const auto [folder, name] = split(path);
  struct stat st{};
  if (err != ENOENT || !may_create || !usable(name) || lstat(path.c_str(), &st) == 0) {
    return refused(err, path, "", field);
  }
  const auto real_folder = real_path(folder);
  if (!real_folder) {
    return bad(Code::NotFound, field,
               fmt::format("the folder '{}' does not exist; create it first", folder));
  }
  return *real_folder == "/" ? "/" + name : *real_folder + "/" + name;
}

Result<std::string> PathPolicy::resolve_beneath(const std::string& path, bool may_create,
                                                std::string_view field) const {
  std::string root;
  std::string relative;
  for (const std::string& candidate : roots_) {
    const std::string real = real_path(candidate).value_or(candidate);
    if (path.front() != '/') {
      root = real;
      relative = path;
      break;
    }
    for (const std::string& prefix : {real, candidate}) {
      if (path == prefix || path.starts_with(prefix + "/")) {
        root = real;
        relative = path == prefix ? "." : path.substr(prefix.size() + 1);
      }
    }
    if (!root.empty()) break;
  }
  if (root.empty()) {
    return bad(
        Code::Forbidden, field,
        fmt::format("'{}' is outside of the folders that runs may use ({}); move it there or "
                    "add its folder to paths.roots",
                    path, fmt::join(roots_, ", ")));
  }
  const UniqueFd base(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base) return refused(errno, root, root, field);
  if (const UniqueFd file = open_beneath(base.get(), relative)) {
    if (auto real = path_of(file)) return *real;
    return refused(errno, path, root, field);
  }
  const int err = errno;
  const auto [folder, name] = split(relative);
  if (err != ENOENT || !may_create || !usable(name)) return refused(err, path, root, field);
  const UniqueFd parent = open_beneath(base.get(), folder);
  if (!parent) return refused(errno, folder, root, field);
  struct stat st{};
  // A dangling symbolic link would be followed when the file is created.
  if (fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    return refused(ELOOP, path, root, field);
  }
  const auto real_folder = path_of(parent);
  if (!real_folder) return refused(errno, folder, root, field);
  return *real_folder + "/" + name;
}

Status PathPolicy::refuse_forbidden(const std::string& real, std::string_view field) const {
  struct stat mine{};
  const bool exists = stat(real.c_str(), &mine) == 0;
  for (const std::string& path : forbidden_) {
    struct stat theirs{};
    const bool same_file = exists && stat(path.c_str(), &theirs) == 0 &&
                           mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino;
    if (same_file || real == path || real == real_path(path).value_or(path)) {
      return bad(
          Code::Forbidden, field,
          fmt::format("'{}' is the server's own store, which no job may read or write; choose "
                      "another file",
                      real));
    }
  }
  return {};
}

}  // namespace tidegate::engine
