#pragma once
// Parquet files as the source and the destination open them.

#include <arrow/status.h>
#include <parquet/arrow/reader.h>

#include <exception>
#include <memory>
#include <string>

#include "base/error.h"

namespace tidegate::engine::file {

// What a call of Arrow or Parquet came to; the latter throws from some of them.
template <class Call>
arrow::Status arrow_call(const Call& call) {
  try {
    return call();
  } catch (const std::exception& e) {
    return arrow::Status::Invalid(e.what());
  }
}

// The same as an error of reading the file: what is no Parquet is a data_error().
Status parquet_read_error(const arrow::Status& status, const std::string& path);

template <class Call>
Status reading_parquet(const std::string& path, const Call& call) {
  return parquet_read_error(arrow_call(call), path);
}

// Batches of at most so many rows. `fd` stays the caller's; it has no position of its own.
Result<std::unique_ptr<parquet::arrow::FileReader>> open_parquet(int fd, const std::string& path,
                                                                 arrow::TimeUnit::type int96,
                                                                 std::int64_t batch_rows);

}  // namespace tidegate::engine::file
