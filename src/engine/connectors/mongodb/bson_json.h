#pragma once
// Between JSON texts and BSON values: MongoDB's Extended JSON (v2), without loss.
//
// To text: numbers, texts, booleans, nulls, arrays and documents as JSON has them, doubles always
// with a point or an exponent; everything else as its canonical wrapper (`{"$oid": "…"}`,
// `{"$date": {"$numberLong": "…"}}`, …). From text: wrappers become what they stand for, a whole
// number an int32 or int64, another number a double if that is exactly it, else a Decimal128.
// Only the width of an integer is not kept.

#include <bson/bson.h>

#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::engine::mongodb {

// Invalid: bytes that are no UTF-8.
Result<std::string> json_of(const bson_iter_t& value);
// Of a whole document.
Result<std::string> json_of(const bson_t& document);

// Appends the value of a JSON text. "": done; else why it cannot be held (`is no JSON`, `holds a
// number of 40 digits, …`). Then `to` may hold a part of it and must not be used.
std::string append_json(bson_t* to, std::string_view key, std::string_view json);

// A decimal written in digits; false: a Decimal128 cannot hold it exactly (34 digits).
bool exact_decimal(std::string_view text, bson_decimal128_t& out);
std::string decimal_text(const bson_decimal128_t& value);

}  // namespace tidegate::engine::mongodb
