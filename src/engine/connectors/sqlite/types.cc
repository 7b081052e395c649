#include "engine/connectors/sqlite/types.h"

#include <arrow/type.h>
#include <arrow/util/key_value_metadata.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <limits>
#include <regex>

#include "engine/core/schema.h"

namespace tidegate::engine::sqlite {
namespace {

constexpr const char* kDeclaredKey = "tidegate:sqlite-type";
constexpr int kInt64Digits = 19;
constexpr int kMaxPrecision = 76;  // decimal256

std::string upper(std::string_view s) {
  std::string out(s);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

ColumnType decimal(int precision, int scale) { return {Kind::Decimal, precision, scale, false}; }

// The union of two decimals, nullopt when no Arrow decimal is wide enough.
std::optional<ColumnType> wide_decimal(const ColumnType& a, const ColumnType& b) {
  const int scale = std::max(a.scale, b.scale);
  const int whole = std::max(a.precision - a.scale, b.precision - b.scale);
  if (whole + scale > kMaxPrecision) return std::nullopt;
  return decimal(whole + scale, scale);
}

ColumnType as_decimal(const ColumnType& t) {
  return t.kind == Kind::Decimal ? t : decimal(t.kind == Kind::Bool ? 1 : kInt64Digits, 0);
}

// A type can be any quoted text, which would be read as something else when it is written again
// (`"my-int type"`, `"int unique"`).
bool pasteable(const std::string& declared) {
  static const std::regex kForm(R"([A-Za-z_][A-Za-z0-9_ ]*(\(\d+(, ?\d+)?\))?)");
  static const std::regex kWord("[A-Za-z_][A-Za-z0-9_]*");
  if (!std::regex_match(declared, kForm)) return false;
  return std::none_of(std::sregex_iterator(declared.begin(), declared.end(), kWord), {},
                      [](const std::smatch& word) {
                        return sqlite3_keyword_check(word.str().c_str(),
                                                     static_cast<int>(word.length())) != 0;
                      });
}

bool whole(Kind k) { return k == Kind::Bool || k == Kind::Int; }

}  // namespace

// The rules of datatype3.html §3.1, in their order.
Affinity affinity(std::string_view declared) {
  const std::string t = upper(declared);
  const auto has = [&](std::string_view word) { return t.find(word) != std::string::npos; };
  if (has("INT")) return Affinity::Integer;
  if (has("CHAR") || has("CLOB") || has("TEXT")) return Affinity::Text;
  if (has("BLOB") || t.empty()) return Affinity::Blob;
  if (has("REAL") || has("FLOA") || has("DOUB")) return Affinity::Real;
  return Affinity::Numeric;
}

bool keeps(std::string_view declared, const ColumnType& type) {
  const Affinity a = affinity(declared);
  if (a == Affinity::Text || a == Affinity::Blob) return true;
  if (type.kind == Kind::Decimal) return type.precision <= std::numeric_limits<double>::digits10;
  return type.kind != Kind::Text && type.kind != Kind::Json;
}

ColumnType from_declared(std::string_view declared) {
  const std::string t = upper(declared);
  const std::size_t paren = t.find('(');
  std::string base = t.substr(0, paren);
  base.erase(base.find_last_not_of(' ') + 1);
  int p = 0;
  int s = 0;
  const int given =
      paren == std::string::npos ? 0 : std::sscanf(t.c_str() + paren, "(%d,%d", &p, &s);
  const auto is = [&](auto... names) { return ((base == names) || ...); };
  if (is("DECIMAL", "NUMERIC", "DECIMAL_TEXT", "NUMBER", "MONEY") && given >= 1 && p >= 1 &&
      p <= kMaxPrecision && s >= 0 && s <= p) {
    return decimal(p, s);
  }
  if (is("BOOLEAN", "BOOL")) return {Kind::Bool};
  if (is("TIMESTAMPTZ") || t.find("WITH TIME ZONE") != std::string::npos) {
    return {Kind::TimestampTz, 0, 0, p == 9};
  }
  if (is("TIMESTAMP", "DATETIME", "DATETIME2", "SMALLDATETIME"))
    return {Kind::Timestamp, 0, 0, p == 9};
  if (is("DATE")) return {Kind::Date};
  if (is("TIME")) return {Kind::Time};
  if (is("JSON", "JSONB", "JSON_TEXT")) return {Kind::Json};
  if (is("UUID")) return {Kind::Text};
  switch (affinity(t)) {
    case Affinity::Integer:
      return {Kind::Int};
    case Affinity::Text:
      return {Kind::Text};
    case Affinity::Real:
      return {Kind::Real};
    case Affinity::Blob:
      return t.empty() ? ColumnType{} : ColumnType{Kind::Bytes};
    case Affinity::Numeric:
      return {};
  }
  return {};
}

std::string to_declared(const ColumnType& type) {
  switch (type.kind) {
    case Kind::Any:
      return "";
    case Kind::Bool:
      return "BOOLEAN";
    case Kind::Int:
      return "INTEGER";
    case Kind::Real:
      return "REAL";
    case Kind::Decimal:
      return fmt::format("DECIMAL_TEXT({},{})", type.precision, type.scale);
    case Kind::None:
    case Kind::Text:
      return "TEXT";
    case Kind::Json:
      return "JSON_TEXT";
    case Kind::Bytes:
      return "BLOB";
    case Kind::Date:
      return "DATE";
    case Kind::Time:
      return "TIME";
    case Kind::Timestamp:
      return type.nanos ? "TIMESTAMP(9)" : "TIMESTAMP";
    case Kind::TimestampTz:
      return type.nanos ? "TIMESTAMPTZ(9)" : "TIMESTAMPTZ";
  }
  return "";
}

Result<ColumnType> column_type(const arrow::Field& field) {
  if (is_json(field)) return ColumnType{Kind::Json};
  const arrow::DataType& type = *field.type();
  switch (type.id()) {
    case arrow::Type::BOOL:
      return ColumnType{Kind::Bool};
    case arrow::Type::INT8:
    case arrow::Type::INT16:
    case arrow::Type::INT32:
    case arrow::Type::INT64:
    case arrow::Type::UINT8:
    case arrow::Type::UINT16:
    case arrow::Type::UINT32:
      return ColumnType{Kind::Int};
    case arrow::Type::UINT64:
      return decimal(20, 0);  // beyond SQLite's integers
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
      return ColumnType{Kind::Real};
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256: {
      const auto& d = static_cast<const arrow::DecimalType&>(type);
      // A negative scale is a number with zeros at its end.
      return d.scale() >= 0 ? decimal(d.precision(), d.scale())
                            : decimal(std::min(d.precision() - d.scale(), kMaxPrecision), 0);
    }
    case arrow::Type::NA:
      return ColumnType{Kind::None};
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
      return ColumnType{Kind::Text};
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::FIXED_SIZE_BINARY:
      return ColumnType{Kind::Bytes};
    case arrow::Type::DATE32:
    case arrow::Type::DATE64:
      return ColumnType{Kind::Date};
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return ColumnType{Kind::Time};
    case arrow::Type::TIMESTAMP: {
      const auto& t = static_cast<const arrow::TimestampType&>(type);
      return ColumnType{t.timezone().empty() ? Kind::Timestamp : Kind::TimestampTz, 0, 0,
                        t.unit() == arrow::TimeUnit::NANO};
    }
    default:
      return fail(Code::Unsupported,
                  fmt::format("column \"{}\" is {}, which SQLite cannot hold; exclude the column",
                              field.name(), type_words(field)));
  }
}

std::string declared_for(const arrow::Field& field, const ColumnType& type) {
  if (field.HasMetadata()) {
    if (const auto declared = field.metadata()->Get(kDeclaredKey); declared.ok()) {
      const bool plain = type.kind == Kind::Bool || type.kind == Kind::Int ||
                         type.kind == Kind::Real || type.kind == Kind::Text ||
                         type.kind == Kind::Bytes || type.kind == Kind::Date ||
                         type.kind == Kind::Time || type.kind == Kind::Timestamp;
      if (plain && pasteable(*declared) && from_declared(*declared) == type &&
          keeps(*declared, type)) {
        return *declared;
      }
    }
  }
  return to_declared(type);
}

std::shared_ptr<arrow::Field> with_declared(const std::shared_ptr<arrow::Field>& field,
                                            const std::string& declared) {
  return field->WithMergedMetadata(arrow::key_value_metadata({kDeclaredKey}, {declared}));
}

std::shared_ptr<arrow::Field> to_field(const std::string& name, const ColumnType& type) {
  const auto unit = type.nanos ? arrow::TimeUnit::NANO : arrow::TimeUnit::MICRO;
  switch (type.kind) {
    case Kind::Bool:
      return arrow::field(name, arrow::boolean());
    case Kind::Int:
      return arrow::field(name, arrow::int64());
    case Kind::Real:
      return arrow::field(name, arrow::float64());
    case Kind::Decimal:
      return arrow::field(name, type.precision <= 38
                                    ? arrow::decimal128(type.precision, type.scale)
                                    : arrow::decimal256(type.precision, type.scale));
    case Kind::Json:
      return mark_json(arrow::field(name, arrow::utf8()));
    case Kind::Bytes:
      return arrow::field(name, arrow::binary());
    case Kind::Date:
      return arrow::field(name, arrow::date32());
    case Kind::Time:
      return arrow::field(name, arrow::time64(arrow::TimeUnit::MICRO));
    case Kind::Timestamp:
      return arrow::field(name, arrow::timestamp(unit));
    case Kind::TimestampTz:
      return arrow::field(name, arrow::timestamp(unit, "UTC"));
    case Kind::Any:
    case Kind::None:
    case Kind::Text:
      break;
  }
  return arrow::field(name, arrow::utf8());
}

std::optional<ColumnType> widen(const ColumnType& a, const ColumnType& b) {
  if (a == b || a.kind == Kind::Any || b.kind == Kind::None) return a;
  if (a.kind == Kind::None) return b;
  if (b.kind == Kind::Any) return b;
  if (a.kind == b.kind) {
    if (a.kind == Kind::Decimal) {
      if (const auto wide = wide_decimal(a, b)) return wide;
      return ColumnType{Kind::Text};
    }
    return ColumnType{a.kind, 0, 0, a.nanos || b.nanos};
  }
  if (a.kind == Kind::Bytes || b.kind == Kind::Bytes) return std::nullopt;
  const auto either = [&](Kind x, Kind y) {
    return (a.kind == x && b.kind == y) || (a.kind == y && b.kind == x);
  };
  if (whole(a.kind) && whole(b.kind)) return ColumnType{Kind::Int};
  if (either(Kind::Bool, Kind::Real) || either(Kind::Int, Kind::Real))
    return ColumnType{Kind::Real};
  if ((whole(a.kind) && b.kind == Kind::Decimal) || (a.kind == Kind::Decimal && whole(b.kind))) {
    if (const auto wide = wide_decimal(as_decimal(a), as_decimal(b))) return wide;
  }
  if (either(Kind::Date, Kind::Timestamp)) {
    return ColumnType{Kind::Timestamp, 0, 0, a.nanos || b.nanos};
  }
  return ColumnType{Kind::Text};
}

std::string words(const ColumnType& type) {
  switch (type.kind) {
    case Kind::Any:
      return "of no declared type";
    case Kind::None:
      return "without any value";
    case Kind::Bool:
      return "true or false";
    case Kind::Int:
      return "whole number";
    case Kind::Real:
      return "number";
    case Kind::Decimal:
      return fmt::format("decimal({},{})", type.precision, type.scale);
    case Kind::Text:
      return "text";
    case Kind::Json:
      return "JSON";
    case Kind::Bytes:
      return "bytes";
    case Kind::Date:
      return "date";
    case Kind::Time:
      return "time";
    case Kind::Timestamp:
      return "timestamp";
    case Kind::TimestampTz:
      return "timestamp with time zone";
  }
  return "";
}

}  // namespace tidegate::engine::sqlite
