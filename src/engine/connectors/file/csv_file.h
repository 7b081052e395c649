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

#include "engine/connectors/file/batch_reader.h"
#include "engine/connectors/file/bytes.h"
#include "engine/connectors/file/columns.h"
#include "engine/connectors/file/csv_scanner.h"

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
  std::optional<std::int64_t> rows;  // good ones; absent when not all were read
  CsvScanner::Start data;            // where the rows begin, in unpacked bytes
};

// Reads the header, then every row unless `declared` knows every column: a column that is a number
// for a million rows and then is not must be known to be text before the first row is written. Two
// threads share a file that is long enough. With `sample`, only the rows in about so many
// (unpacked) bytes, by one thread. Invalid ("bad_data"): no usable header.
Result<CsvScan> scan_csv(const std::shared_ptr<const InputFile>& file, bool gzip,
                         const CsvOptions& options, const DeclaredType& declared,
                         std::optional<std::int64_t> sample, std::stop_token stop);

// The rows behind the header.
std::unique_ptr<RowSource> csv_rows(const std::shared_ptr<const InputFile>& file, bool gzip,
                                    const CsvOptions& options, const CsvScan& scan);

}  // namespace tidegate::engine::file
