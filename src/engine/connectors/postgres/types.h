#pragma once
// Types of PostgreSQL columns ↔ Arrow types, with no silent loss. Oids of built-in types are fixed
// (src/include/catalog/pg_type.dat).

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tidegate::engine::postgres {

// How a value travels in a binary COPY.
enum class Kind : std::uint8_t {
  Bool,
  Int2,
  Int4,
  Int8,
  Oid,
  Float4,
  Float8,
  Numeric,      // with precision and scale, at most 38 digits
  NumericText,  // any other numeric: as text, digit by digit
  Text,
  Char,  // char(n): with its blanks, which PostgreSQL leaves aside when it compares
  Json,
  Jsonb,
  Bytes,
  Date,
  Time,
  Timestamp,
  TimestampTz,
  Uuid,
  CastText,  // no form of its own: the server makes text of it
  CastJson,  // arrays and composites: the server makes JSON of them
};

struct ColumnType {
  Kind kind = Kind::CastText;
  int precision = 0, scale = 0;  // Numeric
  bool operator==(const ColumnType&) const = default;
};

// Of a domain: that of its base type.
struct CatalogType {
  std::int64_t oid = 0;
  std::int64_t typmod = -1;
  char typtype =
      'b';  // pg_type.typtype: b, c(omposite), d(omain), e(num), p(seudo), r(ange), m(ultirange)
  char category = 'U';  // pg_type.typcategory
};
ColumnType column_type(const CatalogType& type);

std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type);

// What stands in the SELECT for a column, so that its values travel as its kind.
std::string select_expression(const std::string& identifier, const ColumnType& type);

// Columns that can only grow come first among cursor candidates: times before numbers.
bool is_time(const ColumnType& type);
bool is_whole_number(const ColumnType& type);

}  // namespace tidegate::engine::postgres
