#pragma once
// Documents as rows of Arrow batches.

#include <arrow/type_fwd.h>
#include <bson/bson.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "engine/connectors/mongodb/infer.h"

namespace tidegate::engine::mongodb {

struct SourceColumn {
  std::string name;
  ColumnKind kind = ColumnKind::Text;
  int precision = 0, scale = 0;  // of a decimal
  bool whole = false;            // the document itself, as Extended JSON

  std::shared_ptr<arrow::Field> field() const { return to_field(name, kind, precision, scale); }
};

// A value as the text of a Text column. Empty optional: it has none (documents, bytes, dates beyond
// 9999, …).
std::optional<std::string> plain_text(const bson_iter_t& value);

// Used by one thread.
class DocumentDecoder {
 public:
  explicit DocumentDecoder(std::vector<SourceColumn> columns);
  ~DocumentDecoder();
  DocumentDecoder(DocumentDecoder&&) noexcept;

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  // "": the row was added; else why it was not. Fields that are no columns are left out.
  std::string take(const bson_t& document);
  std::int64_t rows() const { return rows_; }
  std::int64_t bytes() const { return bytes_; }          // of the documents since the last finish()
  Result<std::shared_ptr<arrow::RecordBatch>> finish();  // and starts anew

 private:
  struct Cell;
  bool append_row();
  // "": the cell of the column holds the value; else why not.
  std::string convert(const bson_iter_t& value, std::size_t column);
  std::string convert_any(const bson_iter_t& value, std::size_t column);

  std::vector<SourceColumn> columns_;
  std::unordered_map<std::string, std::size_t> places_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders_;
  std::vector<Cell> cells_;  // of the row that is being taken
  std::int64_t rows_ = 0, bytes_ = 0;
};

}  // namespace tidegate::engine::mongodb
