#pragma once
// Timestamps as INT96, which old writers (Hive, Impala, Spark) left in Parquet files: a Julian day
// and nanoseconds, more than any Arrow unit holds. Arrow wraps what does not fit without a word, so
// the values are looked at before a unit is chosen.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

namespace parquet {
class ParquetFileReader;
}

namespace tidegate::engine::file {

struct Int96Findings {
  bool nanos = false;        // a value is no whole microsecond
  std::string beyond_nanos;  // a column with a value that 64 bits of nanoseconds do not hold
  // Columns with a value that microseconds do not hold either, each with what is wrong.
  std::map<std::string, std::string> broken;
};

// Reads every INT96 column of the file; of its first row group only `sample` bytes, if
// given. Leaves early, without an error, when `stop` is requested. May throw what Parquet throws.
arrow::Status look_at_int96(parquet::ParquetFileReader& file, std::optional<std::int64_t> sample,
                            const std::stop_token& stop, Int96Findings& found);

}  // namespace tidegate::engine::file
