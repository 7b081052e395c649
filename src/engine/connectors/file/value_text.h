#pragma once
// Values of Arrow arrays as text that reads back as the same value.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::engine::file {

// Appends one value. Numbers in their shortest exact form, decimals with all digits of their scale,
// dates `2026-01-31`, timestamps as RFC 3339 (with `Z` when the column has a zone, with as many
// digits of a second as it has), times `09:00:00`, durations `PT1.5S`, UUIDs in their usual form,
// bytes in base64 (RFC 4648, 4), lists, structs and maps as JSON. REQUIRES: the value is not NULL.
void append_text(std::string& out, const arrow::Array& array, std::int64_t row);

// The same as a JSON value; NULL as null. Numbers that JSON has no form for (NaN) are strings.
void append_json(std::string& out, const arrow::Array& array, std::int64_t row);
void append_json_string(std::string& out, std::string_view text);

}  // namespace tidegate::engine::file
