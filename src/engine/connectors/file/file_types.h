#pragma once
// The types of columns of files that have types (JSON lines, Parquet): which a field gets, and
// which one holds the values of two.

#include <arrow/type_fwd.h>

#include <memory>
#include <string>

#include "base/error.h"
#include "engine/connectors/file/format.h"

namespace tidegate::engine::file {

// The field of a new column: nullable, of a type that both formats have (see plain()), and that is
// written in a unit Parquet knows. Whole seconds become milliseconds.
std::shared_ptr<arrow::Field> held_field(const arrow::Field& field);

// The narrowest type that holds the values of both, under the first one's name; text where there is
// no other. Null: bytes and something else. REQUIRES: both came from held_field().
std::shared_ptr<arrow::Field> join_fields(const arrow::Field& a, const arrow::Field& b);

// True: every value of `from` is one of `to`.
bool holds(const arrow::Field& to, const arrow::Field& from);

// How JSON lines write a column.
enum class JsonForm : std::uint8_t {
  Nothing,  // no values
  Bool,
  Number,
  String,
  Json,  // a value of any kind, as it is
};
JsonForm json_form(const arrow::Field& field);

// A schema as text for state.json, and back. Internal: `path` was changed by somebody.
Result<std::string> encode_types(const arrow::Schema& schema);
Result<std::shared_ptr<arrow::Schema>> decode_types(const std::string& text,
                                                    const std::string& path);

}  // namespace tidegate::engine::file
