#pragma once
// The binary format of COPY (PostgreSQL's documentation, "COPY", "Binary Format") into Arrow
// columns.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/postgres/types.h"

namespace tidegate::engine::postgres {

// A field's bytes, big-endian. REQUIRES: the place is within the field.
std::int64_t read_int(const char* at, int bytes);

// A numeric's digits as text, with every digit of its scale: `-12.50`, `NaN`, `Infinity`. Empty:
// the bytes are no numeric.
std::string numeric_text(std::string_view bytes);

// Builds one column of a batch. A value that the column's type cannot hold exactly is refused,
// never bent.
class Column {
 public:
  virtual ~Column() = default;
  // Appends the value; on refusal appends NULL in its place and returns why. An empty text: taken.
  virtual std::string append(std::string_view bytes) = 0;
  virtual Status append_null() = 0;
  virtual Result<std::shared_ptr<arrow::Array>> finish() = 0;

  static Result<std::unique_ptr<Column>> make(const ColumnType& type);
};

// Takes the pieces of a COPY in the order in which they came; each holds whole rows. Used by one
// thread.
class CopyDecoder {
 public:
  CopyDecoder(std::shared_ptr<arrow::Schema> schema, std::vector<std::unique_ptr<Column>> columns)
      : schema_(std::move(schema)), columns_(std::move(columns)) {}

  // Of a row: why it was refused (empty: it was taken), and the row for people.
  struct Refused {
    std::int64_t row;  // of the batch
    std::string why, raw;
  };
  // Internal: not the format. Rows that are refused stay in the batch, with NULLs.
  Status take(std::string_view piece);
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
  Status take_row(std::string_view& left, int fields);

  const std::shared_ptr<arrow::Schema> schema_;
  const std::vector<std::unique_ptr<Column>> columns_;
  bool begun_ = false, ended_ = false;
  std::int64_t rows_ = 0, bytes_ = 0;
  std::vector<Refused> refused_;
  std::vector<std::string_view> values_;  // of the current row; data() == nullptr: NULL
};

}  // namespace tidegate::engine::postgres
