#pragma once
// The types of columns that Tidegate makes in PostgreSQL, and what an existing column can hold.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::engine::postgres {

enum class Target : std::uint8_t {
  Bool,
  Int2,
  Int4,
  Int8,
  Float4,
  Float8,
  Numeric,
  Text,
  Jsonb,
  Bytea,
  Date,
  Time,
  Timestamp,
  TimestampTz,
  Parsed,  // uuid and enums: every value has one text, and other texts are refused
  Other,   // a type that only its own values go into
};

struct TargetType {
  Target kind = Target::Other;
  int precision = 0, scale = 0;  // Numeric; 0, 0: any number
  int length = 0;                // varchar(n), char(n); 0: any
  std::string declared;          // as in CREATE TABLE

  bool operator==(const TargetType&) const = default;
};

// The type of a new column for the field. A field without any value becomes text. Unsupported,
// naming the column, for types that PostgreSQL has no form for.
Result<TargetType> target_type(const arrow::Field& field);

// What format_type() says of an existing column.
TargetType from_declared(std::string_view declared);

// True: every value of `incoming` is held by a column of `existing`, after an assignment cast.
bool holds(const TargetType& existing, const TargetType& incoming);

// The narrowest type that holds the values of both; nullopt: there is none.
std::optional<TargetType> widen(const TargetType& existing, const TargetType& incoming);

}  // namespace tidegate::engine::postgres
