#pragma once
// Declared column types of SQLite ↔ Arrow types, with no silent loss.
//
// SQLite stores by affinity, not by declared type (https://www.sqlite.org/datatype3.html §3). A
// type must therefore be declared so that its affinity leaves the stored value alone: a decimal or
// JSON text in a column declared DECIMAL or JSON (NUMERIC affinity) would become a floating-point
// number, so they are declared DECIMAL_TEXT(p,s) and JSON_TEXT.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::engine::sqlite {

enum class Kind : std::uint8_t {
  Any,   // no declared type that says anything
  None,  // a field without any value: fits every column, and becomes text where it makes one
  Bool,
  Int,
  Real,
  Decimal,
  Text,
  Json,
  Bytes,
  Date,
  Time,
  Timestamp,    // without zone
  TimestampTz,  // stored in UTC with +00:00
};

struct ColumnType {
  Kind kind = Kind::Any;
  int precision = 0, scale = 0;  // Decimal
  bool nanos = false;            // Timestamp, TimestampTz

  bool operator==(const ColumnType&) const = default;
};

// What SQLite does with a value that is stored in a column of a declared type
// (https://www.sqlite.org/datatype3.html §3).
enum class Affinity : std::uint8_t { Integer, Text, Blob, Real, Numeric };
Affinity affinity(std::string_view declared);

// True: a column declared so gives back what is written of `type`. Text that looks like a number
// becomes that number in a column of numeric affinity (007, 1e5), and a decimal of more than 15
// digits loses some.
bool keeps(std::string_view declared, const ColumnType& type);

// What a declared type says. Any for none, NUMERIC without parameters and unknown words.
ColumnType from_declared(std::string_view declared);
// The declared type we write for it.
std::string to_declared(const ColumnType& type);

// The column type that holds every value of the field. Unsupported, naming the column, for types
// that SQLite has no form for.
Result<ColumnType> column_type(const arrow::Field& field);

// The declared type for a new column: that of an SQLite source when it stores the same way and is
// made of plain words.
std::string declared_for(const arrow::Field& field, const ColumnType& type);
// Remembers an SQLite column's declared type on its field.
std::shared_ptr<arrow::Field> with_declared(const std::shared_ptr<arrow::Field>& field,
                                            const std::string& declared);

// The Arrow field that a column of this type is read as. REQUIRES: kind ≠ Any.
std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type);

// The narrowest type that holds all values of both; nullopt: there is none (bytes and something
// else).
std::optional<ColumnType> widen(const ColumnType& existing, const ColumnType& incoming);

// `"name"` → words for messages: `decimal(12,2)`.
std::string words(const ColumnType& type);

}  // namespace tidegate::engine::sqlite
