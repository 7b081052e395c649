#include "engine/connectors/file/values.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

namespace tidegate::engine::file {
namespace {

bool is_digit(char c) { return static_cast<unsigned char>(c - '0') <= 9; }

bool is_bool_word(std::string_view t) {
  return t == "true" || t == "false" || t == "TRUE" || t == "FALSE" || t == "True" || t == "False";
}

// A number as written: sign, digits, where the point stands, exponent.
struct Number {
  bool negative = false;
  std::string_view whole, fraction;
  bool has_exponent = false;
  bool exponent_sign = false;
  int exponent = 0;
};

// Follows JSON's grammar for numbers, with `.5` too.
std::optional<Number> scan_number(std::string_view t) {
  Number n;
  std::size_t i = 0;
  if (i < t.size() && t[i] == '-') n.negative = true, ++i;
  std::size_t start = i;
  while (i < t.size() && is_digit(t[i])) ++i;
  n.whole = t.substr(start, i - start);
  if (n.whole.size() > 1 && n.whole[0] == '0') return std::nullopt;
  if (i < t.size() && t[i] == '.') {
    start = ++i;
    while (i < t.size() && is_digit(t[i])) ++i;
    n.fraction = t.substr(start, i - start);
    if (n.fraction.empty()) return std::nullopt;
  } else if (n.whole.empty()) {
    return std::nullopt;
  }
  if (i < t.size() && (t[i] == 'e' || t[i] == 'E')) {
    n.has_exponent = true;
    ++i;
    bool minus = false;
    if (i < t.size() && (t[i] == '+' || t[i] == '-')) n.exponent_sign = true, minus = t[i++] == '-';
    if (i == t.size() || t.size() - i > 4) return std::nullopt;
    for (; i < t.size() && is_digit(t[i]); ++i) n.exponent = n.exponent * 10 + (t[i] - '0');
    if (minus) n.exponent = -n.exponent;
  }
  if (i != t.size()) return std::nullopt;
  return n;
}

// The significant digits and the power of ten of the last one, so that equal numbers compare equal.
struct Canonical {
  std::array<char, 64> digits{};
  std::size_t count = 0;
  int exponent = 0;
  bool operator==(const Canonical& o) const {
    return count == o.count && (count == 0 || exponent == o.exponent) &&
           std::memcmp(digits.data(), o.digits.data(), count) == 0;
  }
};

std::optional<Canonical> canonical(const Number& n) {
  Canonical c;
  c.exponent = n.exponent - static_cast<int>(n.fraction.size());
  for (std::string_view part : {n.whole, n.fraction}) {
    for (char d : part) {
      if (c.count == 0 && d == '0') continue;
      if (c.count == c.digits.size()) return std::nullopt;
      c.digits[c.count++] = d;
    }
  }
  while (c.count > 0 && c.digits[c.count - 1] == '0') --c.count, ++c.exponent;
  return c;
}

// Any decimal of at most 15 significant digits comes back from a double unchanged (IEEE 754
// binary64, DBL_DIG). Longer ones are asked: does the shortest text of the double name the same
// number?
bool exact_as_double(std::string_view text, const Number& n) {
  const std::size_t digits = n.whole.size() + n.fraction.size();
  if (digits <= 15 && n.exponent > -280 && n.exponent < 280) return true;
  double v = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size() || !std::isfinite(v)) return false;
  char buffer[64];
  auto [out, err] = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific);
  if (err != std::errc()) return false;
  const auto printed = scan_number({buffer, static_cast<std::size_t>(out - buffer)});
  if (!printed) return false;
  const auto a = canonical(n), b = canonical(*printed);
  return a && b && *a == *b;
}

ValueClass classify_number(std::string_view text, bool json) {
  ValueClass c;
  const auto n = scan_number(text);
  if (!n) return c;
  if (n->has_exponent) {
    // Codes such as 2E05 are more often names than numbers; every writer of numbers puts a point or
    // a sign.
    if ((json || n->exponent_sign || !n->fraction.empty()) && exact_as_double(text, *n))
      c.types |= kDouble;
    return c;
  }
  const bool whole = n->fraction.empty();
  const bool zero = n->whole.find_first_not_of('0') == std::string_view::npos &&
                    n->fraction.find_first_not_of('0') == std::string_view::npos;
  if (whole) {
    std::int64_t v = 0;
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (ec != std::errc()) return c;  // beyond 64 bits
    if (!(zero && n->negative)) c.types |= kInt;
  }
  if (exact_as_double(text, *n)) c.types |= kDouble;
  if (n->whole.size() + n->fraction.size() <= 38 && !(zero && n->negative)) {
    c.types |= kDecimal;
    c.int_digits = static_cast<std::uint8_t>(n->whole == "0" ? 0 : n->whole.size());
    c.scale = static_cast<std::uint8_t>(n->fraction.size());
  }
  return c;
}

int two(const char* p) { return (p[0] - '0') * 10 + (p[1] - '0'); }
bool digits_at(std::string_view t, std::size_t at, std::size_t n) {
  if (at + n > t.size()) return false;
  for (std::size_t i = at; i < at + n; ++i) {
    if (!is_digit(t[i])) return false;
  }
  return true;
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
std::int32_t days_from_civil(int y, unsigned m, unsigned d) {
  y -= m <= 2;
  const int era = (y >= 0 ? y : y - 399) / 400;
  const auto yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<int>(doe) - 719468;
}

int days_in_month(int y, int m) {
  static constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  return m == 2 && leap ? 29 : kDays[static_cast<std::size_t>(m - 1)];
}

// The zone at `at`, to the end of the text: seconds east of UTC.
std::optional<int> scan_zone(std::string_view t, std::size_t at) {
  if (t[at] == 'Z' || t[at] == 'z') {
    return at + 1 == t.size() ? std::optional<int>(0) : std::nullopt;
  }
  if ((t[at] != '+' && t[at] != '-') || !digits_at(t, at + 1, 2)) return std::nullopt;
  const int hours = two(t.data() + at + 1);
  int minutes = 0;
  std::size_t i = at + 3;
  if (i < t.size()) {
    if (t[i] == ':') ++i;
    if (!digits_at(t, i, 2)) return std::nullopt;
    minutes = two(t.data() + i);
    i += 2;
  }
  if (i != t.size() || hours > 23 || minutes > 59) return std::nullopt;
  return (t[at] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

}  // namespace

std::optional<std::int32_t> parse_date(std::string_view t) {
  if (t.size() != 10 || t[4] != '-' || t[7] != '-' || !digits_at(t, 0, 4) || !digits_at(t, 5, 2) ||
      !digits_at(t, 8, 2)) {
    return std::nullopt;
  }
  const int y = two(t.data()) * 100 + two(t.data() + 2), m = two(t.data() + 5),
            d = two(t.data() + 8);
  if (y < 1 || m < 1 || m > 12 || d < 1 || d > days_in_month(y, m)) return std::nullopt;
  return days_from_civil(y, static_cast<unsigned>(m), static_cast<unsigned>(d));
}

std::optional<ParsedTime> parse_time(std::string_view t) {
  if (t.size() < 10) return std::nullopt;
  const auto days = parse_date(t.substr(0, 10));
  if (!days) return std::nullopt;
  ParsedTime r;
  r.seconds = std::int64_t{*days} * 86400;
  if (t.size() == 10) return r;
  if ((t[10] != 'T' && t[10] != ' ' && t[10] != 't') || !digits_at(t, 11, 2) || t.size() < 16 ||
      t[13] != ':' || !digits_at(t, 14, 2)) {
    return std::nullopt;
  }
  const int hour = two(t.data() + 11), minute = two(t.data() + 14);
  int second = 0;
  std::size_t i = 16;
  if (i < t.size() && t[i] == ':') {
    if (!digits_at(t, 17, 2)) return std::nullopt;
    second = two(t.data() + 17);
    i = 19;
    if (i < t.size() && t[i] == '.') {
      std::int32_t scale = 100'000'000;
      const std::size_t start = ++i;
      for (; i < t.size() && is_digit(t[i]); ++i, scale /= 10) {
        if (i - start == 9) return std::nullopt;
        r.nanos += (t[i] - '0') * scale;
      }
      if (i == start) return std::nullopt;
      r.fraction = static_cast<std::uint8_t>(i - start);
    }
  }
  if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
  r.seconds += hour * 3600 + minute * 60 + second;
  if (i < t.size() && t[i] == ' ' && i + 1 < t.size())
    ++i;  // PostgreSQL's text form has none, Ruby's has one
  if (i < t.size()) {
    const auto zone = scan_zone(t, i);
    if (!zone) return std::nullopt;
    r.zone = true;
    r.seconds -= *zone;
  }
  return r;
}

std::optional<std::int64_t> time_units(const ParsedTime& t, bool nanos) {
  std::int64_t v = 0;
  if (!nanos) {
    if (t.nanos % 1000 != 0) return std::nullopt;
    return t.seconds * 1'000'000 + t.nanos / 1000;  // years 0001 to 9999 fit
  }
  if (__builtin_mul_overflow(t.seconds, std::int64_t{1'000'000'000}, &v) ||
      __builtin_add_overflow(v, std::int64_t{t.nanos}, &v)) {
    return std::nullopt;
  }
  return v;
}

ValueClass classify(std::string_view text) {
  ValueClass c;
  if (text.empty()) return c;
  const char first = text[0];
  if (!is_digit(first) && first != '-' && first != '.') {
    if (is_bool_word(text)) c.types |= kBool;
    return c;
  }
  if (text.size() >= 10 && text[4] == '-') {
    const auto time = parse_time(text);
    if (!time) return c;
    if (text.size() == 10) c.types |= kDate;
    c.types |= time->zone ? kTimestampTz : kTimestamp;
    c.fraction = time->fraction;
    c.fits_ns = time_units(*time, true).has_value();
    return c;
  }
  return text.size() <= 64 ? classify_number(text, false) : c;
}

bool is_json_number(std::string_view text) {
  const auto n = scan_number(text);
  return n && !n->whole.empty();
}

ValueClass classify_json_number(std::string_view text) {
  return text.size() <= 64 && is_json_number(text) ? classify_number(text, true) : ValueClass{};
}

std::optional<std::int64_t> parse_int(std::string_view t) {
  if (!t.empty() && t[0] == '+') {
    t.remove_prefix(1);
    if (!t.empty() && t[0] == '-') return std::nullopt;
  }
  std::int64_t v = 0;
  auto [end, ec] = std::from_chars(t.data(), t.data() + t.size(), v);
  if (ec != std::errc() || end != t.data() + t.size()) return std::nullopt;
  return v;
}

std::optional<double> parse_double(std::string_view t) {
  static constexpr std::array<double, 16> kPowers = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  // Up to 15 digits and a power of ten up to 10^15 are both exact doubles, so one division rounds
  // right (Clinger 1990).
  if (t.size() <= 16) {
    std::size_t i = !t.empty() && t[0] == '-', digits = 0, scale = 0;
    std::uint64_t mantissa = 0;
    bool point = false;
    for (; i < t.size(); ++i) {
      if (is_digit(t[i])) {
        mantissa = mantissa * 10 + static_cast<std::uint64_t>(t[i] - '0');
        ++digits, scale += point;
      } else if (t[i] == '.' && !point) {
        point = true;
      } else {
        break;
      }
    }
    if (i == t.size() && digits > 0 && digits <= 15) {
      const double v = static_cast<double>(mantissa) / kPowers[scale];
      return t[0] == '-' ? -v : v;
    }
  }
  if (!t.empty() && t[0] == '+') t.remove_prefix(1);
  double v = 0;
  auto [end, ec] = std::from_chars(t.data(), t.data() + t.size(), v);
  if (ec != std::errc() || end != t.data() + t.size() || t.empty()) return std::nullopt;
  return v;
}

std::optional<bool> parse_bool(std::string_view t) {
  if (t.empty() || t.size() > 5) return std::nullopt;
  char lower[6] = {};
  for (std::size_t i = 0; i < t.size(); ++i) {
    lower[i] = static_cast<char>(t[i] >= 'A' && t[i] <= 'Z' ? t[i] + 32 : t[i]);
  }
  const std::string_view w(lower, t.size());
  if (w == "true" || w == "t" || w == "yes" || w == "y" || w == "1") return true;
  if (w == "false" || w == "f" || w == "no" || w == "n" || w == "0") return false;
  return std::nullopt;
}

std::optional<Int128> parse_decimal(std::string_view t, int precision, int scale) {
  std::size_t i = 0;
  bool negative = false;
  if (i < t.size() && (t[i] == '-' || t[i] == '+')) negative = t[i++] == '-';
  Int128 v = 0;
  int digits = 0, fraction = 0;
  bool point = false, any = false;
  for (; i < t.size(); ++i) {
    if (t[i] == '.' && !point) {
      point = true;
      continue;
    }
    if (!is_digit(t[i])) return std::nullopt;
    any = true;
    if (point && fraction == scale) {
      if (t[i] != '0') return std::nullopt;
      continue;
    }
    if (point) ++fraction;
    v = v * 10 + (t[i] - '0');
    if (v != 0 && ++digits > precision) return std::nullopt;
  }
  if (!any) return std::nullopt;
  for (; fraction < scale; ++fraction) {
    v *= 10;
    if (v != 0 && ++digits > precision) return std::nullopt;
  }
  return negative ? -v : v;
}

}  // namespace tidegate::engine::file
