#pragma once
// Types of MySQL and MariaDB columns → Arrow types, with no silent loss.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tidegate::engine::mysql {

enum class Kind : std::uint8_t {
  Int8,
  UInt8,
  Int16,
  UInt16,
  Int32,
  UInt32,
  Int64,
  UInt64,
  Bit,   // bit(1)
  Bits,  // bit(2) to bit(64), the last bit the lowest
  Float,
  Double,
  Decimal,      // at most 38 digits
  DecimalText,  // more: as text, digit by digit
  Text,
  Json,
  Bytes,
  Date,
  Time,
  DateTime,
  Timestamp,
};

struct ColumnType {
  Kind kind = Kind::Text;
  int precision = 0, scale = 0;  // Decimal
  bool operator==(const ColumnType&) const = default;
};

// As information_schema.COLUMNS says it.
struct CatalogType {
  std::string_view data_type;    // `bigint`
  std::string_view column_type;  // `bigint(20) unsigned`
  int precision = 0, scale = 0;
  bool has_charset = false;
  bool is_json = false;  // a check constraint json_valid(), MariaDB's form of the type
};
ColumnType column_type(const CatalogType& type);

std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type);

// What stands in the SELECT for a column, so that its text is exact.
std::string select_expression(const std::string& identifier, const ColumnType& type);

// Columns that can only grow come first among cursor candidates: times before numbers.
bool is_time(const ColumnType& type);
bool is_whole_number(const ColumnType& type);

}  // namespace tidegate::engine::mysql
