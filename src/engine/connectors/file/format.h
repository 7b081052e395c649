#pragma once
// What a file is.

#include <cstdint>
#include <string_view>

namespace tidegate::engine::file {

enum class Format : std::uint8_t { Csv, Jsonl, Parquet };
// Also the extensions of the files that the destination writes.
inline constexpr std::string_view kFormatNames[] = {"csv", "jsonl", "parquet"};
inline constexpr Format kFormats[] = {Format::Csv, Format::Jsonl, Format::Parquet};

constexpr std::string_view name_of(Format format) {
  return kFormatNames[static_cast<std::size_t>(format)];
}

}  // namespace tidegate::engine::file
