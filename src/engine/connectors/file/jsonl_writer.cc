// Rows as JSON lines: every column in every row, NULL as null. docs/guides/files.md has the table
// of what each type is.

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "engine/connectors/file/file_types.h"
#include "engine/connectors/file/json_text.h"
#include "engine/connectors/file/lines.h"
#include "engine/connectors/file/out_file.h"
#include "engine/connectors/file/own_rows.h"
#include "engine/connectors/file/table_file.h"
#include "engine/connectors/file/value_text.h"

namespace tidegate::engine::file {
namespace {

struct JsonColumn {
  std::string name;
  std::string key;  // `"name":`, with what stands before it
  JsonForm form = JsonForm::String;
  bool was_json = false;  // in the old lines
};

std::vector<JsonColumn> columns_of(const arrow::Schema& schema) {
  std::vector<JsonColumn> out;
  for (const auto& field : schema.fields()) {
    JsonColumn column{field->name(), out.empty() ? "{" : ",", json_form(*field)};
    append_json_string(column.key, field->name());
    column.key += ':';
    out.push_back(std::move(column));
  }
  return out;
}

// A document that is written over several lines, on one: only between its tokens is a line end one.
void append_on_one_line(std::string& out, std::string_view json) {
  const std::size_t from = out.size();
  out += json;
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(from), out.end(),
      [](char c) { return c == '\n' || c == '\r'; }, ' ');
}

class JsonlTable final : public TableFile {
 public:
  JsonlTable(OutFile out, const FileLayout& layout)
      : out_(std::move(out)), columns_(columns_of(*layout.schema)) {}

  // The old lines stay as they are, and lack new columns, which is NULL; but where numbers became
  // text, they would be of another kind than the new ones.
  Status begin(const FileLayout& layout, const OldFile& old) {
    if (old.fd < 0) return {};
    bool same = true;
    for (int i = 0; i < layout.before->num_fields(); ++i) {
      const JsonForm was = json_form(*layout.before->field(i));
      JsonColumn& column = columns_[static_cast<std::size_t>(i)];
      column.was_json = was == JsonForm::Json;
      same = same && (was == JsonForm::Nothing || was == column.form);
    }
    return same ? out_.append_file(old.fd) : copy_lines(old);
  }

  Status write(const arrow::RecordBatch& rows) override {
    const arrow::ArrayVector& arrays = rows.columns();
    std::string& text = out_.text();
    for (std::int64_t row = 0; row < rows.num_rows(); ++row) {
      for (std::size_t i = 0; i < arrays.size(); ++i) {
        text += columns_[i].key;
        append_value(text, *arrays[i], row, columns_[i].form);
      }
      text += "}\n";
      TG_CHECK(out_.settle());
    }
    return {};
  }

  Result<std::optional<std::int64_t>> finish() override {
    TG_CHECK(out_.finish());
    return std::nullopt;
  }

 private:
  void append_value(std::string& out, const arrow::Array& array, std::int64_t row, JsonForm form) {
    if (array.IsNull(row)) {
      out += "null";
      return;
    }
    if (array.type_id() == arrow::Type::STRING) {
      const std::string_view text = static_cast<const arrow::StringArray&>(array).GetView(row);
      return form == JsonForm::Json ? append_on_one_line(out, text) : append_json_string(out, text);
    }
    if (form != JsonForm::String) return append_text(out, array, row);
    value_.clear();
    append_text(value_, array, row);
    append_json_string(out, value_);
  }

  Status copy_lines(const OldFile& old) {
    LineReader reader(stream_fd(old.fd, old.path));
    std::vector<LineReader::Line> lines;
    std::int64_t bytes = 0;
    for (;;) {
      TG_TRY(const bool more, reader.next(lines, bytes));
      if (!more) return {};
      for (const auto& line : lines) TG_CHECK(copy_line(line, old.path));
    }
  }

  Status copy_line(const LineReader::Line& line, const std::string& path) {
    const bool read =
        !line.too_long && json_.read(line.text, members_) == JsonObjectReader::Fault::None;
    // Columns keep their order, so the i-th member is the i-th column's.
    const auto is_column = [&](const JsonMember& m) {
      const auto i = static_cast<std::size_t>(&m - members_.data());
      return i < columns_.size() && m.key == columns_[i].name;
    };
    if (!read || !std::ranges::all_of(members_, is_column)) {
      return changed_by_somebody(path, fmt::format("line {} is not one of its rows", line.number));
    }
    std::string& text = out_.text();
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const JsonMember& m = members_[i];
      text += columns_[i].key;
      // A document that is a string keeps its quotes: "5" is another one than 5.
      const bool as_text = columns_[i].form == JsonForm::String && m.kind != JsonKind::Null &&
                           (m.kind != JsonKind::String || columns_[i].was_json);
      as_text ? append_json_string(text, m.raw) : static_cast<void>(text += m.raw);
    }
    text += members_.empty() ? "{}\n" : "}\n";
    return out_.settle();
  }

  OutFile out_;
  std::vector<JsonColumn> columns_;
  std::string value_;
  JsonObjectReader json_;
  std::vector<JsonMember> members_;
};

}  // namespace

Result<std::unique_ptr<TableFile>> make_jsonl_table(const NewFile& file, const FileLayout& layout,
                                                    const OldFile& old) {
  TG_TRY(OutFile out, OutFile::create(file.dir, file.name, file.path));
  auto table = std::make_unique<JsonlTable>(std::move(out), layout);
  TG_CHECK(table->begin(layout, old));
  return table;
}

}  // namespace tidegate::engine::file
