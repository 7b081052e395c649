#pragma once
// One CSV file: what is in it (a pass over all of it), and its rows as batches (a second pass).

#include <arrow/type_fwd.h>

#include <cstdint>
#include <functional>
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

struct CsvOptions {
  CsvDialect dialect;
  bool header = true;  // else columns are named column1, column2, …
  NullWords nulls;
};

// The type that the configuration declares for a column; null: none.
using DeclaredType = std::function<std::shared_ptr<arrow::Field>(const std::string& column)>;

struct CsvScan {
  std::vector<std::string> names;    // in the file's order; empty: the file is empty
  std::vector<ColumnGuess> guesses;  // one per name
  std::optional<std::int64_t> rows;  // good ones; absent when every type is declared
  CsvScanner::Start data;            // where the rows begin, in unpacked bytes
};

// Reads the header, then every row unless `declared` knows every column: a column that is a number
// for a million rows and then is not must be known to be text before the first row is written. Two
// threads share a file that is long enough. Invalid ("bad_data"): no usable header.
Result<CsvScan> scan_csv(const std::shared_ptr<const InputFile>& file, bool gzip,
                         const CsvOptions& options, const DeclaredType& declared,
                         std::stop_token stop);

class CsvReader final : public Reader {
 public:
  static constexpr std::int64_t kBatchRows = 16 * 1024;
  static constexpr std::int64_t kBatchBytes = 4 << 20;

  struct Params {
    std::shared_ptr<const InputFile> file;
    bool gzip = false;
    std::string label;                      // of rejected rows: the file's name
    std::shared_ptr<arrow::Schema> schema;  // columns the file lacks are NULL
    CsvScan scan;
    std::stop_token stop;
  };
  // REQUIRES: options outlive the reader.
  CsvReader(Params params, const CsvOptions& options);

  std::shared_ptr<arrow::Schema> schema() const override { return params_.schema; }
  Result<std::optional<ReadBatch>> next() override;

 private:
  bool full() const;
  void take_rows(ReadBatch& out);
  void take_without(std::size_t from, std::size_t to, std::vector<CellFault>& faults,
                    ReadBatch& out);
  std::int64_t append(std::size_t from, std::size_t to, std::vector<CellFault>& faults);

  struct Column {
    std::unique_ptr<ColumnBuilder> builder;
    std::optional<std::size_t> source;  // index in the file
  };
  Params params_;
  const CsvOptions& options_;
  CsvScanner scanner_;
  std::vector<Column> columns_;
  CsvRows rows_;
  std::size_t taken_ = 0;  // of rows_
  std::int64_t length_ = 0;
  bool end_ = false;
};

}  // namespace tidegate::engine::file
