#include "engine/core/cursor.h"

#include <arrow/array.h>
#include <arrow/type.h>
#include <arrow/util/decimal.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace tidegate::engine {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;

std::int64_t unit_ns(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return kNsPerSecond;
    case arrow::TimeUnit::MILLI:
      return 1'000'000;
    case arrow::TimeUnit::MICRO:
      return 1000;
    case arrow::TimeUnit::NANO:
      return 1;
  }
  return 1;
}

Int128 floor_div(Int128 a, Int128 b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

std::string format_date(std::int64_t days) {
  const std::chrono::year_month_day ymd{std::chrono::sys_days(std::chrono::days(days))};
  return fmt::format("{:04}-{:02}-{:02}", int(ymd.year()), unsigned(ymd.month()),
                     unsigned(ymd.day()));
}

std::string format_ns(Int128 ns) {
  const auto seconds = static_cast<std::int64_t>(floor_div(ns, kNsPerSecond));
  auto fraction = static_cast<std::int64_t>(ns - Int128{seconds} * kNsPerSecond);
  const auto days = static_cast<std::int64_t>(floor_div(seconds, kSecondsPerDay));
  const auto second = seconds - days * kSecondsPerDay;
  std::string text = fmt::format("{}T{:02}:{:02}:{:02}", format_date(days), second / 3600,
                                 second / 60 % 60, second % 60);
  if (fraction != 0) {
    int digits = 9;
    for (; fraction % 1000 == 0; fraction /= 1000) digits -= 3;
    text += fmt::format(".{:0{}}", fraction, digits);
  }
  return text + "Z";
}

std::optional<std::int64_t> parse_int(std::string_view text) {
  std::int64_t v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return v;
}

std::optional<std::int64_t> parse_days(std::string_view text) {
  // The year may have more than four digits or a sign.
  const std::size_t dash = text.find('-', 1);
  if (dash == std::string_view::npos || text.size() != dash + 6 || text[dash + 3] != '-') {
    return std::nullopt;
  }
  const auto y = parse_int(text.substr(0, dash));
  const auto m = parse_int(text.substr(dash + 1, 2));
  const auto d = parse_int(text.substr(dash + 4, 2));
  if (!y || !m || !d || *y < -32767 || *y > 32767 || *m < 1 || *d < 1) return std::nullopt;
  const std::chrono::year_month_day ymd{
      std::chrono::year(int(*y)), std::chrono::month(unsigned(*m)), std::chrono::day(unsigned(*d))};
  if (!ymd.ok()) return std::nullopt;
  return std::chrono::sys_days(ymd).time_since_epoch().count();
}

std::optional<Int128> parse_ns(std::string_view text) {
  const std::size_t t = text.find('T');
  if (t == std::string_view::npos || text.size() < t + 10 || text.back() != 'Z')
    return std::nullopt;
  const auto days = parse_days(text.substr(0, t));
  const auto h = parse_int(text.substr(t + 1, 2));
  const auto m = parse_int(text.substr(t + 4, 2));
  const auto s = parse_int(text.substr(t + 7, 2));
  if (!days || !h || !m || !s || text[t + 3] != ':' || text[t + 6] != ':') return std::nullopt;
  if (*h < 0 || *h > 23 || *m < 0 || *m > 59 || *s < 0 || *s > 59) return std::nullopt;
  std::int64_t fraction = 0;
  if (const std::string_view rest = text.substr(t + 9, text.size() - t - 10); !rest.empty()) {
    const auto v = parse_int(rest.substr(1));
    if (rest.front() != '.' || rest.size() > 10 || rest.size() < 2 || !v || *v < 0) {
      return std::nullopt;
    }
    fraction = *v;
    for (std::size_t i = rest.size(); i < 10; ++i) fraction *= 10;
  }
  const Int128 seconds = Int128{*days} * kSecondsPerDay + Int128{*h * 60 + *m} * 60 + *s;
  return seconds * kNsPerSecond + fraction;
}

arrow::Decimal128 to_decimal(Int128 v) {
  return {static_cast<std::int64_t>(v >> 64), static_cast<std::uint64_t>(v)};
}
Int128 from_decimal(const arrow::Decimal128& d) {
  return (Int128{d.high_bits()} << 64) | Int128{d.low_bits()};
}

template <class Array>
CursorValue integer_at(const arrow::Array& array, std::int64_t row) {
  return CursorValue::integer(
      static_cast<std::int64_t>(static_cast<const Array&>(array).Value(row)));
}

std::optional<CursorValue> real_at(double v) {
  if (std::isnan(v)) return std::nullopt;
  return CursorValue::real(v);
}

}  // namespace

CursorValue CursorValue::decimal(Int128 digits, int scale) {
  return {CursorKind::Decimal, Scaled{digits, scale}};
}

std::string CursorValue::to_string() const {
  switch (kind_) {
    case CursorKind::Integer:
      return fmt::format("{}", as_integer());
    case CursorKind::Real:
      return fmt::format("{}", as_real());
    case CursorKind::Text:
      return as_text();
    case CursorKind::Date:
      return format_date(as_integer());
    case CursorKind::Timestamp:
      return format_ns(as_ns());
    case CursorKind::Decimal:
      break;
  }
  const auto& d = std::get<Scaled>(value_);
  return to_decimal(d.digits).ToString(d.scale);
}

Result<CursorValue> CursorValue::parse(CursorKind kind, std::string_view text) {
  switch (kind) {
    case CursorKind::Integer:
      if (const auto v = parse_int(text)) return integer(*v);
      break;
    case CursorKind::Real: {
      double v = 0;
      const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
      if (ec == std::errc{} && end == text.data() + text.size() && !std::isnan(v)) return real(v);
      break;
    }
    case CursorKind::Text:
      return CursorValue::text(std::string(text));
    case CursorKind::Date:
      if (const auto v = parse_days(text)) return date(*v);
      break;
    case CursorKind::Timestamp:
      if (const auto v = parse_ns(text)) return timestamp_ns(*v);
      break;
    case CursorKind::Decimal: {
      arrow::Decimal128 v;
      std::int32_t precision = 0;
      std::int32_t scale = 0;
      if (arrow::Decimal128::FromString(text, &v, &precision, &scale).ok() && scale >= 0 &&
          scale <= arrow::Decimal128::kMaxScale) {
        return decimal(from_decimal(v), scale);
      }
      break;
    }
  }
  return fail(Code::Invalid,
              fmt::format("'{}' is not a cursor value of kind {}", text.substr(0, 64),
                          kCursorKindNames[static_cast<std::size_t>(kind)]));
}

CursorValue CursorValue::minus(Millis d) const {
  if (kind_ == CursorKind::Timestamp) return timestamp_ns(as_ns() - Int128{d.count()} * 1'000'000);
  if (kind_ == CursorKind::Date) {
    const std::int64_t day_ms = kSecondsPerDay * 1000;
    return date(as_integer() - (d.count() + day_ms - 1) / day_ms);
  }
  return *this;
}

std::partial_ordering CursorValue::operator<=>(const CursorValue& other) const {
  switch (kind_) {
    case CursorKind::Real:
      return as_real() <=> other.as_real();
    case CursorKind::Text:
      return as_text() <=> other.as_text();
    case CursorKind::Decimal:
      break;
    default: {
      const Int128 a = std::get<Int128>(value_);
      const Int128 b = std::get<Int128>(other.value_);
      return a < b   ? std::partial_ordering::less
             : a > b ? std::partial_ordering::greater
                     : std::partial_ordering::equivalent;
    }
  }
  const auto& a = std::get<Scaled>(value_);
  const auto& b = std::get<Scaled>(other.value_);
  const int scale = std::max(a.scale, b.scale);
  const auto wide = [scale](const Scaled& s) {
    return arrow::Decimal256(to_decimal(s.digits)).IncreaseScaleBy(scale - s.scale);
  };
  const arrow::Decimal256 x = wide(a);
  const arrow::Decimal256 y = wide(b);
  return x < y   ? std::partial_ordering::less
         : y < x ? std::partial_ordering::greater
                 : std::partial_ordering::equivalent;
}

std::optional<CursorKind> cursor_kind(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::INT8:
    case arrow::Type::INT16:
    case arrow::Type::INT32:
    case arrow::Type::INT64:
    case arrow::Type::UINT8:
    case arrow::Type::UINT16:
    case arrow::Type::UINT32:
      return CursorKind::Integer;
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
      return CursorKind::Real;
    case arrow::Type::DECIMAL128:
      return static_cast<const arrow::DecimalType&>(type).scale() < 0 ? std::optional<CursorKind>{}
                                                                      : CursorKind::Decimal;
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
      return CursorKind::Text;
    case arrow::Type::DATE32:
      return CursorKind::Date;
    case arrow::Type::TIMESTAMP:
      return CursorKind::Timestamp;
    default:
      return std::nullopt;
  }
}

std::optional<CursorValue> cursor_at(const arrow::Array& array, std::int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  switch (array.type_id()) {
    case arrow::Type::INT8:
      return integer_at<arrow::Int8Array>(array, row);
    case arrow::Type::INT16:
      return integer_at<arrow::Int16Array>(array, row);
    case arrow::Type::INT32:
      return integer_at<arrow::Int32Array>(array, row);
    case arrow::Type::INT64:
      return integer_at<arrow::Int64Array>(array, row);
    case arrow::Type::UINT8:
      return integer_at<arrow::UInt8Array>(array, row);
    case arrow::Type::UINT16:
      return integer_at<arrow::UInt16Array>(array, row);
    case arrow::Type::UINT32:
      return integer_at<arrow::UInt32Array>(array, row);
    case arrow::Type::FLOAT:
      return real_at(static_cast<double>(static_cast<const arrow::FloatArray&>(array).Value(row)));
    case arrow::Type::DOUBLE:
      return real_at(static_cast<const arrow::DoubleArray&>(array).Value(row));
    case arrow::Type::DECIMAL128: {
      const auto& decimals = static_cast<const arrow::Decimal128Array&>(array);
      return CursorValue::decimal(from_decimal(arrow::Decimal128(decimals.GetValue(row))),
                                  static_cast<const arrow::DecimalType&>(*array.type()).scale());
    }
    case arrow::Type::STRING:
      return CursorValue::text(static_cast<const arrow::StringArray&>(array).GetString(row));
    case arrow::Type::LARGE_STRING:
      return CursorValue::text(static_cast<const arrow::LargeStringArray&>(array).GetString(row));
    case arrow::Type::DATE32:
      return CursorValue::date(static_cast<const arrow::Date32Array&>(array).Value(row));
    case arrow::Type::TIMESTAMP: {
      const auto unit = static_cast<const arrow::TimestampType&>(*array.type()).unit();
      return CursorValue::timestamp_ns(
          Int128{static_cast<const arrow::TimestampArray&>(array).Value(row)} * unit_ns(unit));
    }
    default:
      return std::nullopt;
  }
}

}  // namespace tidegate::engine
