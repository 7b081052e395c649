#pragma once
// A new file that is written from its beginning to its end.

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/connectors/file/table_folder.h"

namespace tidegate::engine::file {

// Used by one thread. Errors are those of io_error().
class OutFile {
 public:
  // A new, empty file in the folder.
  static Result<OutFile> create(int dir, const std::string& name, std::string path);

  // Text that is held back; settle() after each row writes it out when it is long enough.
  std::string& text() { return buffer_; }
  Status settle() { return buffer_.size() >= kBuffer ? drain() : Status{}; }
  // Bytes that need not be held back.
  Status put(std::string_view bytes);
  // The next bytes of another file, from where it stands: so many of them, or all.
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  Status append_file(int fd, std::int64_t bytes = kAll);
  // Writes out what is held back, and makes it durable.
  Status finish();

  int fd() const { return fd_.get(); }  // also for reading
  const std::string& path() const { return path_; }

 private:
  static constexpr std::size_t kBuffer = 256 << 10;  // bytes

  OutFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Status drain();
  Status write_all(std::string_view bytes);

  Fd fd_;
  std::string path_;
  std::string buffer_;
};

}  // namespace tidegate::engine::file
