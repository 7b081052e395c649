#include "engine/connectors/mongodb/infer.h"

#include <arrow/type.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/connectors/mongodb/bson_json.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr int kDigits = 38;  // of arrow::decimal128
constexpr std::int64_t kExactInDouble = std::int64_t{1} << 53;

struct Digits {
  int before = 0, after = 0;
};

// Of a decimal as the driver writes it: `-12.50`, `1.2E+5`, `1E-7`.
Digits digits_of(const std::string& text) {
  const auto e = text.find('E');
  const std::string mantissa = text.substr(0, e);
  const int exponent = e == std::string::npos ? 0 : std::stoi(text.substr(e + 1));
  const auto point = mantissa.find('.');
  const int whole = static_cast<int>(
      std::ranges::count_if(mantissa.substr(0, point), [](char c) { return c >= '0'; }));
  const int rest = point == std::string::npos ? 0 : static_cast<int>(mantissa.size() - point - 1);
  return {std::max(whole + exponent, 0), std::max(rest - exponent, 0)};
}

}  // namespace

FieldKinds kind_of(const bson_iter_t& value) {
  switch (bson_iter_type(&value)) {
    case BSON_TYPE_BOOL:
      return kBool;
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
      return kInteger;
    case BSON_TYPE_DOUBLE:
      return kDouble;
    case BSON_TYPE_DECIMAL128: {
      bson_decimal128_t v;
      bson_iter_decimal128(&value, &v);
      const std::string text = decimal_text(v);
      return text.find_first_of("Nn") == std::string::npos ? kDecimal : kText;
    }
    case BSON_TYPE_UTF8:
      return kText;
    case BSON_TYPE_DATE_TIME:
      return kDate;
    case BSON_TYPE_OID:
      return kObjectId;
    case BSON_TYPE_BINARY: {
      bson_subtype_t subtype{};
      std::uint32_t size = 0;
      const std::uint8_t* bytes = nullptr;
      bson_iter_binary(&value, &subtype, &size, &bytes);
      if (subtype == BSON_SUBTYPE_BINARY) return kBytes;
      return subtype == BSON_SUBTYPE_UUID && size == 16 ? kUuid : kNested;
    }
    default:
      return kNested;
  }
}

void FieldGuess::add(const bson_iter_t& value) {
  if (bson_iter_type(&value) == BSON_TYPE_NULL) return;
  const FieldKinds kind = kind_of(value);
  kinds |= kind;
  if (kind == kInteger) {
    const std::int64_t v = bson_iter_as_int64(&value);
    exact_in_double = exact_in_double && v <= kExactInDouble && v >= -kExactInDouble;
    const std::string text = std::to_string(v);
    int_digits = std::max(int_digits, static_cast<int>(text.size()) - (v < 0 ? 1 : 0));
  } else if (kind == kDecimal) {
    bson_decimal128_t v;
    bson_iter_decimal128(&value, &v);
    const Digits digits = digits_of(decimal_text(v));
    int_digits = std::max(int_digits, digits.before);
    scale = std::max(scale, digits.after);
  }
}

ColumnKind FieldGuess::kind() const {
  if (kinds == 0) return ColumnKind::NoValues;
  if ((kinds & kNested) != 0) return ColumnKind::Json;
  if (kinds == (kInteger | kDouble) && exact_in_double) return ColumnKind::Double;
  const bool decimal = kinds == kDecimal || kinds == (kDecimal | kInteger);
  if (decimal && int_digits + scale <= kDigits) return ColumnKind::Decimal;
  if (std::popcount(kinds) > 1) {
    // Bytes have no text of their own.
    return (kinds & kBytes) != 0 ? ColumnKind::Json : ColumnKind::Text;
  }
  switch (kinds) {
    case kBool:
      return ColumnKind::Bool;
    case kInteger:
      return ColumnKind::Integer;
    case kDouble:
      return ColumnKind::Double;
    case kDate:
      return ColumnKind::Date;
    case kObjectId:
      return ColumnKind::ObjectId;
    case kUuid:
      return ColumnKind::Uuid;
    case kBytes:
      return ColumnKind::Bytes;
    default:
      return ColumnKind::Text;
  }
}

std::shared_ptr<arrow::Field> to_field(const std::string& name, ColumnKind kind, int precision,
                                       int scale) {
  switch (kind) {
    case ColumnKind::NoValues:
      return arrow::field(name, arrow::null());
    case ColumnKind::Bool:
      return arrow::field(name, arrow::boolean());
    case ColumnKind::Integer:
      return arrow::field(name, arrow::int64());
    case ColumnKind::Double:
      return arrow::field(name, arrow::float64());
    case ColumnKind::Decimal:
      return arrow::field(name, arrow::decimal128(precision, scale));
    case ColumnKind::Date:
      return arrow::field(name, arrow::timestamp(arrow::TimeUnit::MILLI, "UTC"));
    case ColumnKind::Bytes:
      return arrow::field(name, arrow::binary());
    case ColumnKind::Json:
      return mark_json(arrow::field(name, arrow::utf8()));
    case ColumnKind::Text:
    case ColumnKind::ObjectId:
    case ColumnKind::Uuid:
      break;
  }
  return arrow::field(name, arrow::utf8());
}

std::shared_ptr<arrow::Field> FieldGuess::field() const {
  return to_field(name, kind(), std::max(int_digits + scale, 1), scale);
}

void ShapeGuess::add(const bson_t& document) {
  bson_iter_t at;
  if (!bson_iter_init(&at, &document)) return;
  while (bson_iter_next(&at)) {
    const std::string_view name(bson_iter_key(&at), bson_iter_key_len(&at));
    const auto [place, fresh] = places_.try_emplace(std::string(name), fields_.size());
    if (fresh) fields_.push_back({.name = std::string(name)});
    fields_[place->second].add(at);
  }
}

}  // namespace tidegate::engine::mongodb
