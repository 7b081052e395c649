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
#include "base/unique_fd.h"
#include "engine/core/path_policy.h"

namespace tidegate::engine::file {

// An open regular file and what it was when it was opened. Thread-safe: pread has no position.
class InputFile {
 public:
  // NotFound, Forbidden as PathPolicy; Invalid for what is not a regular file.
  static Result<std::shared_ptr<InputFile>> open(const PathPolicy& paths, const std::string& path);
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
  // The bytes that are read: those there were when it was opened, unless end_at() was called.
  std::int64_t size() const { return end_; }
  int fd() const { return fd_.get(); }
  Result<Stamp> stamp_now() const;  // Unavailable: it cannot be asked

  // Before others have it. What is behind `end` is left to the next run.
  void end_at(std::int64_t end) { end_ = end; }
  // Before others have it. What was read is only right if nothing comes behind it.
  void refuse_growth() { may_grow_ = false; }

  // Fewer bytes than asked only at the file's end. Unavailable: I/O errors.
  Result<std::size_t> read_at(std::int64_t offset, std::span<char> out) const;
  // Unavailable when the bytes that were there at the start may be others by now: it is shorter, of
  // the same size and written to, or has another first or last block of them. Bytes that were
  // appended are no change, nor is a file that was renamed or unlinked.
  Status unchanged() const;

 private:
  InputFile(UniqueFd fd, std::string path, Stamp stamp)
      : fd_(std::move(fd)), path_(std::move(path)), stamp_(stamp), end_(stamp.size) {}
  Result<std::size_t> hash_of_ends() const;

  UniqueFd fd_;
  std::string path_;
  Stamp stamp_;
  std::int64_t end_;
  std::size_t ends_ = 0;  // hash_of_ends() when it was opened
  bool may_grow_ = true;
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
