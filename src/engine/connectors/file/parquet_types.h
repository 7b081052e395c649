#pragma once
// Parquet's types as those that the engine's destinations know.

#include <arrow/result.h>
#include <arrow/type_fwd.h>

#include <memory>

namespace tidegate::engine::file {

// Nested values are JSON; dictionaries, wide offsets, narrow decimals and extensions are how a
// writer stored its values, not what they are. UUIDs, durations and half floats are text.
std::shared_ptr<arrow::Field> plain(const arrow::Field& field);

// The values of a column whose field's plain() is `to`.
arrow::Result<std::shared_ptr<arrow::Array>> as_plain(std::shared_ptr<arrow::Array> array,
                                                      const arrow::Field& to);

}  // namespace tidegate::engine::file
