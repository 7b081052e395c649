#include "engine/connectors/file/parquet_file.h"

#include <arrow/io/file.h>
#include <fmt/format.h>
#include <unistd.h>

#include "engine/core/context.h"
#include "engine/core/schema.h"

namespace tidegate::engine::file {

Status parquet_read_error(const arrow::Status& status, const std::string& path) {
  if (status.ok()) return {};
  Error error = from_arrow(status, fmt::format("cannot read '{}' as Parquet", path));
  if (error.code == Code::Invalid) return fail(data_error(std::move(error.message)));
  return fail(std::move(error));
}

Result<std::unique_ptr<parquet::arrow::FileReader>> open_parquet(int fd, const std::string& path,
                                                                 arrow::TimeUnit::type int96,
                                                                 std::int64_t batch_rows) {
  std::unique_ptr<parquet::arrow::FileReader> out;
  TG_CHECK(reading_parquet(path, [&]() -> arrow::Status {
    // It has a position of its own: Arrow reads with pread.
    ARROW_ASSIGN_OR_RAISE(auto input, arrow::io::ReadableFile::Open(dup(fd)));
    parquet::ReaderProperties properties = parquet::default_reader_properties();
    properties.enable_buffered_stream();  // a row group is not held as a whole
    parquet::ArrowReaderProperties arrow_properties;
    arrow_properties.set_batch_size(batch_rows);
    arrow_properties.set_pre_buffer(false);
    arrow_properties.set_coerce_int96_timestamp_unit(int96);
    parquet::arrow::FileReaderBuilder builder;
    ARROW_RETURN_NOT_OK(builder.Open(std::move(input), properties));
    builder.properties(arrow_properties);
    return builder.Build(&out);
  }));
  return out;
}

}  // namespace tidegate::engine::file
