#include "engine/connectors/file/csv_writer.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "engine/connectors/file/value_text.h"

namespace tidegate::engine::file {
namespace {

constexpr std::size_t kBuffer = 256 << 10;  // bytes

// A byte order mark's first byte is quoted, or a reader would take the mark off the first field.
bool needs_quotes(std::string_view text) {
  return text.empty() || text[0] == '\xEF' ||
         text.find_first_of(std::string_view(",\"\n\r\0", 5)) != std::string_view::npos;
}

}  // namespace

void append_field(std::string& out, std::string_view text) {
  if (!needs_quotes(text)) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

Result<CsvWriter> CsvWriter::create(int dir, const std::string& name, std::string path) {
  Fd fd(openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return io_error("create", path, errno);
  return CsvWriter(std::move(fd), std::move(path));
}

Status CsvWriter::row(const std::vector<std::optional<std::string_view>>& values) {
  bool first = true;
  for (const auto& v : values) {
    if (!std::exchange(first, false)) buffer_ += ',';
    if (v) append_field(buffer_, *v);
  }
  buffer_ += '\n';
  return buffer_.size() >= kBuffer ? drain() : Status{};
}

Status CsvWriter::rows(const arrow::RecordBatch& batch, const std::vector<int>& columns) {
  std::string value;
  for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) buffer_ += ',';
      if (columns[i] < 0) continue;
      const arrow::Array& array = *batch.column(columns[i]);
      if (array.IsNull(row)) continue;
      value.clear();
      append_text(value, array, row);
      append_field(buffer_, value);
    }
    buffer_ += '\n';
    if (buffer_.size() >= kBuffer) TG_CHECK(drain());
  }
  return {};
}

Status CsvWriter::append_file(int fd) {
  TG_CHECK(drain());
  for (;;) {
    // Shares the blocks where the file system can, so that appending to a long file stays cheap.
    const ssize_t n = copy_file_range(fd, nullptr, fd_.get(), nullptr, 1 << 30, 0);
    if (n == 0) return {};
    if (n > 0 || errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) {
      return io_error("write", path_, errno);
    }
    break;
  }
  std::array<char, 65536> bytes{};
  for (;;) {
    const ssize_t n = read(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("read", path_, errno);
    if (n == 0) return {};
    buffer_.append(bytes.data(), static_cast<std::size_t>(n));
    TG_CHECK(drain());
  }
}

Status CsvWriter::drain() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t n = write(fd_.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("write", path_, errno);
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  buffer_.clear();
  return {};
}

Status CsvWriter::finish() {
  TG_CHECK(drain());
  if (fsync(fd_.get()) != 0) return io_error("write", path_, errno);
  return {};
}

}  // namespace tidegate::engine::file
