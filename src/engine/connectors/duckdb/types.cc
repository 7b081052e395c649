#include "engine/connectors/duckdb/types.h"

#include <arrow/type.h>
#include <arrow/type_traits.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/core/schema.h"

namespace tidegate::engine::duckdb {
namespace {

struct Named {
  std::string_view name;
  Kind kind;
  int duckdb_type;  // duckdb_type, of what is handed in
};
constexpr Named kNames[] = {{"BOOLEAN", Kind::Bool, 1},
                            {"TINYINT", Kind::Int8, 2},
                            {"SMALLINT", Kind::Int16, 3},
                            {"INTEGER", Kind::Int32, 4},
                            {"BIGINT", Kind::Int64, 5},
                            {"UTINYINT", Kind::UInt8, 6},
                            {"USMALLINT", Kind::UInt16, 7},
                            {"UINTEGER", Kind::UInt32, 8},
                            {"UBIGINT", Kind::UInt64, 9},
                            {"FLOAT", Kind::Float, 10},
                            {"DOUBLE", Kind::Double, 11},
                            {"TIMESTAMP", Kind::Timestamp, 12},
                            {"DATE", Kind::Date, 13},
                            {"TIME", Kind::Time, 14},
                            {"VARCHAR", Kind::Text, 17},
                            {"BLOB", Kind::Blob, 18},
                            {"TIMESTAMP_NS", Kind::TimestampNs, 22},
                            {"TIMESTAMP WITH TIME ZONE", Kind::TimestampTz, 31},
                            {"JSON", Kind::Json, 17},
                            {"TIMESTAMP_S", Kind::TimestampS, 0},
                            {"TIMESTAMP_MS", Kind::TimestampMs, 0}};

const Named* named(Kind kind) {
  const auto at = std::ranges::find(kNames, kind, &Named::kind);
  return at == std::end(kNames) ? nullptr : &*at;
}

ColumnType plain(Kind kind) { return {.kind = kind, .declared = std::string(named(kind)->name)}; }

ColumnType decimal(int precision, int scale) {
  return {.kind = Kind::Decimal,
          .precision = precision,
          .scale = scale,
          .declared = fmt::format("DECIMAL({},{})", precision, scale)};
}

bool is_signed(Kind k) { return k >= Kind::Int8 && k <= Kind::Int64; }
bool is_unsigned(Kind k) { return k >= Kind::UInt8 && k <= Kind::UInt64; }
bool is_int(Kind k) { return is_signed(k) || is_unsigned(k); }
// 0 to 3: of 8, 16, 32 and 64 bits.
int width(Kind k) {
  return static_cast<int>(k) - static_cast<int>(is_signed(k) ? Kind::Int8 : Kind::UInt8);
}

int whole_digits(const ColumnType& t) {
  static constexpr int kSigned[] = {3, 5, 10, 19}, kUnsigned[] = {3, 5, 10, 20};
  if (is_signed(t.kind)) return kSigned[width(t.kind)];
  if (is_unsigned(t.kind)) return kUnsigned[width(t.kind)];
  return t.precision - t.scale;
}

bool is_exact(const ColumnType& t) { return is_int(t.kind) || t.kind == Kind::Decimal; }
bool is_number(const ColumnType& t) {
  return is_exact(t) || t.kind == Kind::Float || t.kind == Kind::Double;
}

// The narrowest exact type of both; nullopt: more than 38 digits.
std::optional<ColumnType> widen_exact(const ColumnType& a, const ColumnType& b) {
  if (is_int(a.kind) && is_int(b.kind)) {
    const auto& u = is_unsigned(a.kind) ? a : b;
    const auto& s = is_unsigned(a.kind) ? b : a;
    const int bits = std::max(width(u.kind) + 1, width(s.kind));
    if (bits <= 3) return plain(static_cast<Kind>(static_cast<int>(Kind::Int8) + bits));
  }
  const int scale = std::max(a.scale, b.scale);
  const int whole = std::max(whole_digits(a), whole_digits(b));
  if (whole + scale > 38) return std::nullopt;
  return decimal(whole + scale, scale);
}

}  // namespace

ColumnType from_declared(std::string_view declared) {
  ColumnType type{.declared = std::string(declared)};
  if (declared.ends_with(']') || declared.starts_with("STRUCT(") || declared.starts_with("MAP(") ||
      declared.starts_with("UNION(")) {
    type.kind = Kind::Nested;
    return type;
  }
  if (declared.starts_with("DECIMAL(")) {
    const std::string_view inside = declared.substr(8);
    const char* const end = inside.data() + inside.size();
    const auto first = std::from_chars(inside.data(), end, type.precision);
    if (first.ptr != end && *first.ptr == ',') std::from_chars(first.ptr + 1, end, type.scale);
    type.kind = Kind::Decimal;
    return type;
  }
  const auto at = std::ranges::find(kNames, declared, &Named::name);
  if (at != std::end(kNames)) type.kind = at->kind;
  return type;
}

std::shared_ptr<arrow::DataType> handed_type(const ColumnType& type) {
  switch (type.kind) {
    case Kind::Bool:
      return arrow::boolean();
    case Kind::Int8:
      return arrow::int8();
    case Kind::Int16:
      return arrow::int16();
    case Kind::Int32:
      return arrow::int32();
    case Kind::Int64:
      return arrow::int64();
    case Kind::UInt8:
      return arrow::uint8();
    case Kind::UInt16:
      return arrow::uint16();
    case Kind::UInt32:
      return arrow::uint32();
    case Kind::UInt64:
      return arrow::uint64();
    case Kind::Float:
      return arrow::float32();
    case Kind::Double:
      return arrow::float64();
    case Kind::Decimal:
      return arrow::decimal128(type.precision, type.scale);
    case Kind::Blob:
      return arrow::binary();
    case Kind::Date:
      return arrow::date32();
    case Kind::Time:
      return arrow::time64(arrow::TimeUnit::MICRO);
    case Kind::Timestamp:
      return arrow::timestamp(arrow::TimeUnit::MICRO);
    case Kind::TimestampS:
      return arrow::timestamp(arrow::TimeUnit::SECOND);
    case Kind::TimestampMs:
      return arrow::timestamp(arrow::TimeUnit::MILLI);
    case Kind::TimestampNs:
      return arrow::timestamp(arrow::TimeUnit::NANO);
    case Kind::TimestampTz:
      return arrow::timestamp(arrow::TimeUnit::MICRO, "UTC");
    case Kind::Text:
    case Kind::Json:
    case Kind::Nested:
    case Kind::Other:
      break;
  }
  return arrow::utf8();
}

LogicalType make_type(const Api& api, const arrow::DataType& handed) {
  if (handed.id() == arrow::Type::DECIMAL128) {
    const auto& d = static_cast<const arrow::DecimalType&>(handed);
    return api.create_decimal_type(static_cast<std::uint8_t>(d.precision()),
                                   static_cast<std::uint8_t>(d.scale()));
  }
  if (arrow::is_base_binary_like(handed.id()) && !arrow::is_string(handed.id()))
    return api.create_logical_type(named(Kind::Blob)->duckdb_type);
  if (handed.id() == arrow::Type::FIXED_SIZE_BINARY)
    return api.create_logical_type(named(Kind::Blob)->duckdb_type);
  for (const Named& n : kNames) {
    if (n.duckdb_type != 0 && handed_type({.kind = n.kind})->Equals(handed))
      return api.create_logical_type(n.duckdb_type);
  }
  return api.create_logical_type(kTypeVarchar);
}

std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type) {
  auto field = arrow::field(name, handed_type(type));
  return type.kind == Kind::Json || type.kind == Kind::Nested ? mark_json(field) : field;
}

std::string select_expression(const std::string& identifier, const ColumnType& type) {
  switch (type.kind) {
    case Kind::Nested:
      return fmt::format("to_json({})::VARCHAR", identifier);
    case Kind::Json:  // else it travels as an extension type
    case Kind::Other:
      return fmt::format("{}::VARCHAR", identifier);
    default:
      return identifier;
  }
}

bool is_time(const ColumnType& type) {
  return type.kind == Kind::Date ||
         (type.kind >= Kind::Timestamp && type.kind <= Kind::TimestampTz);
}

bool is_whole_number(const ColumnType& type) { return is_int(type.kind); }

Result<ColumnType> target_type(const arrow::Field& field) {
  if (is_json(field)) return plain(Kind::Json);
  const arrow::DataType& type = *field.type();
  switch (type.id()) {
    case arrow::Type::NA:
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::DECIMAL256:
      return plain(Kind::Text);
    case arrow::Type::DECIMAL128: {
      const auto& d = static_cast<const arrow::DecimalType&>(type);
      if (d.scale() >= 0 && d.scale() <= d.precision()) return decimal(d.precision(), d.scale());
      return plain(Kind::Text);
    }
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::FIXED_SIZE_BINARY:
      return plain(Kind::Blob);
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return plain(Kind::Time);
    case arrow::Type::TIMESTAMP: {
      const auto& t = static_cast<const arrow::TimestampType&>(type);
      if (!t.timezone().empty()) return plain(Kind::TimestampTz);
      return plain(t.unit() == arrow::TimeUnit::NANO ? Kind::TimestampNs : Kind::Timestamp);
    }
    default:
      break;
  }
  for (const Named& n : kNames) {
    if (n.kind != Kind::Text && handed_type({.kind = n.kind})->Equals(type)) return plain(n.kind);
  }
  return fail(Code::Unsupported,
              fmt::format("column \"{}\" is of the type {}, which has no form in DuckDB; leave it "
                          "out (`columns` of the entity)",
                          field.name(), type_words(field)));
}

bool holds(const ColumnType& existing, const ColumnType& incoming) {
  const Kind to = existing.kind, from = incoming.kind;
  if (to == Kind::Decimal) {
    return is_exact(incoming) && existing.scale >= incoming.scale &&
           whole_digits(existing) >= whole_digits(incoming);
  }
  if (to == Kind::Other || to == Kind::Nested) return existing.declared == incoming.declared;
  if (to == from) return true;
  if (is_signed(to)) {
    return (is_signed(from) && width(from) <= width(to)) ||
           (is_unsigned(from) && width(from) < width(to));
  }
  if (is_unsigned(to)) return is_unsigned(from) && width(from) <= width(to);
  if (to == Kind::Double) return from == Kind::Float || (is_int(from) && width(from) <= 2);
  if (to == Kind::Float) return is_int(from) && width(from) <= 1;
  if (to == Kind::Timestamp) return from == Kind::Date;
  return to == Kind::Text && from != Kind::Blob;
}

bool may_hold(const ColumnType& existing, const ColumnType& incoming) {
  return (existing.kind == Kind::Other && incoming.kind == Kind::Text) ||
         (existing.kind == Kind::TimestampNs && incoming.kind == Kind::Timestamp);
}

std::optional<ColumnType> widen(const ColumnType& existing, const ColumnType& incoming) {
  if (holds(existing, incoming)) return existing;
  // The user's own: not to be made text.
  if (existing.kind == Kind::Other || existing.kind == Kind::Nested) return std::nullopt;
  if (holds(incoming, existing)) return incoming;
  if (is_exact(existing) && is_exact(incoming)) {
    const auto wide = widen_exact(existing, incoming);
    return wide ? wide : plain(Kind::Text);
  }
  if (is_number(existing) && is_number(incoming)) {
    const auto small = [](const ColumnType& t) { return is_int(t.kind) && width(t.kind) <= 2; };
    const auto fraction = [](const ColumnType& t) {
      return t.kind == Kind::Float || t.kind == Kind::Double;
    };
    // Whole numbers of 64 bits and decimals have no exact form among fractions.
    const bool both =
        (small(existing) || fraction(existing)) && (small(incoming) || fraction(incoming));
    return plain(both ? Kind::Double : Kind::Text);
  }
  if (existing.kind == Kind::Blob || incoming.kind == Kind::Blob) return std::nullopt;
  return plain(Kind::Text);
}

}  // namespace tidegate::engine::duckdb
