#include "engine/connectors/file/csv_writer.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>

#include <utility>

#include "engine/connectors/file/own_rows.h"
#include "engine/connectors/file/table_file.h"
#include "engine/connectors/file/value_text.h"

namespace tidegate::engine::file {
namespace {

// A byte order mark's first byte is quoted, or a reader would take the mark off the first field.
bool needs_quotes(std::string_view text) {
  return text.empty() || text[0] == '\xEF' ||
         text.find_first_of(std::string_view(",\"\n\r\0", 5)) != std::string_view::npos;
}

class CsvTable final : public TableFile {
 public:
  explicit CsvTable(CsvWriter out) : out_(std::move(out)) {}

  Status begin(const FileLayout& layout, const OldFile& old) {
    if (old.fd >= 0 && !layout.widened) return out_.append_file(old.fd);
    std::vector<std::optional<std::string_view>> names;
    for (const auto& c : layout.columns) names.emplace_back(c.name);
    TG_CHECK(out_.row(names));
    return old.fd >= 0 ? copy_rows(layout.columns.size(), old) : Status{};
  }

  Status write(const arrow::RecordBatch& rows) override { return out_.rows(rows); }

  Result<std::optional<std::int64_t>> finish() override {
    TG_CHECK(out_.finish());
    return std::nullopt;
  }

 private:
  // The old rows, with NULL in the new columns, which come last.
  Status copy_rows(std::size_t columns, const OldFile& old) {
    bool header = true;
    return OwnRows(old.fd, old.path).for_each([&](OwnRows::Values& values) -> Status {
      if (std::exchange(header, false)) return {};
      values.resize(columns);
      return out_.row(values);
    });
  }

  CsvWriter out_;
};

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
  TG_TRY(OutFile out, OutFile::create(dir, name, std::move(path)));
  return CsvWriter(std::move(out));
}

Status CsvWriter::row(const std::vector<std::optional<std::string_view>>& values) {
  bool first = true;
  std::string& text = out_.text();
  for (const auto& v : values) {
    if (!std::exchange(first, false)) text += ',';
    if (v) append_field(text, *v);
  }
  text += '\n';
  return out_.settle();
}

Status CsvWriter::rows(const arrow::RecordBatch& batch) {
  std::string value;
  std::string& text = out_.text();
  const arrow::ArrayVector& columns = batch.columns();
  for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) text += ',';
      const arrow::Array& array = *columns[i];
      if (array.IsNull(row)) continue;
      value.clear();
      append_text(value, array, row);
      append_field(text, value);
    }
    text += '\n';
    TG_CHECK(out_.settle());
  }
  return {};
}

Result<std::unique_ptr<TableFile>> make_csv_table(const NewFile& file, const FileLayout& layout,
                                                  const OldFile& old) {
  TG_TRY(CsvWriter out, CsvWriter::create(file.dir, file.name, file.path));
  auto table = std::make_unique<CsvTable>(std::move(out));
  TG_CHECK(table->begin(layout, old));
  return table;
}

}  // namespace tidegate::engine::file
