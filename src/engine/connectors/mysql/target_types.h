#pragma once
// The types of columns that Tidegate makes in MySQL, and what an existing column can hold.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::engine::mysql {

enum class Target : std::uint8_t {
  Int,
  Float,
  Double,
  Decimal,
  Text,
  Json,
  Bytes,
  Date,
  Time,
  DateTime,
  Other,  // a type that only its own values go into
};

struct TargetType {
  Target kind = Target::Other;
  int bits = 0;  // Int
  bool is_unsigned = false;
  int precision = 0, scale = 0;  // Decimal
  int length = 0;                // Text: characters, Bytes: bytes; 0: up to 4 GiB
  int digits = 0;                // Time, DateTime: of a second's fraction
  std::string declared;          // as in CREATE TABLE, without a collation

  bool operator==(const TargetType&) const = default;
};

// The type of a new column for the field. A field without any value becomes text. Unsupported,
// naming the column, for types that MySQL has no form for.
Result<TargetType> target_type(const arrow::Field& field);
// Of a column of a key: an index takes no text without a length. `length` as in TargetType.
// Unsupported for JSON, which cannot be a key.
Result<TargetType> key_type(const arrow::Field& field, int length);

// What information_schema says of an existing column.
TargetType from_declared(std::string_view column_type);

// True: every value of `incoming` is held by a column of `existing`.
bool holds(const TargetType& existing, const TargetType& incoming);

// The narrowest type that holds the values of both; nullopt: there is none.
std::optional<TargetType> widen(const TargetType& existing, const TargetType& incoming);

}  // namespace tidegate::engine::mysql
