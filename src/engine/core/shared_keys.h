#pragma once
// How many rows of a load share their key with another one: what a run without a destination cannot
// be told by it.

#include <arrow/type_fwd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tidegate::engine {

// Used by one thread. Keeps 8 bytes of each row's key, of the first `max_rows` rows.
class SharedKeys {
 public:
  static constexpr std::size_t kMaxRows = 16'000'000;

  explicit SharedKeys(std::vector<std::string> key, std::size_t max_rows = kMaxRows)
      : key_(std::move(key)), max_rows_(max_rows) {}

  // The rows with keep[row] != 0. REQUIRES: one flag per row.
  void add(const arrow::RecordBatch& batch, const std::vector<std::uint8_t>& keep);
  // Rows so far less the keys among them: by a hash of 64 bits, so that of 16 million rows one is
  // wrong once in 100,000 times.
  std::int64_t superseded();
  // False: there were more rows than are counted.
  bool complete() const { return complete_; }

 private:
  std::vector<std::string> key_;
  std::size_t max_rows_;
  std::vector<std::uint64_t> hashes_;
  bool complete_ = true;
};

}  // namespace tidegate::engine
