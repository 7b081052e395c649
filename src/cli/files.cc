#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/locate.h"

namespace tidegate::cli {
namespace {

std::unexpected<Error> file_error(std::string_view verb, const std::string& path, int cause) {
  return fail(cause == ENOENT ? Code::NotFound : Code::Forbidden,
              fmt::format("cannot {} {}: {}", verb, path, std::strerror(cause)), "file");
}

Status make_folders(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    const std::string folder = path.substr(0, at);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
      return file_error("make", folder, errno);
  }
  return {};
}

Result<std::string> read_stdin(const Io& io) {
  std::string text;
  while (auto line = io.read_line()) text += *line + "\n";
  return text;
}

}  // namespace

Status write_private_file(const std::string& path, std::string_view text) {
  TG_CHECK(make_folders(path));
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return file_error("write", temporary, errno);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  const int cause = errno;
  ::close(fd);
  if (written && ::rename(temporary.c_str(), path.c_str()) == 0) return {};
  const int reason = written ? errno : cause;
  ::unlink(temporary.c_str());
  return file_error("write", path, reason);
}

Result<std::string> read_file(const Io& io, const std::string& path, std::size_t max) {
  return path == "-" ? read_stdin(io) : read_text_file(path, max);
}

std::string origin_of(const std::string& path) { return path == "-" ? "standard input" : path; }

Result<std::string> read_text_file(const std::string& path, std::size_t max) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return file_error("read", path, errno);
  std::string text;
  char buffer[16384];
  ssize_t n = 0;
  while ((n = ::read(fd, buffer, sizeof buffer)) > 0 && text.size() <= max) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  const int cause = errno;
  ::close(fd);
  if (n < 0) return file_error("read", path, cause);
  if (text.size() > max) {
    return fail(Code::TooLarge, fmt::format("{} is larger than {} bytes", path, max), "file");
  }
  return text;
}

}  // namespace tidegate::cli
