#pragma once
// A value of a cursor column: compared, kept in the state as text, never rounded.

#include <arrow/type_fwd.h>

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::engine {

enum class CursorKind : std::uint8_t { Integer, Real, Decimal, Text, Date, Timestamp };
inline constexpr std::string_view kCursorKindNames[] = {"integer", "real", "decimal",
                                                        "text",    "date", "timestamp"};

__extension__ typedef __int128 Int128;

// A timestamp is held in nanoseconds since the epoch whatever the column's unit, so a column that
// changes its unit keeps its bound. A decimal is held as digits and scale, so 1.5 equals 1.50.
class CursorValue {
 public:
  static CursorValue integer(std::int64_t v) { return {CursorKind::Integer, Int128{v}}; }
  static CursorValue real(double v) { return {CursorKind::Real, v}; }
  static CursorValue text(std::string v) { return {CursorKind::Text, std::move(v)}; }
  static CursorValue date(std::int64_t days) { return {CursorKind::Date, Int128{days}}; }
  static CursorValue timestamp_ns(Int128 ns) { return {CursorKind::Timestamp, ns}; }
  // `digits` × 10^-scale. REQUIRES: 0 ≤ scale ≤ 38.
  static CursorValue decimal(Int128 digits, int scale);

  CursorKind kind() const { return kind_; }
  // Integer and Date (days since 1970-01-01).
  std::int64_t as_integer() const { return static_cast<std::int64_t>(std::get<Int128>(value_)); }
  Int128 as_ns() const { return std::get<Int128>(value_); }
  double as_real() const { return std::get<double>(value_); }
  const std::string& as_text() const { return std::get<std::string>(value_); }

  // Exact and readable: `42`, `2026-01-31`, `2026-01-31T09:00:00.123456Z`.
  std::string to_string() const;
  // Invalid when `text` is no value of that kind.
  static Result<CursorValue> parse(CursorKind kind, std::string_view text);

  // Timestamps and dates only; others come back unchanged.
  CursorValue minus(Millis d) const;

  // REQUIRES: both of one kind.
  std::partial_ordering operator<=>(const CursorValue& other) const;
  bool operator==(const CursorValue& other) const { return (*this <=> other) == 0; }

 private:
  struct Scaled {
    Int128 digits;
    int scale;
  };
  using Value = std::variant<Int128, double, std::string, Scaled>;
  CursorValue(CursorKind kind, Value value) : kind_(kind), value_(std::move(value)) {}

  CursorKind kind_;
  Value value_;
};

// nullopt: a column of this type cannot be a cursor (booleans, bytes, nested values).
std::optional<CursorKind> cursor_kind(const arrow::DataType& type);

// The value at `row`; nullopt for NULL (and NaN). REQUIRES: cursor_kind(*array.type()).
std::optional<CursorValue> cursor_at(const arrow::Array& array, std::int64_t row);

}  // namespace tidegate::engine
