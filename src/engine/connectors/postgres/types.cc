#include "engine/connectors/postgres/types.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include "engine/core/schema.h"

namespace tidegate::engine::postgres {
namespace {

// numeric's typmod: ((precision << 16) | scale) + 4; the scale has 11 bits and a sign since
// PostgreSQL 15.
ColumnType numeric(std::int64_t typmod) {
  if (typmod < 4) return {Kind::NumericText};
  const std::int64_t packed = typmod - 4;
  const int precision = static_cast<int>(packed >> 16);
  int scale = static_cast<int>(packed & 0x7FF);
  if (scale >= 1024) scale -= 2048;
  if (precision > 38 || scale < 0 || scale > precision) return {Kind::NumericText};
  return {Kind::Numeric, precision, scale};
}

std::shared_ptr<arrow::DataType> arrow_type(const ColumnType& type) {
  switch (type.kind) {
    case Kind::Bool:
      return arrow::boolean();
    case Kind::Int2:
      return arrow::int16();
    case Kind::Int4:
      return arrow::int32();
    case Kind::Int8:
    case Kind::Oid:
      return arrow::int64();
    case Kind::Float4:
      return arrow::float32();
    case Kind::Float8:
      return arrow::float64();
    case Kind::Numeric:
      return arrow::decimal128(type.precision, type.scale);
    case Kind::Bytes:
      return arrow::binary();
    case Kind::Date:
      return arrow::date32();
    case Kind::Time:
      return arrow::time64(arrow::TimeUnit::MICRO);
    case Kind::Timestamp:
      return arrow::timestamp(arrow::TimeUnit::MICRO);
    case Kind::TimestampTz:
      return arrow::timestamp(arrow::TimeUnit::MICRO, "UTC");
    case Kind::NumericText:
    case Kind::Text:
    case Kind::Char:
    case Kind::Json:
    case Kind::Jsonb:
    case Kind::Uuid:
    case Kind::CastText:
    case Kind::CastJson:
      break;
  }
  return arrow::utf8();
}

}  // namespace

ColumnType column_type(const CatalogType& type) {
  switch (type.oid) {
    case 16:
      return {Kind::Bool};
    case 21:
      return {Kind::Int2};
    case 23:
      return {Kind::Int4};
    case 20:
      return {Kind::Int8};
    case 26:
      return {Kind::Oid};
    case 700:
      return {Kind::Float4};
    case 701:
      return {Kind::Float8};
    case 1700:
      return numeric(type.typmod);
    case 25:    // text
    case 1043:  // varchar
    case 19:    // name
      return {Kind::Text};
    case 1042:
      return {Kind::Char};
    case 114:
      return {Kind::Json};
    case 3802:
      return {Kind::Jsonb};
    case 17:
      return {Kind::Bytes};
    case 1082:
      return {Kind::Date};
    case 1083:
      return {Kind::Time};
    case 1114:
      return {Kind::Timestamp};
    case 1184:
      return {Kind::TimestampTz};
    case 2950:
      return {Kind::Uuid};
    default:
      break;
  }
  // Arrays have the category A, also those of domains and enums. int2vector and oidvector are of it
  // too, and to_jsonb knows them.
  if (type.typtype == 'c' || type.category == 'A') return {Kind::CastJson};
  return {Kind::CastText};
}

std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type) {
  auto field = arrow::field(name, arrow_type(type));
  const bool json =
      type.kind == Kind::Json || type.kind == Kind::Jsonb || type.kind == Kind::CastJson;
  return json ? mark_json(field) : field;
}

std::string select_expression(const std::string& identifier, const ColumnType& type) {
  if (type.kind == Kind::CastText) return fmt::format("{}::text", identifier);
  // As text: jsonb travels with a version before it, and json keeps nothing of an array.
  if (type.kind == Kind::CastJson) return fmt::format("to_json({})::text", identifier);
  return identifier;
}

bool is_time(const ColumnType& type) {
  return type.kind == Kind::Timestamp || type.kind == Kind::TimestampTz || type.kind == Kind::Date;
}

bool is_whole_number(const ColumnType& type) {
  return type.kind == Kind::Int2 || type.kind == Kind::Int4 || type.kind == Kind::Int8;
}

}  // namespace tidegate::engine::postgres
