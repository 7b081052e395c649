#pragma once
// Files as streams of bytes: opened once under the path policy, read with pread(2).
//
// Not mapped: a file that is truncated while it is mapped kills the process with SIGBUS; pread
// gives fewer bytes, which is an error that can be told.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "engine/core/path_policy.h"

namespace tidegate::engine::file {

// An open regular file and what it was when it was opened. Thread-safe: pread has no position.
class InputFile {
 public:
  // NotFound, Forbidden as PathPolicy; Invalid for what is not a regular file.
  static Result<std::shared_ptr<InputFile>> open(const PathPolicy& paths, const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // Device, inode and times: equal stamps mean that nobody wrote in between.
  struct Stamp {
    std::uint64_t device = 0, inode = 0;
    std::int64_t size = 0, mtime_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  const std::string& path() const { return path_; }  // as the user wrote it
  const Stamp& stamp() const { return stamp_; }
  std::int64_t size() const { return stamp_.size; }  // bytes when it was opened
  int fd() const { return fd_; }

  // Fewer bytes than asked only at the file's end. Unavailable: I/O errors.
  Result<std::size_t> read_at(std::int64_t offset, std::span<char> out) const;
  // Unavailable when the file is shorter than `size` by now, or no longer the one it was.
  Status unchanged() const;

 private:
  InputFile(int fd, std::string path, Stamp stamp)
      : fd_(fd), path_(std::move(path)), stamp_(stamp) {}
  int fd_;
  std::string path_;
  Stamp stamp_;
};

// Bytes in order. Used by one thread.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // At least one byte, or 0 at the end. REQUIRES: out is not empty.
  virtual Result<std::size_t> read(std::span<char> out) = 0;
};

// The bytes [from, to) of the file; Unavailable when the file has become shorter.
std::unique_ptr<ByteStream> stream_range(std::shared_ptr<const InputFile> file, std::int64_t from,
                                         std::int64_t to);
// All of it, unpacked when `gzip`; several gzip members in a row are one stream (RFC 1952, 2.2).
std::unique_ptr<ByteStream> stream_file(std::shared_ptr<const InputFile> file, bool gzip);

// Texts in memory, for tests and fuzzing.
std::unique_ptr<ByteStream> stream_text(std::string text);

}  // namespace tidegate::engine::file
