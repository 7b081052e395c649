#include "engine/connectors/file/parquet_int96.h"

#include <arrow/status.h>
#include <fmt/format.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>

#include <array>
#include <cstring>
#include <limits>

#include "engine/core/cursor.h"

namespace tidegate::engine::file {
namespace {

constexpr std::int64_t kUnixEpoch = 2'440'588;  // its Julian day
constexpr std::int64_t kDayNs = 86'400'000'000'000;
constexpr std::size_t kValues = 4096;  // looked at at a time

template <class T>
bool fits(T value) {
  return value >= std::numeric_limits<std::int64_t>::min() &&
         value <= std::numeric_limits<std::int64_t>::max();
}

void look_at(const parquet::Int96& value, const std::string& column, Int96Findings& found) {
  std::uint64_t clock = 0;  // bytes 0 to 7: nanoseconds of the day, 8 to 11: the day
  std::memcpy(&clock, value.value.data(), sizeof clock);
  const Int128 ns = (Int128{value.value[2]} - kUnixEpoch) * kDayNs + clock;
  if (clock >= kDayNs || !fits(ns / 1000)) {
    found.broken.try_emplace(
        column,
        fmt::format("the column \"{}\" has an INT96 value that is no timestamp (day {}, {} ns); "
                    "leave the column out (`columns` of the entity), or write the file anew",
                    column, value.value[2], clock));
    return;
  }
  found.nanos = found.nanos || clock % 1000 != 0;
  if (found.beyond_nanos.empty() && !fits(ns)) found.beyond_nanos = column;
}

void look_at_column(parquet::Int96Reader& reader, const parquet::ColumnDescriptor& column,
                    std::int64_t most, const std::stop_token& stop, Int96Findings& found) {
  std::array<parquet::Int96, kValues> values{};
  std::array<std::int16_t, kValues> definitions{}, repetitions{};
  const std::string name = column.path()->ToDotString();
  for (std::int64_t seen = 0; seen < most && reader.HasNext() && !stop.stop_requested();) {
    std::int64_t n = 0;
    seen += reader.ReadBatch(kValues, definitions.data(), repetitions.data(), values.data(), &n);
    for (std::int64_t i = 0; i < n; ++i) {
      look_at(values[static_cast<std::size_t>(i)], name, found);
    }
  }
}

}  // namespace

arrow::Status look_at_int96(parquet::ParquetFileReader& file, std::optional<std::int64_t> sample,
                            const std::stop_token& stop, Int96Findings& found) {
  const parquet::SchemaDescriptor& schema = *file.metadata()->schema();
  const std::int64_t most = sample ? *sample / static_cast<std::int64_t>(sizeof(parquet::Int96))
                                   : std::numeric_limits<std::int64_t>::max();
  for (int c = 0; c < schema.num_columns(); ++c) {
    const parquet::ColumnDescriptor& column = *schema.Column(c);
    if (column.physical_type() != parquet::Type::INT96) continue;
    for (int group = 0; group < file.metadata()->num_row_groups(); ++group) {
      const auto reader = file.RowGroup(group)->Column(c);
      look_at_column(static_cast<parquet::Int96Reader&>(*reader), column, most, stop, found);
      if (sample) break;
    }
  }
  return arrow::Status::OK();
}

}  // namespace tidegate::engine::file
