#pragma once
// Texts that stand for values: which types a text can be without losing anything, and the value.
//
// "Without losing anything" decides every rule here: a whole number with a leading zero or a plus
// sign is an identifier, so it is text; a decimal is a double only when the double prints as the
// same number; `2E05` is a product code, `2.0E05` a number. Pure functions, thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/cursor.h"

namespace tidegate::engine::file {

// The types a text can be; a set of them is what a column can still be.
enum TypeBits : std::uint16_t {
  kBool = 1,          // true | false, in lower, upper or title case
  kInt = 2,           // 64 bits
  kDouble = 4,        // a double with exactly this value
  kDecimal = 8,       // at most 38 digits, no exponent
  kDate = 16,         // 2026-01-31
  kTimestamp = 32,    // 2026-01-31T09:00[:00[.123456789]], also with a space for the T
  kTimestampTz = 64,  // the same with Z or ±HH[:MM]
  kText = 128,
  kAllTypes = 255,
};

struct ValueClass {
  std::uint16_t types = kText;
  std::uint8_t int_digits = 0;  // of a decimal
  std::uint8_t scale = 0;       // of a decimal
  std::uint8_t fraction = 0;    // digits of a timestamp's seconds
  bool fits_ns = true;          // a date or timestamp between 1678 and 2261
};

// What one text, never a NULL, can be.
ValueClass classify(std::string_view text);

// The same for a number as JSON writes it, where `1e5` cannot be a name. kText alone: no JSON
// number, or none that a type can hold.
ValueClass classify_json_number(std::string_view text);
bool is_json_number(std::string_view text);

// The readers of a declared type take more than inference does: integers with `+` or leading zeros,
// `yes` for true. nullopt: not a value of that type.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);
std::optional<bool> parse_bool(std::string_view text);
// Days since 1970-01-01, proleptic Gregorian, years 0001 to 9999.
std::optional<std::int32_t> parse_date(std::string_view text);
// The digits of the value times 10^scale; nullopt also when digits would be lost.
std::optional<Int128> parse_decimal(std::string_view text, int precision, int scale);

struct ParsedTime {
  std::int64_t seconds = 0;  // since the epoch, UTC; of the local time when there is no zone
  std::int32_t nanos = 0;
  std::uint8_t fraction = 0;  // digits written
  bool zone = false;
};
// A date alone is midnight.
std::optional<ParsedTime> parse_time(std::string_view text);
// 10^-6 s or, when `nanos`, 10^-9 s; nullopt when it does not fit or digits would be lost.
std::optional<std::int64_t> time_units(const ParsedTime& t, bool nanos);

}  // namespace tidegate::engine::file
