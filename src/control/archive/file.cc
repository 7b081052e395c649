#include "control/archive/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace tidegate::archive {
namespace {

constexpr unsigned kBuffer = 256 << 10;

std::unexpected<Error> file_exists(const std::string& path) {
  // Not a Conflict: no other try mends it.
  return fail(Code::Invalid,
              fmt::format("{} exists; choose another name, or --force to replace it", path),
              "file_exists");
}

struct CloseGzip {
  void operator()(gzFile_s* file) const { gzclose(file); }
};
using GzipFile = std::unique_ptr<gzFile_s, CloseGzip>;

// Takes the descriptor over.
GzipFile open_gzip(UniqueFd fd, const char* mode) {
  GzipFile file(gzdopen(fd.get(), mode));
  if (file) fd.release();
  if (file) gzbuffer(file.get(), kBuffer);
  return file;
}

}  // namespace

// ---- writing

struct FileWriter::Gzip {
  GzipFile file;
};

FileWriter::FileWriter(std::string path, bool replace)
    : path_(std::move(path)), partial_(path_ + ".partial"), replace_(replace) {}
FileWriter::FileWriter(FileWriter&&) noexcept = default;
FileWriter::~FileWriter() {
  if (lock_) ::unlink(partial_.c_str());
}

std::unexpected<Error> FileWriter::failed(std::string_view what, int error) const {
  const bool full = error == ENOSPC || error == EDQUOT;
  return fail(full ? Code::Unavailable : Code::Invalid,
              fmt::format("cannot {} {}: {}; {}", what, partial_, std::strerror(error),
                          full ? "free some space, or name a file elsewhere"
                               : "check the folder and who may write there, or name another file"),
              full ? "disk_full" : "backup_file");
}

Result<FileWriter> FileWriter::create(const std::string& path, bool replace) {
  FileWriter writer(path, replace);
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) {
    return fail(Code::Invalid, fmt::format("{} is a folder; name a file in it", path),
                "backup_file");
  }
  if (!replace && std::filesystem::exists(std::filesystem::symlink_status(path, ec))) {
    return file_exists(path);
  }
  UniqueFd fd(::open(writer.partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return writer.failed("write", errno);
  // Two backups into one file would mix. What lies there of one that was killed is written over.
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Code::Conflict,
                fmt::format("another backup writes {} now; wait for it or name another file",
                            writer.partial_),
                "backup_running");
  }
  if (::ftruncate(fd.get(), 0) != 0 || ::fchmod(fd.get(), 0600) != 0) {
    return writer.failed("write", errno);
  }
  UniqueFd twin(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!twin) return writer.failed("write", errno);
  writer.lock_ = std::move(fd);
  writer.gzip_ = std::make_unique<Gzip>(Gzip{open_gzip(std::move(twin), "wb6")});
  if (!writer.gzip_->file) return writer.failed("write", ENOMEM);
  return writer;
}

Status FileWriter::add(std::string_view line) {
  errno = 0;
  const int n = gzwrite(gzip_->file.get(), line.data(), static_cast<unsigned>(line.size()));
  if (n == static_cast<int>(line.size())) return {};
  return failed("write", errno == 0 ? EIO : errno);
}

Status FileWriter::close() {
  errno = 0;
  if (gzclose_w(gzip_->file.release()) != Z_OK) return failed("write", errno == 0 ? EIO : errno);
  if (::fsync(lock_.get()) != 0) return failed("write", errno);
  return {};
}

Status FileWriter::publish() {
  // link() refuses a name that is taken, rename() does not.
  if (replace_) {
    if (::rename(partial_.c_str(), path_.c_str()) != 0) return failed("rename", errno);
  } else {
    if (::link(partial_.c_str(), path_.c_str()) != 0) {
      return errno == EEXIST ? file_exists(path_) : failed("rename", errno);
    }
    ::unlink(partial_.c_str());
  }
  lock_.reset();
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const UniqueFd dir(
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir && ::fsync(dir.get()) != 0) return failed("write the folder of", errno);
  return {};
}

// ---- reading

Result<FileReader> FileReader::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    const int error = errno;
    return fail(error == ENOENT   ? Code::NotFound
                : error == EACCES ? Code::Forbidden
                                  : Code::Invalid,
                fmt::format("cannot read {}: {}; check the name and who may read it", path,
                            std::strerror(error)),
                "backup_file");
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(
        Code::Invalid,
        fmt::format("{} is no file; it is read twice, so a pipe or a folder will not do", path),
        "backup_file");
  }
  return FileReader(path, std::move(fd));
}

namespace {

std::unexpected<Error> unreadable(const std::string& path, const char* why) {
  return fail(Code::Malformed,
              fmt::format("the backup {} is damaged: it cannot be unpacked ({}). Nothing of it can "
                          "be trusted; use another one",
                          path, why),
              "backup_damaged");
}

// The lines of a gzip file; nullopt at its end.
class Lines {
 public:
  Lines(gzFile_s* file, const std::string& path) : file_(file), path_(path) {}

  // Valid until the next call.
  Result<std::optional<std::string_view>> next() {
    line_.clear();
    for (;;) {
      const auto end = chunk_.find('\n', at_);
      if (end != std::string_view::npos) {
        const auto part = chunk_.substr(at_, end - at_);
        at_ = end + 1;
        if (line_.empty()) return part;
        line_ += part;
        return line_;
      }
      line_ += chunk_.substr(at_);
      if (line_.size() > kMaxLine) return unreadable(path_, "a line is too long");
      TG_TRY(const bool more, fill());
      if (more) continue;
      if (line_.empty()) return std::nullopt;
      return line_;  // without its end: what it says is the parser's to judge
    }
  }

 private:
  Result<bool> fill() {
    const int n = gzread(file_, buffer_.data(), static_cast<unsigned>(buffer_.size()));
    int code = Z_OK;
    const char* why = gzerror(file_, &code);
    // An end within the packed data is told as an error behind the last bytes.
    if (n < 0 || (n == 0 && code != Z_OK && code != Z_STREAM_END)) return unreadable(path_, why);
    chunk_ = std::string_view(buffer_.data(), static_cast<std::size_t>(n));
    at_ = 0;
    return n > 0;
  }

  gzFile_s* file_;
  const std::string& path_;
  std::array<char, 64 << 10> buffer_{};
  std::string_view chunk_;
  std::size_t at_ = 0;
  std::string line_;
};

}  // namespace

Result<FileReader::Frame> FileReader::read(const Each& each) {
  UniqueFd twin(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 3));
  if (!twin || ::lseek(twin.get(), 0, SEEK_SET) != 0) {
    return fail(Code::Internal, fmt::format("cannot read {}: {}", path_, std::strerror(errno)));
  }
  const GzipFile file = open_gzip(std::move(twin), "rb");
  if (!file) return fail(Code::Internal, "zlib: no memory");
  Parser parser;
  Lines lines(file.get(), path_);
  for (;;) {
    TG_TRY(const auto line, lines.next());
    if (!line) break;
    TG_TRY(auto record, parser.line(*line));
    if (record) TG_CHECK(each(std::move(*record), parser.header()));
  }
  TG_CHECK(parser.finish());
  return Frame{parser.header(), parser.trailer()};
}

}  // namespace tidegate::archive
