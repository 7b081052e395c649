#include "engine/connectors/file/bytes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

namespace tidegate::engine::file {
namespace {

constexpr std::int64_t kBlock = 4096;  // bytes

InputFile::Stamp stamp_of(const struct stat& st) {
  return {st.st_dev, st.st_ino, st.st_size,
          std::int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec};
}

class RangeStream final : public ByteStream {
 public:
  RangeStream(std::shared_ptr<const InputFile> file, std::int64_t from, std::int64_t to)
      : file_(std::move(file)), at_(from), to_(to) {}

  Result<std::size_t> read(std::span<char> out) override {
    if (at_ >= to_) return 0;
    const auto want = std::min<std::int64_t>(static_cast<std::int64_t>(out.size()), to_ - at_);
    TG_TRY(const std::size_t n, file_->read_at(at_, out.first(static_cast<std::size_t>(want))));
    if (n < static_cast<std::size_t>(want)) {
      return fail(
          Code::Unavailable,
          fmt::format("'{}' became shorter while it was read ({} bytes at the start, {} now); "
                      "run again, and replace files by renaming a complete one over them",
                      file_->path(), file_->stamp().size, at_ + static_cast<std::int64_t>(n)));
    }
    at_ += static_cast<std::int64_t>(n);
    return n;
  }

 private:
  std::shared_ptr<const InputFile> file_;
  std::int64_t at_, to_;
};

class TextStream final : public ByteStream {
 public:
  explicit TextStream(std::string text) : text_(std::move(text)) {}
  Result<std::size_t> read(std::span<char> out) override {
    const std::size_t n = std::min(out.size(), text_.size() - at_);
    std::memcpy(out.data(), text_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

class GzipStream final : public ByteStream {
 public:
  GzipStream(std::unique_ptr<ByteStream> in, std::string path)
      : in_(std::move(in)), path_(std::move(path)), buffer_(256 << 10) {}
  ~GzipStream() override {
    if (ready_) inflateEnd(&z_);
  }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  Result<std::size_t> read(std::span<char> out) override {
    if (!ready_) {
      // 16 + the largest window: gzip framing only.
      if (inflateInit2(&z_, 16 + MAX_WBITS) != Z_OK) return fail(Code::Internal, "zlib: no memory");
      ready_ = true;
    }
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(std::min<std::size_t>(out.size(), 1U << 30));
    const uInt room = z_.avail_out;
    while (z_.avail_out == room && !done_) TG_CHECK(step());
    return room - z_.avail_out;
  }

 private:
  Status step() {
    if (z_.avail_in == 0) {
      TG_TRY(const std::size_t n, in_->read(buffer_));
      z_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
      z_.avail_in = static_cast<uInt>(n);
      if (n == 0) {
        done_ = true;
        if (in_member_) return corrupt("it ends in the middle of the compressed data");
        return {};
      }
    }
    // After a member: zero padding may follow (gzip accepts it), or another member.
    if (!in_member_ && members_ > 0 && *z_.next_in == 0) {
      ++z_.next_in, --z_.avail_in;
      return {};
    }
    in_member_ = true;
    const int rc = inflate(&z_, Z_NO_FLUSH);
    if (rc == Z_STREAM_END) {
      in_member_ = false;
      ++members_;
      inflateReset(&z_);
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
      return corrupt(z_.msg != nullptr ? z_.msg : "no gzip data");
    }
    return {};
  }

  Status corrupt(std::string_view why) const {
    return fail(
        Error{Code::Invalid,
              fmt::format("'{}' cannot be unpacked: {}; check it with `gzip -t`, or rename it "
                          "when it is not compressed",
                          path_, why),
              "bad_data",
              {}});
  }

  std::unique_ptr<ByteStream> in_;
  std::string path_;
  std::vector<char> buffer_;
  z_stream z_{};
  bool ready_ = false, in_member_ = false, done_ = false;
  int members_ = 0;
};

}  // namespace

Result<std::shared_ptr<InputFile>> InputFile::open(const PathPolicy& paths,
                                                   const std::string& path) {
  UniqueFd fd;
  // A symbolic link may be switched to another file between the two steps: look again.
  for (int attempt = 0; !fd && attempt < 10; ++attempt) {
    TG_TRY(const std::string real, paths.resolve(path, false));
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    fd = UniqueFd(::open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd && errno != ENOENT) break;
  }
  if (!fd) {
    const Code code = errno == EACCES   ? Code::Forbidden
                      : errno == ENOENT ? Code::NotFound
                                        : Code::Unavailable;
    return fail(code, fmt::format("cannot open '{}': {}; {}", path, std::strerror(errno),
                                  code == Code::Forbidden ? "grant this user read access"
                                  : errno == EMFILE       ? "raise the limit of open files "
                                                            "(ulimit -n), or use a narrower pattern"
                                                          : "check the path"));
  }
  struct stat st{};
  if (fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    return fail(Code::Invalid, fmt::format("'{}' is not a regular file; name a file, or a pattern "
                                           "such as '{}/*.csv' for a folder",
                                           path, path));
  }
  std::shared_ptr<InputFile> file(new InputFile(std::move(fd), path, stamp_of(st)));
  TG_TRY(file->ends_, file->hash_of_ends());
  return file;
}

Result<std::size_t> InputFile::read_at(std::int64_t offset, std::span<char> out) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = pread(fd_.get(), out.data() + done, out.size() - done,
                            offset + static_cast<std::int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return fail(Code::Unavailable,
                  fmt::format("cannot read '{}': {}", path_, std::strerror(errno)));
    }
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<InputFile::Stamp> InputFile::stamp_now() const {
  struct stat st{};
  if (fstat(fd_.get(), &st) == 0) return stamp_of(st);
  return fail(Code::Unavailable, fmt::format("cannot read '{}': {}", path_, std::strerror(errno)));
}

// Of the first and the last block of the bytes there were at the start.
Result<std::size_t> InputFile::hash_of_ends() const {
  std::array<char, 2 * kBlock> blocks{};
  const std::span<char> all(blocks);
  const std::int64_t last = std::max<std::int64_t>(0, stamp_.size - kBlock);
  TG_TRY(std::size_t n,
         read_at(0, all.first(static_cast<std::size_t>(std::min(kBlock, stamp_.size)))));
  TG_TRY(const std::size_t more,
         read_at(last, all.subspan(n, static_cast<std::size_t>(stamp_.size - last))));
  n += more;
  return std::hash<std::string_view>()({blocks.data(), n});
}

Status InputFile::unchanged() const {
  TG_TRY(const Stamp now, stamp_now());
  const bool same = now.size == stamp_.size && now.mtime_ns == stamp_.mtime_ns;
  if (same || (now.size > stamp_.size && may_grow_)) {
    TG_TRY(const std::size_t ends, hash_of_ends());
    if (ends == ends_) return {};
  }
  return fail(Code::Unavailable,
              fmt::format("'{}' {} while it was read; run again, and replace files by renaming a "
                          "complete one over them",
                          path_, now.size < stamp_.size ? "became shorter" : "was written to"));
}

std::unique_ptr<ByteStream> stream_range(std::shared_ptr<const InputFile> file, std::int64_t from,
                                         std::int64_t to) {
  return std::make_unique<RangeStream>(std::move(file), from, to);
}

std::unique_ptr<ByteStream> stream_file(std::shared_ptr<const InputFile> file, bool gzip) {
  std::string path = file->path();
  const std::int64_t size = file->size();
  auto raw = stream_range(std::move(file), 0, size);
  if (!gzip) return raw;
  return std::make_unique<GzipStream>(std::move(raw), std::move(path));
}

std::unique_ptr<ByteStream> stream_text(std::string text) {
  return std::make_unique<TextStream>(std::move(text));
}

}  // namespace tidegate::engine::file
