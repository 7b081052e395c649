#include "engine/core/shared_keys.h"

#include <algorithm>
#include <charconv>

#include "engine/core/rows.h"

namespace tidegate::engine {

void SharedKeys::add(const arrow::RecordBatch& batch, std::int64_t row) {
  if (hashes_.size() == max_rows_) {
    complete_ = false;
    return;
  }
  const std::string hex = row_hash(batch, row, key_);
  std::uint64_t hash = 0;
  std::from_chars(hex.data(), hex.data() + 16, hash, 16);
  hashes_.push_back(hash);
}

std::int64_t SharedKeys::superseded() {
  std::ranges::sort(hashes_);
  const auto same = std::ranges::unique(hashes_);
  return static_cast<std::int64_t>(same.size());
}

}  // namespace tidegate::engine
