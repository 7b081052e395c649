#pragma once
// A backup on disk: its lines in gzip (RFC 1952).

#include <functional>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "control/archive/format.h"

namespace tidegate::archive {

// Writes `path`.partial (0600); only what came to its end gets the name. One at a time for each
// path. Removes the partial file unless it was published.
class FileWriter {
 public:
  // Conflict `backup_running`: another process writes it now. Invalid, with the remedy:
  // `file_exists`, unless `replace`; it cannot be made.
  static Result<FileWriter> create(const std::string& path, bool replace);
  FileWriter(FileWriter&&) noexcept;
  FileWriter& operator=(FileWriter&&) = delete;
  ~FileWriter();

  Status add(std::string_view line);
  // All of it is on the disk when this returns, under the partial name still.
  Status close();
  const std::string& partial() const { return partial_; }
  // Gives it its name. REQUIRES: closed. `file_exists`: unless `replace`, a file has it by now.
  Status publish();

 private:
  struct Gzip;
  FileWriter(std::string path, bool replace);
  std::unexpected<Error> failed(std::string_view what, int error) const;

  std::string path_, partial_;
  bool replace_;
  UniqueFd lock_;  // the partial file; holds its lock
  std::unique_ptr<Gzip> gzip_;
};

// A file that may be read several times from its beginning, though its name be given to another one
// meanwhile.
class FileReader {
 public:
  static Result<FileReader> open(const std::string& path);  // NotFound, Forbidden, Invalid
  // Calls `each` for every record, in order; ends with an error when it fails. What it was called
  // for is only sure to be whole when this returned the trailer.
  using Each = std::function<Status(store::ArchiveRecord, const Header&)>;
  struct Frame {
    Header header;
    Trailer trailer;
  };
  Result<Frame> read(const Each& each);

 private:
  FileReader(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
};

}  // namespace tidegate::archive
