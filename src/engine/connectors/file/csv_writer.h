#pragma once
// Rows as CSV text in a file: RFC 4180 with LF, NULL as an empty field, an empty text as "".

#include <arrow/type_fwd.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/out_file.h"

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
  Status rows(const arrow::RecordBatch& batch);
  // All bytes of another file.
  Status append_file(int fd) { return out_.append_file(fd); }
  // Writes out what is held back, and makes it durable.
  Status finish() { return out_.finish(); }

 private:
  explicit CsvWriter(OutFile out) : out_(std::move(out)) {}

  OutFile out_;
};

}  // namespace tidegate::engine::file
