#pragma once
// Rows as CSV text in a file: RFC 4180 with LF, NULL as an empty field, an empty text as "".

#include <arrow/type_fwd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/table_folder.h"

namespace tidegate::engine::file {

// Appends one text as a field, quoted when it needs to be.
void append_field(std::string& out, std::string_view text);

// Used by one thread.
class CsvWriter {
 public:
  // A new, empty file in the folder.
  static Result<CsvWriter> create(int dir, const std::string& name, std::string path);

  // One row of texts; nullopt: NULL.
  Status row(const std::vector<std::optional<std::string_view>>& values);
  // The columns of the batch by index, -1: NULL.
  Status rows(const arrow::RecordBatch& batch, const std::vector<int>& columns);
  // All bytes of another file, which must not have been written to by this.
  Status append_file(int fd);
  // Writes out what is held back, and makes it durable.
  Status finish();

 private:
  CsvWriter(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Status drain();

  Fd fd_;
  std::string path_;
  std::string buffer_;
};

}  // namespace tidegate::engine::file
