#include "engine/connectors/file/own_rows.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "engine/connectors/file/table_folder.h"

namespace tidegate::engine::file {
namespace {

class FdStream final : public ByteStream {
 public:
  FdStream(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Result<std::size_t> read(std::span<char> out) override {
    for (;;) {
      const ssize_t n = ::read(fd_, out.data(), out.size());
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) return io_error("read", path_, errno);
    }
  }

 private:
  int fd_;
  std::string path_;
};

}  // namespace

std::unique_ptr<ByteStream> stream_fd(int fd, std::string path) {
  return std::make_unique<FdStream>(fd, std::move(path));
}

OwnRows::OwnRows(int fd, std::string path)
    : path_(std::move(path)), scanner_(stream_fd(fd, path_), {}) {}

std::unexpected<Error> OwnRows::damaged(std::int64_t line, const std::string& reason) const {
  return changed_by_somebody(path_, fmt::format("line {}: {}", line, reason));
}

}  // namespace tidegate::engine::file
