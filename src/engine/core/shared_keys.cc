#include "engine/core/shared_keys.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>

#include <algorithm>
#include <functional>

#include "engine/core/rows.h"

namespace tidegate::engine {
namespace {

// 2^64 divided by the golden ratio, odd: spreads each bit over those above it.
constexpr std::uint64_t kMix = 0x9E3779B97F4A7C15;

}  // namespace

void SharedKeys::add(const arrow::RecordBatch& batch, const std::vector<std::uint8_t>& keep) {
  arrow::ArrayVector columns;
  for (const auto& name : key_) columns.push_back(batch.GetColumnByName(name));
  for (std::int64_t row = 0; row < batch.num_rows(); ++row) {
    if (keep[static_cast<std::size_t>(row)] == 0) continue;
    if (hashes_.size() == max_rows_) {
      complete_ = false;
      return;
    }
    std::uint64_t hash = 0;
    for (const auto& column : columns) {
      hash ^= std::hash<std::string>{}(value_text(*column, row).value_or(""));
      hash *= kMix;
      hash ^= hash >> 32;
    }
    hashes_.push_back(hash);
  }
}

std::int64_t SharedKeys::superseded() {
  std::ranges::sort(hashes_);
  const auto same = std::ranges::unique(hashes_);
  return static_cast<std::int64_t>(same.size());
}

}  // namespace tidegate::engine
