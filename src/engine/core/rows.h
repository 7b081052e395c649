#pragma once
// Single rows of batches: hashes, keys, JSON for people. Slow per row on purpose: for few rows.

#include <arrow/type_fwd.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace tidegate::engine {

// 128-bit BLAKE2b of the row over `columns` (hex). Equal values hash equally when a column's type
// was widened meanwhile (1 and 1.0, decimal 1.5 and 1.50); a column that is missing counts as NULL.
std::string row_hash(const arrow::RecordBatch& batch, std::int64_t row,
                     const std::vector<std::string>& columns);

// What a field's values are when they are hashed: `integer`, `number`, `text`, `date`, …; "" when
// it has none (arrow::null()).
std::string hash_kind(const arrow::Field& field);
// Of a column whose values were not always of one kind; equals nothing.
inline constexpr const char* kMixedKind = "mixed";
// True: a value of kind `then` hashes now as it did, in a column that is of kind `now`.
bool hash_equally(std::string_view then, std::string_view now);
// The kind of a column that holds values of both; "": no values.
std::string join_kinds(const std::string& a, const std::string& b);

// One value as text that is equal for equal values across widened types; nullopt for NULL.
std::optional<std::string> value_text(const arrow::Array& array, std::int64_t row);

// For previews and rejected rows; at most `max_bytes` of text in a value.
boost::json::object row_json(const arrow::RecordBatch& batch, std::int64_t row,
                             std::size_t max_bytes = 1024);

// The rows with keep[row] != 0. Zero-copy where they are in few runs. REQUIRES: one flag per row.
Result<std::shared_ptr<arrow::RecordBatch>> keep_rows(
    const std::shared_ptr<arrow::RecordBatch>& batch, const std::vector<std::uint8_t>& keep);

}  // namespace tidegate::engine
