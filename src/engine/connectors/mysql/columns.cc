// The columns of row_decoder.h.
#include <arrow/array.h>
#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_decimal.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/array/builder_time.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "engine/connectors/mysql/row_decoder.h"
#include "engine/core/schema.h"

namespace tidegate::engine::mysql {
namespace {

constexpr const char* kDamaged = "is no value of its column's type; this is a defect";
constexpr std::int64_t kDayMicros = 86'400'000'000;

std::string taken(const arrow::Status& status) { return status.ok() ? "" : status.message(); }

// What all columns share; Derived::take says why not, or "".
template <class Derived, class Builder>
class TypedColumn : public Column {
 public:
  template <class... Args>
  explicit TypedColumn(Args&&... args) : builder_(std::forward<Args>(args)...) {}

  std::string append(std::string_view text) override {
    std::string why = static_cast<Derived*>(this)->take(text);
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

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number v{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), v);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return v;
}

template <class Builder, class Value>
class NumberColumn final : public TypedColumn<NumberColumn<Builder, Value>, Builder> {
 public:
  std::string take(std::string_view text) {
    const auto v = number<Value>(text);
    return v ? taken(this->builder_.Append(*v)) : kDamaged;
  }
};

// Its text is that of the double.
class FloatColumn final : public TypedColumn<FloatColumn, arrow::FloatBuilder> {
 public:
  std::string take(std::string_view text) {
    const auto v = number<double>(text);
    return v ? taken(builder_.Append(static_cast<float>(*v))) : kDamaged;
  }
};

// The bytes of the number, the highest first.
std::optional<std::uint64_t> bits(std::string_view bytes) {
  if (bytes.empty() || bytes.size() > 8) return std::nullopt;
  std::uint64_t v = 0;
  for (const char c : bytes) v = v << 8 | static_cast<unsigned char>(c);
  return v;
}

class BitColumn final : public TypedColumn<BitColumn, arrow::BooleanBuilder> {
 public:
  std::string take(std::string_view bytes) {
    const auto v = bits(bytes);
    return v ? taken(builder_.Append(*v != 0)) : kDamaged;
  }
};

class BitsColumn final : public TypedColumn<BitsColumn, arrow::UInt64Builder> {
 public:
  std::string take(std::string_view bytes) {
    const auto v = bits(bytes);
    return v ? taken(builder_.Append(*v)) : kDamaged;
  }
};

class DecimalColumn final : public TypedColumn<DecimalColumn, arrow::Decimal128Builder> {
 public:
  explicit DecimalColumn(const ColumnType& type)
      : TypedColumn(arrow::decimal128(type.precision, type.scale)),
        precision_(type.precision),
        scale_(type.scale) {}

  std::string take(std::string_view text) {
    arrow::Decimal128 v;
    std::int32_t precision = 0, scale = 0;
    if (!arrow::Decimal128::FromString(text, &v, &precision, &scale).ok() || scale != scale_ ||
        !v.FitsInPrecision(precision_))
      return kDamaged;
    return taken(builder_.Append(v));
  }

 private:
  const int precision_, scale_;
};

class TextColumn final : public TypedColumn<TextColumn, arrow::StringBuilder> {
 public:
  std::string take(std::string_view text) {
    return is_utf8(text) ? taken(builder_.Append(text))
                         : "is not valid UTF-8; correct the value, or exclude the column";
  }
};

class BytesColumn final : public TypedColumn<BytesColumn, arrow::BinaryBuilder> {
 public:
  std::string take(std::string_view bytes) { return taken(builder_.Append(bytes)); }
};

// ---- times

// `2026-11-28`.
struct Day {
  std::optional<std::int64_t> days;  // since 1970-01-01
  std::string why;
};
Day day(std::string_view text) {
  const auto part = [&](std::size_t at, std::size_t n) {
    return number<unsigned>(text.substr(std::min(at, text.size()), n));
  };
  const auto y = part(0, 4), m = part(5, 2), d = part(8, 2);
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || !y || !m || !d)
    return {{}, kDamaged};
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*y)),
                                         std::chrono::month(*m), std::chrono::day(*d)};
  if (!date.ok()) {
    return {{},
            fmt::format("{} is no day of the calendar; correct the value (UPDATE … SET … = NULL), "
                        "exclude the column, or copy a view with NULLIF()",
                        text)};
  }
  return {std::chrono::sys_days(date).time_since_epoch().count(), {}};
}

// `[-]HHH:MM:SS[.fraction]` in microseconds.
std::optional<std::int64_t> clock(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || text.size() < colon + 6) return std::nullopt;
  const auto h = number<int>(text.substr(0, colon)), m = number<int>(text.substr(colon + 1, 2)),
             s = number<int>(text.substr(colon + 4, 2));
  if (!h || !m || !s || text[colon + 3] != ':') return std::nullopt;
  std::int64_t micros = ((*h * 60LL + *m) * 60 + *s) * 1'000'000;
  if (std::string_view fraction = text.substr(colon + 6); !fraction.empty()) {
    fraction.remove_prefix(1);
    auto v = number<std::int64_t>(fraction);
    if (!v || fraction.size() > 6) return std::nullopt;
    for (std::size_t i = fraction.size(); i < 6; ++i) *v *= 10;
    micros += *v;
  }
  return negative ? -micros : micros;
}

class DateColumn final : public TypedColumn<DateColumn, arrow::Date32Builder> {
 public:
  std::string take(std::string_view text) {
    const Day d = day(text);
    return d.days ? taken(builder_.Append(static_cast<std::int32_t>(*d.days))) : d.why;
  }
};

class TimeColumn final : public TypedColumn<TimeColumn, arrow::Time64Builder> {
 public:
  TimeColumn() : TypedColumn(arrow::time64(arrow::TimeUnit::MICRO), arrow::default_memory_pool()) {}
  std::string take(std::string_view text) {
    const auto v = clock(text);
    if (!v) return kDamaged;
    if (*v < 0 || *v >= kDayMicros) {
      return fmt::format(
          "{} is no time of a day; copy a view with TIME_TO_SEC(), or exclude the column", text);
    }
    return taken(builder_.Append(*v));
  }
};

class TimestampColumn final : public TypedColumn<TimestampColumn, arrow::TimestampBuilder> {
 public:
  explicit TimestampColumn(const std::string& zone)
      : TypedColumn(arrow::timestamp(arrow::TimeUnit::MICRO, zone), arrow::default_memory_pool()) {}
  std::string take(std::string_view text) {
    const Day d = day(text.substr(0, 10));
    if (!d.days) return d.why;
    const auto time = text.size() > 11 ? clock(text.substr(11)) : std::nullopt;
    if (!time || text[10] != ' ') return kDamaged;
    return taken(builder_.Append(*d.days * kDayMicros + *time));
  }
};

template <class T, class... Args>
Result<std::unique_ptr<Column>> make_one(Args&&... args) {
  return std::make_unique<T>(std::forward<Args>(args)...);
}

}  // namespace

Result<std::unique_ptr<Column>> Column::make(const ColumnType& type) {
  switch (type.kind) {
    case Kind::Int8:
      return make_one<NumberColumn<arrow::Int8Builder, std::int8_t>>();
    case Kind::UInt8:
      return make_one<NumberColumn<arrow::UInt8Builder, std::uint8_t>>();
    case Kind::Int16:
      return make_one<NumberColumn<arrow::Int16Builder, std::int16_t>>();
    case Kind::UInt16:
      return make_one<NumberColumn<arrow::UInt16Builder, std::uint16_t>>();
    case Kind::Int32:
      return make_one<NumberColumn<arrow::Int32Builder, std::int32_t>>();
    case Kind::UInt32:
      return make_one<NumberColumn<arrow::UInt32Builder, std::uint32_t>>();
    case Kind::Int64:
      return make_one<NumberColumn<arrow::Int64Builder, std::int64_t>>();
    case Kind::UInt64:
      return make_one<NumberColumn<arrow::UInt64Builder, std::uint64_t>>();
    case Kind::Bit:
      return make_one<BitColumn>();
    case Kind::Bits:
      return make_one<BitsColumn>();
    case Kind::Float:
      return make_one<FloatColumn>();
    case Kind::Double:
      return make_one<NumberColumn<arrow::DoubleBuilder, double>>();
    case Kind::Decimal:
      return make_one<DecimalColumn>(type);
    case Kind::DecimalText:
    case Kind::Text:
    case Kind::Json:
      return make_one<TextColumn>();
    case Kind::Bytes:
      return make_one<BytesColumn>();
    case Kind::Date:
      return make_one<DateColumn>();
    case Kind::Time:
      return make_one<TimeColumn>();
    case Kind::DateTime:
      return make_one<TimestampColumn>("");
    case Kind::Timestamp:
      return make_one<TimestampColumn>("UTC");
  }
  return fail(Code::Internal, "a column of no known kind");
}

}  // namespace tidegate::engine::mysql
