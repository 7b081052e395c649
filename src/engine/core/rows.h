#pragma once
// Single rows of batches: hashes, keys, JSON for people. Slow per row on purpose: for few rows.

#include <arrow/type_fwd.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace tidegate::engine {

// 128-bit BLAKE2b of the row over `columns` (hex). Equal values hash equally when a column's type
// was widened meanwhile (1 and 1.0, decimal 1.5 and 1.50); a column that is missing counts as NULL.
std::string row_hash(const arrow::RecordBatch& batch, std::int64_t row,
                     const std::vector<std::string>& columns);

// One value as text that is equal for equal values across widened types; nullopt for NULL.
std::optional<std::string> value_text(const arrow::Array& array, std::int64_t row);

// For previews and rejected rows; at most `max_bytes` of text in a value.
boost::json::object row_json(const arrow::RecordBatch& batch, std::int64_t row,
                             std::size_t max_bytes = 1024);

// The rows with keep[row] != 0. Zero-copy where they are in few runs. REQUIRES: one flag per row.
Result<std::shared_ptr<arrow::RecordBatch>> keep_rows(
    const std::shared_ptr<arrow::RecordBatch>& batch, const std::vector<std::uint8_t>& keep);

}  // namespace tidegate::engine
