#include "engine/connectors/file/out_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace tidegate::engine::file {

Result<OutFile> OutFile::create(int dir, const std::string& name, std::string path) {
  Fd fd(openat(dir, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return io_error("create", path, errno);
  return OutFile(std::move(fd), std::move(path));
}

Status OutFile::put(std::string_view bytes) {
  TG_CHECK(drain());
  return write_all(bytes);
}

Status OutFile::append_file(int fd, std::int64_t bytes) {
  TG_CHECK(drain());
  while (bytes > 0) {
    // Shares the blocks where the file system can, so that appending to a long file stays cheap.
    const auto most = static_cast<std::size_t>(std::min<std::int64_t>(bytes, 1 << 30));
    const ssize_t n = copy_file_range(fd, nullptr, fd_.get(), nullptr, most, 0);
    if (n == 0) return {};
    if (n > 0) bytes -= n;
    if (n > 0 || errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) {
      return io_error("write", path_, errno);
    }
    break;
  }
  std::array<char, 65536> block{};
  while (bytes > 0) {
    const auto most =
        static_cast<std::size_t>(std::min(bytes, static_cast<std::int64_t>(block.size())));
    const ssize_t n = read(fd, block.data(), most);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("read", path_, errno);
    if (n == 0) return {};
    TG_CHECK(write_all({block.data(), static_cast<std::size_t>(n)}));
    bytes -= n;
  }
  return {};
}

Status OutFile::drain() {
  TG_CHECK(write_all(buffer_));
  buffer_.clear();
  return {};
}

Status OutFile::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("write", path_, errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Status OutFile::finish() {
  TG_CHECK(drain());
  if (fsync(fd_.get()) != 0) return io_error("write", path_, errno);
  return {};
}

}  // namespace tidegate::engine::file
