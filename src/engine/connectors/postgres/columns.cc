// The columns of copy_decoder.h.
#include <arrow/array.h>
#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_decimal.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/array/builder_time.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <utility>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/connectors/postgres/copy_decoder.h"
#include "engine/core/cursor.h"
#include "engine/core/schema.h"

namespace tidegate::engine::postgres {
namespace {

constexpr std::int64_t kEpochDays = 10'957;  // from 1970-01-01 to 2000-01-01
constexpr std::int64_t kEpochMicros = kEpochDays * 86'400'000'000;
constexpr const char* kDamaged =
    "has another length than its type, or is outside its range; this is a defect";

std::string taken(const arrow::Status& status) { return status.ok() ? "" : status.message(); }

// What all columns share; Derived::take says why not, or "".
template <class Derived, class Builder>
class TypedColumn : public Column {
 public:
  template <class... Args>
  explicit TypedColumn(Args&&... args) : builder_(std::forward<Args>(args)...) {}

  std::string append(std::string_view bytes) override {
    std::string why = static_cast<Derived*>(this)->take(bytes);
    if (!why.empty()) (void)builder_.AppendNull();
    return why;
  }
  Status append_null() override {
    if (const auto status = builder_.AppendNull(); !status.ok()) {
      return fail(from_arrow(status, "reading rows"));
    }
    return {};
  }
  Result<std::shared_ptr<arrow::Array>> finish() override {
    auto array = builder_.Finish();
    if (!array.ok()) return fail(from_arrow(array.status(), "reading rows"));
    return *array;
  }

 protected:
  Builder builder_;
};

class BoolColumn final : public TypedColumn<BoolColumn, arrow::BooleanBuilder> {
 public:
  std::string take(std::string_view b) {
    return b.size() == 1 ? taken(builder_.Append(b.front() != 0)) : kDamaged;
  }
};

template <class Builder, class Value, int kBytes>
class IntColumn final : public TypedColumn<IntColumn<Builder, Value, kBytes>, Builder> {
 public:
  std::string take(std::string_view b) {
    if (b.size() != kBytes) return kDamaged;
    return taken(this->builder_.Append(static_cast<Value>(read_int(b.data(), kBytes))));
  }
};

class OidColumn final : public TypedColumn<OidColumn, arrow::Int64Builder> {
 public:
  std::string take(std::string_view b) {
    if (b.size() != 4) return kDamaged;
    return taken(builder_.Append(read_int(b.data(), 4) & 0xFFFF'FFFF));
  }
};

template <class Builder, class Value, class Bits>
class FloatColumn final : public TypedColumn<FloatColumn<Builder, Value, Bits>, Builder> {
 public:
  std::string take(std::string_view b) {
    if (b.size() != sizeof(Value)) return kDamaged;
    const auto bits = static_cast<Bits>(read_int(b.data(), sizeof(Value)));
    return taken(this->builder_.Append(std::bit_cast<Value>(bits)));
  }
};

// A database of the encoding SQL_ASCII holds whatever it was given.
constexpr const char* kNoText = "is not valid UTF-8; correct the value, or exclude the column";

class TextColumn final : public TypedColumn<TextColumn, arrow::StringBuilder> {
 public:
  std::string take(std::string_view b) { return is_utf8(b) ? taken(builder_.Append(b)) : kNoText; }
};

class NumericTextColumn final : public TypedColumn<NumericTextColumn, arrow::StringBuilder> {
 public:
  std::string take(std::string_view b) {
    const std::string text = numeric_text(b);
    return text.empty() ? kDamaged : taken(builder_.Append(text));
  }
};

// jsonb: a version, then the text.
class JsonbColumn final : public TypedColumn<JsonbColumn, arrow::StringBuilder> {
 public:
  std::string take(std::string_view b) {
    if (b.empty() || b.front() != 1) return "is of a version of jsonb that is not known";
    if (!is_utf8(b.substr(1))) return kNoText;
    return taken(builder_.Append(b.substr(1)));
  }
};

class BytesColumn final : public TypedColumn<BytesColumn, arrow::BinaryBuilder> {
 public:
  std::string take(std::string_view b) { return taken(builder_.Append(b)); }
};

class UuidColumn final : public TypedColumn<UuidColumn, arrow::StringBuilder> {
 public:
  std::string take(std::string_view b) {
    if (b.size() != 16) return kDamaged;
    constexpr std::string_view kDigits = "0123456789abcdef";
    char text[36];
    std::size_t at = 0;
    for (std::size_t i = 0; i < 16; ++i) {
      if (i == 4 || i == 6 || i == 8 || i == 10) text[at++] = '-';
      const auto byte = static_cast<unsigned char>(b[i]);
      text[at++] = kDigits[byte >> 4];
      text[at++] = kDigits[byte & 15U];
    }
    return taken(builder_.Append(std::string_view(text, 36)));
  }
};

// Times that are ±infinity have no place in Arrow.
class DateColumn final : public TypedColumn<DateColumn, arrow::Date32Builder> {
 public:
  std::string take(std::string_view b) {
    if (b.size() != 4) return kDamaged;
    const std::int64_t days = read_int(b.data(), 4);
    if (days == std::numeric_limits<std::int32_t>::max())
      return "infinity is no date that can be copied";
    if (days == std::numeric_limits<std::int32_t>::min())
      return "-infinity is no date that can be copied";
    if (days > std::numeric_limits<std::int32_t>::max() - kEpochDays) return kDamaged;
    return taken(builder_.Append(static_cast<std::int32_t>(days + kEpochDays)));
  }
};

class TimeColumn final : public TypedColumn<TimeColumn, arrow::Time64Builder> {
 public:
  TimeColumn() : TypedColumn(arrow::time64(arrow::TimeUnit::MICRO), arrow::default_memory_pool()) {}
  std::string take(std::string_view b) {
    if (b.size() != 8) return kDamaged;
    const std::int64_t micros = read_int(b.data(), 8);
    if (micros < 0 || micros > 86'400'000'000) return kDamaged;
    if (micros == 86'400'000'000) return "24:00:00 is no time of a day that can be copied";
    return taken(builder_.Append(micros));
  }
};

class TimestampColumn final : public TypedColumn<TimestampColumn, arrow::TimestampBuilder> {
 public:
  explicit TimestampColumn(const std::string& zone)
      : TypedColumn(arrow::timestamp(arrow::TimeUnit::MICRO, zone), arrow::default_memory_pool()) {}
  std::string take(std::string_view b) {
    if (b.size() != 8) return kDamaged;
    const std::int64_t micros = read_int(b.data(), 8);
    if (micros == std::numeric_limits<std::int64_t>::max())
      return "infinity is no time that can be copied";
    if (micros == std::numeric_limits<std::int64_t>::min())
      return "-infinity is no time that can be copied";
    if (micros > std::numeric_limits<std::int64_t>::max() - kEpochMicros) {
      return "a time after the year 294247 cannot be copied";
    }
    return taken(builder_.Append(micros + kEpochMicros));
  }
};

// ---- numeric

struct Numeric {
  int digits = 0, weight = 0, scale = 0;
  unsigned sign = 0;
  const char* at = nullptr;  // base 10,000

  std::int64_t digit(int i) const {
    return i >= 0 && i < digits ? read_int(at + std::ptrdiff_t{2} * i, 2) : 0;
  }
  // "": a number.
  std::string_view special() const {
    return sign == 0xC000 ? "NaN" : sign == 0xD000 ? "Infinity" : sign == 0xF000 ? "-Infinity" : "";
  }
};

// src/backend/utils/adt/numeric.c, numeric_send().
std::optional<Numeric> parse_numeric(std::string_view b) {
  if (b.size() < 8) return std::nullopt;
  Numeric n;
  n.digits = static_cast<int>(read_int(b.data(), 2));
  n.weight = static_cast<int>(read_int(b.data() + 2, 2));
  n.sign = static_cast<unsigned>(read_int(b.data() + 4, 2)) & 0xFFFFU;
  n.scale = static_cast<int>(read_int(b.data() + 6, 2));
  n.at = b.data() + 8;
  if (n.digits < 0 || n.scale < 0 || b.size() != 8 + 2 * static_cast<std::size_t>(n.digits))
    return std::nullopt;
  for (int i = 0; i < n.digits; ++i) {
    if (n.digit(i) < 0 || n.digit(i) >= 10'000) return std::nullopt;
  }
  if (n.sign != 0 && n.sign != 0x4000 && n.special().empty()) return std::nullopt;
  return n;
}

constexpr std::int64_t kPower[] = {1, 10, 100, 1'000, 10'000};

class NumericColumn final : public TypedColumn<NumericColumn, arrow::Decimal128Builder> {
 public:
  explicit NumericColumn(const ColumnType& type)
      : TypedColumn(arrow::decimal128(type.precision, type.scale)),
        precision_(type.precision),
        scale_(type.scale) {
    for (int i = 0; i < precision_; ++i) limit_ *= 10;
  }

  std::string take(std::string_view b) {
    const auto n = parse_numeric(b);
    if (!n) return kDamaged;
    if (!n->special().empty()) {
      return fmt::format("{} is no number that decimal({},{}) can hold", n->special(), precision_,
                         scale_);
    }
    // Digits up to the column's scale; of the last group of four there may be more, which are
    // zeros.
    const int fraction = (scale_ + 3) / 4, over = fraction * 4 - scale_;
    const int groups = n->weight + 1 + fraction;
    if (n->weight + 1 > (precision_ - scale_ + 3) / 4) return too_large();
    for (int i = std::max(groups, 0); i < n->digits; ++i) {
      if (n->digit(i) != 0) return kDamaged;
    }
    Int128 value = 0;
    for (int i = 0; i < groups; ++i) {
      const bool last = i + 1 == groups && over > 0;
      const std::int64_t times = kPower[last ? 4 - over : 4], rest = kPower[last ? over : 0];
      if (n->digit(i) % rest != 0) return kDamaged;
      if (value > (limit_ - 1) / times) return too_large();
      value = value * times + n->digit(i) / rest;
    }
    if (value >= limit_) return too_large();
    if (n->sign == 0x4000) value = -value;
    return taken(builder_.Append(arrow::Decimal128(static_cast<std::int64_t>(value >> 64),
                                                   static_cast<std::uint64_t>(value))));
  }

 private:
  std::string too_large() const {
    return fmt::format("is too large for decimal({},{})", precision_, scale_);
  }
  const int precision_, scale_;
  Int128 limit_ = 1;
};

}  // namespace

std::string numeric_text(std::string_view bytes) {
  const auto n = parse_numeric(bytes);
  if (!n) return {};
  if (!n->special().empty()) return std::string(n->special());
  std::string out = n->sign == 0x4000 ? "-" : "";
  if (n->weight < 0) out += '0';
  for (int i = 0; i <= n->weight; ++i) {
    out += i == 0 ? fmt::format("{}", n->digit(i)) : fmt::format("{:04}", n->digit(i));
  }
  if (n->scale == 0) return out;
  std::string fraction;
  for (int i = n->weight + 1; static_cast<int>(fraction.size()) < n->scale; ++i) {
    fraction += fmt::format("{:04}", n->digit(i));
  }
  return out + '.' + fraction.substr(0, static_cast<std::size_t>(n->scale));
}

Result<std::unique_ptr<Column>> Column::make(const ColumnType& type) {
  switch (type.kind) {
    case Kind::Bool:
      return std::make_unique<BoolColumn>();
    case Kind::Int2:
      return std::make_unique<IntColumn<arrow::Int16Builder, std::int16_t, 2>>();
    case Kind::Int4:
      return std::make_unique<IntColumn<arrow::Int32Builder, std::int32_t, 4>>();
    case Kind::Int8:
      return std::make_unique<IntColumn<arrow::Int64Builder, std::int64_t, 8>>();
    case Kind::Oid:
      return std::make_unique<OidColumn>();
    case Kind::Float4:
      return std::make_unique<FloatColumn<arrow::FloatBuilder, float, std::uint32_t>>();
    case Kind::Float8:
      return std::make_unique<FloatColumn<arrow::DoubleBuilder, double, std::uint64_t>>();
    case Kind::Numeric:
      return std::make_unique<NumericColumn>(type);
    case Kind::NumericText:
      return std::make_unique<NumericTextColumn>();
    case Kind::Text:
    case Kind::Char:
    case Kind::Json:
    case Kind::CastText:
    case Kind::CastJson:
      return std::make_unique<TextColumn>();
    case Kind::Jsonb:
      return std::make_unique<JsonbColumn>();
    case Kind::Bytes:
      return std::make_unique<BytesColumn>();
    case Kind::Date:
      return std::make_unique<DateColumn>();
    case Kind::Time:
      return std::make_unique<TimeColumn>();
    case Kind::Timestamp:
      return std::make_unique<TimestampColumn>("");
    case Kind::TimestampTz:
      return std::make_unique<TimestampColumn>("UTC");
    case Kind::Uuid:
      return std::make_unique<UuidColumn>();
  }
  return fail(Code::Internal, "a column of no known kind");
}

}  // namespace tidegate::engine::postgres
