#include "engine/connectors/postgres/target_types.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/core/schema.h"

namespace tidegate::engine::postgres {
namespace {

TargetType plain(Target kind) {
  static constexpr std::pair<Target, const char*> kNames[] = {
      {Target::Bool, "boolean"},
      {Target::Int2, "smallint"},
      {Target::Int4, "integer"},
      {Target::Int8, "bigint"},
      {Target::Float4, "real"},
      {Target::Float8, "double precision"},
      {Target::Numeric, "numeric"},
      {Target::Text, "text"},
      {Target::Jsonb, "jsonb"},
      {Target::Bytea, "bytea"},
      {Target::Date, "date"},
      {Target::Time, "time without time zone"},
      {Target::Timestamp, "timestamp without time zone"},
      {Target::TimestampTz, "timestamp with time zone"}};
  const auto at = std::ranges::find(kNames, kind, &std::pair<Target, const char*>::first);
  return {.kind = kind, .declared = at == std::end(kNames) ? "" : at->second};
}

TargetType numeric(int precision, int scale) {
  return {.kind = Target::Numeric,
          .precision = precision,
          .scale = scale,
          .declared = fmt::format("numeric({},{})", precision, scale)};
}

// Whole digits of a number type.
int whole_digits(const TargetType& type) {
  switch (type.kind) {
    case Target::Int2:
      return 5;
    case Target::Int4:
      return 10;
    case Target::Int8:
      return 19;
    default:
      return type.precision - type.scale;
  }
}

bool is_int(const TargetType& t) {
  return t.kind == Target::Int2 || t.kind == Target::Int4 || t.kind == Target::Int8;
}

}  // namespace

Result<TargetType> target_type(const arrow::Field& field) {
  if (is_json(field)) return plain(Target::Jsonb);
  const arrow::DataType& type = *field.type();
  switch (type.id()) {
    case arrow::Type::NA:
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
      return plain(Target::Text);
    case arrow::Type::BOOL:
      return plain(Target::Bool);
    case arrow::Type::INT8:
    case arrow::Type::UINT8:
    case arrow::Type::INT16:
      return plain(Target::Int2);
    case arrow::Type::UINT16:
    case arrow::Type::INT32:
      return plain(Target::Int4);
    case arrow::Type::UINT32:
    case arrow::Type::INT64:
      return plain(Target::Int8);
    case arrow::Type::UINT64:
      return numeric(20, 0);
    case arrow::Type::FLOAT:
      return plain(Target::Float4);
    case arrow::Type::DOUBLE:
      return plain(Target::Float8);
    case arrow::Type::DECIMAL128: {
      const auto& d = static_cast<const arrow::DecimalType&>(type);
      if (d.scale() >= 0 && d.scale() <= d.precision()) return numeric(d.precision(), d.scale());
      return plain(Target::Numeric);
    }
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::FIXED_SIZE_BINARY:
      return plain(Target::Bytea);
    case arrow::Type::DATE32:
      return plain(Target::Date);
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return plain(Target::Time);
    case arrow::Type::TIMESTAMP:
      return plain(static_cast<const arrow::TimestampType&>(type).timezone().empty()
                       ? Target::Timestamp
                       : Target::TimestampTz);
    default:
      return fail(Code::Unsupported,
                  fmt::format("column \"{}\" is of the type {}, which has no form in PostgreSQL; "
                              "leave it out (`columns` of the entity)",
                              field.name(), type_words(field)));
  }
}

TargetType from_declared(std::string_view declared) {
  static constexpr std::pair<std::string_view, Target> kNames[] = {
      {"boolean", Target::Bool},
      {"smallint", Target::Int2},
      {"integer", Target::Int4},
      {"bigint", Target::Int8},
      {"real", Target::Float4},
      {"double precision", Target::Float8},
      {"numeric", Target::Numeric},
      {"text", Target::Text},
      {"character varying", Target::Text},
      {"jsonb", Target::Jsonb},
      {"bytea", Target::Bytea},
      {"date", Target::Date},
      {"time without time zone", Target::Time},
      {"timestamp without time zone", Target::Timestamp},
      {"timestamp with time zone", Target::TimestampTz},
      {"uuid", Target::Parsed}};
  TargetType type{.kind = Target::Other, .declared = std::string(declared)};
  const auto open = declared.find('(');
  std::string name(declared.substr(0, open));
  // `timestamp(3) with time zone`: fewer digits than microseconds would round.
  if (open != std::string_view::npos && declared.starts_with("time")) return type;
  const auto at = std::ranges::find(kNames, name, &std::pair<std::string_view, Target>::first);
  if (at == std::end(kNames)) return type;
  type.kind = at->second;
  if (open == std::string_view::npos) return type;
  const std::string_view inside = declared.substr(open + 1);
  const char* const end = inside.data() + inside.size();
  if (type.kind == Target::Text) {
    std::from_chars(inside.data(), end, type.length);
  } else if (type.kind == Target::Numeric) {
    const auto first = std::from_chars(inside.data(), end, type.precision);
    if (first.ptr != end && *first.ptr == ',') std::from_chars(first.ptr + 1, end, type.scale);
  }
  return type;
}

bool holds(const TargetType& existing, const TargetType& incoming) {
  const bool any_number = existing.kind == Target::Numeric && existing.precision == 0;
  if (existing.kind == incoming.kind) {
    switch (existing.kind) {
      case Target::Numeric:
        return any_number || (incoming.precision > 0 && existing.scale >= incoming.scale &&
                              whole_digits(existing) >= whole_digits(incoming));
      case Target::Text:
        return existing.length == 0 || (incoming.length > 0 && incoming.length <= existing.length);
      case Target::Parsed:
      case Target::Other:
        return existing.declared == incoming.declared;
      default:
        return true;
    }
  }
  switch (existing.kind) {
    case Target::Int4:
      return incoming.kind == Target::Int2;
    case Target::Int8:
      return incoming.kind == Target::Int2 || incoming.kind == Target::Int4;
    case Target::Numeric:
      return is_int(incoming) && (any_number || whole_digits(existing) >= whole_digits(incoming));
    case Target::Float8:
      return incoming.kind == Target::Float4 || incoming.kind == Target::Int2 ||
             incoming.kind == Target::Int4;
    case Target::Text:
      return existing.length == 0 && incoming.kind != Target::Bytea;
    case Target::Timestamp:
      return incoming.kind == Target::Date;
    case Target::Parsed:
      return incoming.kind == Target::Text;
    default:
      return false;
  }
}

std::optional<TargetType> widen(const TargetType& existing, const TargetType& incoming) {
  if (holds(existing, incoming)) return existing;
  // The user's own: not to be made text.
  if (existing.kind == Target::Other || existing.kind == Target::Parsed) return std::nullopt;
  if (holds(incoming, existing)) return incoming;
  const auto number = [](const TargetType& t) { return is_int(t) || t.kind == Target::Numeric; };
  if (number(existing) && number(incoming)) {
    const bool any = (existing.kind == Target::Numeric && existing.precision == 0) ||
                     (incoming.kind == Target::Numeric && incoming.precision == 0);
    const int scale = std::max(existing.scale, incoming.scale);
    const int whole = std::max(whole_digits(existing), whole_digits(incoming));
    return any ? plain(Target::Numeric) : numeric(whole + scale, scale);
  }
  const auto of_numbers = [&](const TargetType& t) {
    return number(t) || t.kind == Target::Float4 || t.kind == Target::Float8;
  };
  // Whole numbers of 64 bits and decimals have no exact form among fractions.
  if (of_numbers(existing) && of_numbers(incoming)) {
    return existing.kind == Target::Float4 && incoming.kind == Target::Int2
               ? std::optional(plain(Target::Float8))
               : std::optional(plain(Target::Text));
  }
  if (existing.kind == Target::Bytea || incoming.kind == Target::Bytea) return std::nullopt;
  return plain(Target::Text);
}

}  // namespace tidegate::engine::postgres
