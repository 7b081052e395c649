#pragma once
// The texts of a result's values into Arrow columns.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/mysql/types.h"

namespace tidegate::engine::mysql {

// Builds one column of a batch. A value that the column's type cannot hold exactly is refused,
// never bent.
class Column {
 public:
  virtual ~Column() = default;
  // Appends the value; on refusal appends NULL in its place and returns why. An empty text: taken.
  virtual std::string append(std::string_view text) = 0;
  virtual Status append_null() = 0;
  virtual Result<std::shared_ptr<arrow::Array>> finish() = 0;

  static Result<std::unique_ptr<Column>> make(const ColumnType& type);
};

// Takes rows in the order in which they come. Used by one thread.
class RowDecoder {
 public:
  RowDecoder(std::shared_ptr<arrow::Schema> schema, std::vector<std::unique_ptr<Column>> columns)
      : schema_(std::move(schema)), columns_(std::move(columns)) {}

  struct Refused {
    std::int64_t row;  // of the batch
    std::string why, raw;
  };
  // data() == nullptr: NULL. Rows that are refused stay in the batch, with NULLs.
  // REQUIRES: one value for each column.
  Status take(const std::vector<std::string_view>& values);
  std::int64_t rows() const { return rows_; }
  std::int64_t bytes() const { return bytes_; }

  struct Taken {
    std::shared_ptr<arrow::RecordBatch> batch;
    std::int64_t bytes = 0;
    std::vector<Refused> refused;
  };
  // What was taken since the last call.
  Result<Taken> finish();

 private:
  const std::shared_ptr<arrow::Schema> schema_;
  const std::vector<std::unique_ptr<Column>> columns_;
  std::int64_t rows_ = 0, bytes_ = 0;
  std::vector<Refused> refused_;
};

}  // namespace tidegate::engine::mysql
