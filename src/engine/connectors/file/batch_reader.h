#pragma once
// Rows of text as record batches, the same for CSV and JSON lines.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/connectors/file/bytes.h"
#include "engine/connectors/file/columns.h"
#include "engine/connectors/file/csv_scanner.h"
#include "engine/core/source.h"

namespace tidegate::engine::file {

inline constexpr std::size_t kMaxShown = 4096;  // bytes of a rejected row

// Cuts a file into rows of texts. Used by one thread.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // As CsvScanner::next.
  virtual Result<bool> next(CsvRows& rows) = 0;
  // A row of the last next(), for a person.
  virtual std::string row_text(const CsvRows& rows, std::size_t row) const = 0;
};

// Small batches: the writer starts early, and what waits between the two fits the caches.
inline constexpr std::int64_t kBatchRows = 16LL * 1024;
inline constexpr std::int64_t kBatchBytes = 4 << 20;

class BatchReader final : public Reader {
 public:
  struct Params {
    std::shared_ptr<const InputFile> file;
    std::shared_ptr<arrow::Schema> schema;
    std::vector<std::string> names;  // of the columns of the rows; a field without one is NULL
    NullWords nulls;
    char quote = '"';
    std::stop_token stop;
  };
  BatchReader(Params params, std::unique_ptr<RowSource> rows);

  std::shared_ptr<arrow::Schema> schema() const override { return params_.schema; }
  // A value that is not of its column's type rejects its row.
  Result<std::optional<ReadBatch>> next() override;

 private:
  bool full() const;
  Status refill(ReadBatch& out);
  void take_rows(ReadBatch& out);
  void take_without(std::size_t from, std::size_t to, std::vector<CellFault>& faults,
                    ReadBatch& out);
  void append(std::size_t from, std::size_t to, std::vector<CellFault>& faults);
  std::string locator(std::int64_t line) const;

  struct Column {
    std::unique_ptr<ColumnBuilder> builder;
    std::optional<std::size_t> source;  // index in the rows
  };
  const Params params_;
  std::unique_ptr<RowSource> source_;
  std::string label_;  // the file's name without folder
  std::vector<Column> columns_;
  CsvRows rows_;
  std::size_t taken_ = 0;  // of rows_
  std::int64_t length_ = 0;
  bool end_ = false;
};

}  // namespace tidegate::engine::file
