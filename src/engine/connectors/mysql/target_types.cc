#include "engine/connectors/mysql/target_types.h"

#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/core/schema.h"

namespace tidegate::engine::mysql {
namespace {

constexpr int kMaxPrecision = 65, kMaxScale = 30;
constexpr int kMicroseconds = 6;  // digits

TargetType plain(Target kind) {
  static constexpr std::pair<Target, const char*> kNames[] = {
      {Target::Float, "float"},   {Target::Double, "double"},       {Target::Text, "longtext"},
      {Target::Json, "longtext"}, {Target::Bytes, "longblob"},      {Target::Date, "date"},
      {Target::Time, "time(6)"},  {Target::DateTime, "datetime(6)"}};
  const auto at = std::ranges::find(kNames, kind, &std::pair<Target, const char*>::first);
  return {.kind = kind,
          .digits = kind == Target::Time || kind == Target::DateTime ? kMicroseconds : 0,
          .declared = at == std::end(kNames) ? "" : at->second};
}

TargetType integer(int bits, bool is_unsigned) {
  const char* name = bits == 8    ? "tinyint"
                     : bits == 16 ? "smallint"
                     : bits == 24 ? "mediumint"
                     : bits == 32 ? "int"
                                  : "bigint";
  return {.kind = Target::Int,
          .bits = bits,
          .is_unsigned = is_unsigned,
          .declared = fmt::format("{}{}", name, is_unsigned ? " unsigned" : "")};
}

TargetType decimal(int precision, int scale) {
  if (precision > kMaxPrecision || scale > kMaxScale) return plain(Target::Text);
  return {.kind = Target::Decimal,
          .precision = precision,
          .scale = scale,
          .declared = fmt::format("decimal({},{})", precision, scale)};
}

// Whole digits of a number type.
int whole_digits(const TargetType& type) {
  if (type.kind == Target::Decimal) return type.precision - type.scale;
  switch (type.bits) {
    case 8:
      return 3;
    case 16:
      return 5;
    case 24:
      return type.is_unsigned ? 8 : 7;
    case 32:
      return 10;
    default:
      return type.is_unsigned ? 20 : 19;
  }
}

bool int_holds(const TargetType& a, const TargetType& b) {
  if (a.is_unsigned == b.is_unsigned) return a.bits >= b.bits;
  return b.is_unsigned && a.bits > b.bits;
}

bool is_number(const TargetType& t) { return t.kind == Target::Int || t.kind == Target::Decimal; }

// The digits before a `(n)`; 0: there is none.
int first_number(std::string_view declared) {
  const auto open = declared.find('(');
  if (open == std::string_view::npos) return 0;
  int v = 0;
  std::from_chars(declared.data() + open + 1, declared.data() + declared.size(), v);
  return v;
}

std::string_view name_of(std::string_view declared) {
  return declared.substr(0, declared.find_first_of("( "));
}

}  // namespace

Result<TargetType> target_type(const arrow::Field& field) {
  if (is_json(field)) return plain(Target::Json);
  const arrow::DataType& type = *field.type();
  switch (type.id()) {
    case arrow::Type::NA:
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
      return plain(Target::Text);
    case arrow::Type::BOOL: {
      TargetType t = integer(8, false);
      t.declared = "tinyint(1)";
      return t;
    }
    case arrow::Type::INT8:
    case arrow::Type::INT16:
    case arrow::Type::INT32:
    case arrow::Type::INT64:
      return integer(static_cast<const arrow::FixedWidthType&>(type).bit_width(), false);
    case arrow::Type::UINT8:
    case arrow::Type::UINT16:
    case arrow::Type::UINT32:
    case arrow::Type::UINT64:
      return integer(static_cast<const arrow::FixedWidthType&>(type).bit_width(), true);
    case arrow::Type::FLOAT:
      return plain(Target::Float);
    case arrow::Type::DOUBLE:
      return plain(Target::Double);
    case arrow::Type::DECIMAL128: {
      const auto& d = static_cast<const arrow::DecimalType&>(type);
      if (d.scale() < 0) return decimal(d.precision() - d.scale(), 0);
      return decimal(std::max(d.precision(), d.scale()), d.scale());
    }
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::FIXED_SIZE_BINARY:
      return plain(Target::Bytes);
    case arrow::Type::DATE32:
      return plain(Target::Date);
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return plain(Target::Time);
    case arrow::Type::TIMESTAMP:
      return plain(Target::DateTime);
    default:
      return fail(Code::Unsupported,
                  fmt::format("column \"{}\" is of the type {}, which has no form in MySQL; leave "
                              "it out (`columns` of the entity)",
                              field.name(), type_words(field)));
  }
}

Result<TargetType> key_type(const arrow::Field& field, int length) {
  TG_TRY(TargetType type, target_type(field));
  if (type.kind == Target::Json) {
    return fail(Code::Unsupported,
                fmt::format("column \"{}\" is JSON, which cannot be a key in MySQL; name another "
                            "key (--key)",
                            field.name()));
  }
  if (type.kind != Target::Text && type.kind != Target::Bytes) return type;
  type.length = length;
  type.declared =
      fmt::format("{}({})", type.kind == Target::Text ? "varchar" : "varbinary", length);
  return type;
}

TargetType from_declared(std::string_view column_type) {
  static constexpr std::pair<std::string_view, int> kInts[] = {
      {"tinyint", 8}, {"smallint", 16}, {"mediumint", 24}, {"int", 32}, {"bigint", 64}};
  // Lengths of what has none, in characters of four bytes.
  static constexpr std::pair<std::string_view, int> kTexts[] = {
      {"tinytext", 63}, {"text", 16'383}, {"mediumtext", 4'194'303}, {"longtext", 0}};
  static constexpr std::pair<std::string_view, int> kBlobs[] = {
      {"tinyblob", 255}, {"blob", 65'535}, {"mediumblob", 16'777'215}, {"longblob", 0}};
  const std::string_view name = name_of(column_type);
  const auto in = [&](const auto& list) {
    return std::ranges::find(list, name, &std::pair<std::string_view, int>::first);
  };
  TargetType type{.kind = Target::Other, .declared = std::string(column_type)};
  const bool odd = column_type.find("zerofill") != std::string_view::npos;
  if (const auto i = in(kInts); i != std::end(kInts)) {
    type.kind = Target::Int;
    type.bits = i->second;
    type.is_unsigned = column_type.find("unsigned") != std::string_view::npos;
  } else if (const auto t = in(kTexts); t != std::end(kTexts)) {
    type.kind = Target::Text;
    type.length = t->second;
  } else if (const auto b = in(kBlobs); b != std::end(kBlobs)) {
    type.kind = Target::Bytes;
    type.length = b->second;
  } else if (name == "varchar" || name == "varbinary") {
    type.kind = name == "varchar" ? Target::Text : Target::Bytes;
    type.length = first_number(column_type);
  } else if (name == "decimal" && column_type.find("unsigned") == std::string_view::npos && !odd) {
    type.kind = Target::Decimal;
    type.precision = first_number(column_type);
    if (const auto comma = column_type.find(','); comma != std::string_view::npos) {
      std::from_chars(column_type.data() + comma + 1, column_type.data() + column_type.size(),
                      type.scale);
    }
  } else if (name == "time" || name == "datetime" || name == "timestamp") {
    type.kind = name == "time" ? Target::Time : Target::DateTime;
    type.digits = first_number(column_type);
  } else if (column_type != "json") {  // which rounds numbers beyond 64 bits
    // `float(7,4)` would round.
    for (const Target kind : {Target::Float, Target::Double, Target::Date}) {
      if (column_type == plain(kind).declared) type.kind = kind;
    }
  }
  return type;
}

bool holds(const TargetType& existing, const TargetType& incoming) {
  if (existing.kind == incoming.kind) {
    switch (existing.kind) {
      case Target::Int:
        return int_holds(existing, incoming);
      case Target::Decimal:
        return existing.scale >= incoming.scale && whole_digits(existing) >= whole_digits(incoming);
      case Target::Text:
      case Target::Bytes:
        return existing.length == 0 || (incoming.length > 0 && incoming.length <= existing.length);
      case Target::Time:
      case Target::DateTime:
        return existing.digits >= incoming.digits;
      case Target::Other:
        return existing.declared == incoming.declared;
      default:
        return true;
    }
  }
  switch (existing.kind) {
    case Target::Decimal:
      return incoming.kind == Target::Int && whole_digits(existing) >= whole_digits(incoming);
    case Target::Float:
      return incoming.kind == Target::Int && incoming.bits <= 16;
    case Target::Double:
      return incoming.kind == Target::Float ||
             (incoming.kind == Target::Int && incoming.bits <= 32);
    case Target::Text:
      return existing.length == 0 && incoming.kind != Target::Bytes &&
             incoming.kind != Target::Float && incoming.kind != Target::Other;
    case Target::DateTime:
      return incoming.kind == Target::Date;
    default:
      return false;
  }
}

std::optional<TargetType> widen(const TargetType& existing, const TargetType& incoming) {
  if (holds(existing, incoming)) return existing;
  if (existing.kind == Target::Other) return std::nullopt;  // the user's own: not to be made text
  if (existing.kind == Target::DateTime && incoming.kind == Target::DateTime) {
    // A `timestamp` stays one: as `datetime` it would be read in another zone.
    TargetType finer = existing;
    finer.digits = incoming.digits;
    finer.declared = fmt::format("{}({})", name_of(existing.declared), finer.digits);
    return finer;
  }
  if (holds(incoming, existing)) return incoming;
  if (existing.kind == Target::Int && incoming.kind == Target::Int) {
    // Of one sign one would hold the other.
    const int bits = (existing.is_unsigned ? existing : incoming).bits;
    return bits < 64 ? integer(bits < 24 ? bits * 2 : bits == 24 ? 32 : 64, false) : decimal(20, 0);
  }
  if (is_number(existing) && is_number(incoming)) {
    const int scale = std::max(existing.scale, incoming.scale);
    return decimal(std::max(whole_digits(existing), whole_digits(incoming)) + scale, scale);
  }
  if (existing.kind == Target::Bytes || incoming.kind == Target::Bytes) {
    if (existing.kind == incoming.kind) return plain(Target::Bytes);
    return std::nullopt;
  }
  const auto small = [](const TargetType& t) {
    return t.kind == Target::Float || (t.kind == Target::Int && t.bits <= 32);
  };
  if (small(existing) && small(incoming)) return plain(Target::Double);
  // A float is written with six digits when it becomes text.
  if (existing.kind == Target::Float || incoming.kind == Target::Float) return std::nullopt;
  return plain(Target::Text);
}

}  // namespace tidegate::engine::mysql
