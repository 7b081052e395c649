#include "engine/connectors/mysql/types.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/core/schema.h"

namespace tidegate::engine::mysql {
namespace {

std::shared_ptr<arrow::DataType> arrow_type(const ColumnType& type) {
  switch (type.kind) {
    case Kind::Int8:
      return arrow::int8();
    case Kind::UInt8:
      return arrow::uint8();
    case Kind::Int16:
      return arrow::int16();
    case Kind::UInt16:
      return arrow::uint16();
    case Kind::Int32:
      return arrow::int32();
    case Kind::UInt32:
      return arrow::uint32();
    case Kind::Int64:
      return arrow::int64();
    case Kind::UInt64:
    case Kind::Bits:
      return arrow::uint64();
    case Kind::Bit:
      return arrow::boolean();
    case Kind::Float:
      return arrow::float32();
    case Kind::Double:
      return arrow::float64();
    case Kind::Decimal:
      return arrow::decimal128(type.precision, type.scale);
    case Kind::Bytes:
      return arrow::binary();
    case Kind::Date:
      return arrow::date32();
    case Kind::Time:
      return arrow::time64(arrow::TimeUnit::MICRO);
    case Kind::DateTime:
      return arrow::timestamp(arrow::TimeUnit::MICRO);
    case Kind::Timestamp:
      return arrow::timestamp(arrow::TimeUnit::MICRO, "UTC");
    case Kind::DecimalText:
    case Kind::Text:
    case Kind::Json:
      break;
  }
  return arrow::utf8();
}

}  // namespace

ColumnType column_type(const CatalogType& type) {
  static constexpr std::pair<std::string_view, Kind> kKinds[] = {
      {"tinyint", Kind::Int8}, {"smallint", Kind::Int16},    {"mediumint", Kind::Int32},
      {"int", Kind::Int32},    {"bigint", Kind::Int64},      {"year", Kind::Int16},
      {"float", Kind::Float},  {"double", Kind::Double},     {"date", Kind::Date},
      {"time", Kind::Time},    {"datetime", Kind::DateTime}, {"timestamp", Kind::Timestamp},
      {"json", Kind::Json},    {"decimal", Kind::Decimal},   {"bit", Kind::Bits},
      {"uuid", Kind::Text},    {"inet4", Kind::Text},        {"inet6", Kind::Text},
  };
  const auto at =
      std::ranges::find(kKinds, type.data_type, &std::pair<std::string_view, Kind>::first);
  // What has no form of its own is text where it has letters, else bytes (geometry, vectors).
  ColumnType out{at != std::end(kKinds) ? at->second : type.has_charset ? Kind::Text : Kind::Bytes};
  switch (out.kind) {
    case Kind::Int8:
    case Kind::Int16:
    case Kind::Int32:
    case Kind::Int64:
      if (type.column_type.find("unsigned") != std::string_view::npos && type.data_type != "year")
        out.kind = static_cast<Kind>(static_cast<int>(out.kind) + 1);
      break;
    case Kind::Decimal:
      if (type.precision > 38) return {Kind::DecimalText};
      out.precision = type.precision;
      out.scale = type.scale;
      break;
    case Kind::Bits:
      if (type.column_type == "bit(1)") out.kind = Kind::Bit;
      break;
    case Kind::Text:
      if (type.is_json) out.kind = Kind::Json;
      break;
    default:
      break;
  }
  return out;
}

std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type) {
  auto field = arrow::field(name, arrow_type(type));
  return type.kind == Kind::Json ? mark_json(field) : field;
}

std::string select_expression(const std::string& identifier, const ColumnType& type) {
  // A float is written with six digits; as a double with all that it has.
  return type.kind == Kind::Float ? fmt::format("{} + 0e0", identifier) : identifier;
}

bool is_time(const ColumnType& type) {
  return type.kind == Kind::Timestamp || type.kind == Kind::DateTime || type.kind == Kind::Date;
}

bool is_whole_number(const ColumnType& type) {
  return type.kind <= Kind::Int64;  // 64 bits without a sign have no place in a state
}

}  // namespace tidegate::engine::mysql
