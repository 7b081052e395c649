#include "engine/core/text_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <compare>
#include <optional>
#include <utility>

#include "base/text.h"
#include "base/utf8.h"
#include "engine/core/context.h"

namespace tidegate::engine {
namespace {

constexpr std::size_t kShown = 60;  // bytes

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view take_digits(std::string_view& s) {
  std::size_t n = 0;
  while (n < s.size() && is_digit(s[n])) ++n;
  const std::string_view digits = s.substr(0, n);
  s.remove_prefix(n);
  return digits;
}

struct Number {
  bool negative = false, padded = false;
  std::string_view whole, fraction;  // without zeros that say nothing

  bool zero() const { return whole.empty() && fraction.empty(); }
};

std::optional<Number> number_of(std::string_view s) {
  Number n;
  n.negative = s.starts_with('-');
  if (n.negative) s.remove_prefix(1);
  n.whole = take_digits(s);
  if (n.whole.empty()) return std::nullopt;
  if (s.starts_with('.')) {
    s.remove_prefix(1);
    n.fraction = take_digits(s);
    if (n.fraction.empty()) return std::nullopt;
  }
  if (!s.empty()) return std::nullopt;
  n.padded = n.whole.front() == '0';
  n.whole.remove_prefix(std::min(n.whole.find_first_not_of('0'), n.whole.size()));
  n.fraction = n.fraction.substr(0, n.fraction.find_last_not_of('0') + 1);
  if (n.zero()) n.negative = false;
  return n;
}

std::strong_ordering compare(const Number& a, const Number& b) {
  if (a.negative != b.negative)
    return a.negative ? std::strong_ordering::less : std::strong_ordering::greater;
  auto order = a.whole.size() <=> b.whole.size();
  if (order == 0) order = a.whole <=> b.whole;
  if (order == 0) order = a.fraction <=> b.fraction;
  return a.negative ? 0 <=> order : order;
}

int value_of(std::string_view digits) {
  int v = 0;
  for (const char c : digits) v = v * 10 + (c - '0');
  return v;
}

// A time of day behind a date. Its hours may lack a zero, or begin again after noon.
struct Time {
  int minute = 0;  // of the day
  bool padded = true, of_two_halves = false;
};

// Without one: midnight. What follows the minutes is only looked through for AM and PM.
Time time_of(std::string_view s) {
  s.remove_prefix(std::min(s.find_first_not_of(" T,"), s.size()));
  const std::string_view hours = take_digits(s);
  if (hours.empty() || hours.size() > 2 || !s.starts_with(':')) return {};
  s.remove_prefix(1);
  const std::string_view minutes = take_digits(s);
  if (minutes.empty() || minutes.size() > 2) return {};
  Time time;
  time.padded = hours.size() == 2;
  const auto half = s.find_first_of("aApP");
  time.of_two_halves = half < s.size() - 1 && (s[half + 1] == 'm' || s[half + 1] == 'M');
  int hour = value_of(hours);
  if (time.of_two_halves) hour = hour % 12 + (s[half] == 'p' || s[half] == 'P' ? 12 : 0);
  time.minute = hour * 60 + value_of(minutes);
  return time;
}

struct Date {
  int year = 0, first = 0, second = 0;  // the other two as they stand
  bool year_first = false, padded = false;
  Time time;

  // Year, month and day as one number that grows with them; nullopt: it cannot be read so.
  std::optional<int> read(bool day_first) const {
    const int month = day_first ? second : first;
    const int day = day_first ? first : second;
    if (month < 1 || month > 12 || day < 1 || day > 31) return std::nullopt;
    return (year * 100 + month) * 100 + day;
  }
};

std::optional<Date> date_of(std::string_view s) {
  std::array<std::string_view, 3> parts;
  char separator = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) {
      if (s.empty() || (i == 2 && s.front() != separator)) return std::nullopt;
      separator = s.front();
      if (separator != '/' && separator != '.' && separator != '-') return std::nullopt;
      s.remove_prefix(1);
    }
    parts.at(i) = take_digits(s);
    if (parts.at(i).empty() || parts.at(i).size() > 4) return std::nullopt;
  }
  if (!s.empty() && s.front() != ' ' && s.front() != 'T' && s.front() != ',') return std::nullopt;
  Date date;
  date.year_first = parts[0].size() == 4;
  const std::string_view year = date.year_first ? parts[0] : parts[2];
  const std::string_view first = date.year_first ? parts[1] : parts[0];
  const std::string_view second = date.year_first ? parts[2] : parts[1];
  if (year.size() != 4 || first.size() > 2 || second.size() > 2) return std::nullopt;
  date.year = value_of(year);
  date.first = value_of(first);
  date.second = value_of(second);
  date.padded = first.size() == 2 && second.size() == 2;
  if (!date.read(false) && (date.year_first || !date.read(true))) return std::nullopt;
  date.time = time_of(s);
  return date;
}

// A number without zeros before it is followed out of order by a longer one; one with them is one
// of a fixed width. A year that stands first, with two digits for month, day and hour, sorts as
// text.
bool sorts_as_text(const Number& n) { return n.padded && !n.negative; }
bool sorts_as_text(const Date& d) {
  return d.year_first && d.padded && d.time.padded && !d.time.of_two_halves;
}

bool comes_after(const Date& a, const Date& b) {
  if (a.year_first != b.year_first) return false;
  for (const bool day_first : {false, true}) {
    if (day_first && a.year_first) continue;
    const auto x = a.read(day_first);
    const auto y = b.read(day_first);
    if (x && y && std::pair(*x, a.time.minute) > std::pair(*y, b.time.minute)) return true;
  }
  return false;
}

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// UUIDs, ULIDs, hashes: letters and digits at random, and of one width.
bool is_code(std::string_view s) {
  constexpr int kChanges = 3;
  int changes = 0;
  for (std::size_t i = 1; i < s.size(); ++i) {
    const bool change =
        (is_digit(s[i - 1]) && is_letter(s[i])) || (is_letter(s[i - 1]) && is_digit(s[i]));
    if (change && ++changes > kChanges) return true;
  }
  return false;
}

// Behind a decimal point text sorts as numbers do.
bool is_fraction(std::string_view s, std::size_t at) {
  return at >= 2 && (s[at - 1] == '.' || s[at - 1] == ',') && is_digit(s[at - 2]);
}

// A number somewhere in the text, without zeros before it.
std::string_view number_at(std::string_view s, std::size_t at) {
  s.remove_prefix(at);
  const std::string_view digits = take_digits(s);
  return digits.size() > 1 && digits[0] == '0' ? std::string_view() : digits;
}

bool holds_number(std::string_view s) {
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (!is_digit(s[i]) || (i > 0 && is_digit(s[i - 1]))) continue;
    if (!number_at(s, i).empty() && !is_fraction(s, i)) return true;
  }
  return false;
}

// The texts differ first in a number, which has more digits in `low`: "ORD-10" and "ORD-9".
bool number_has_grown(std::string_view low, std::string_view high) {
  const auto [l, h] = std::ranges::mismatch(low, high);
  auto at = static_cast<std::size_t>(l - low.begin());
  while (at > 0 && is_digit(low[at - 1])) --at;
  if (is_fraction(low, at)) return false;
  const std::string_view more = number_at(low, at), less = number_at(high, at);
  if (less.empty() || more.size() <= less.size() || is_code(low) || is_code(high)) return false;
  // Of one width, and a letter behind: a code of few letters.
  const auto ends = [](std::string_view s, std::size_t end) {
    return end == s.size() || !is_letter(s[end]);
  };
  return low.size() != high.size() || (ends(low, at + more.size()) && ends(high, at + less.size()));
}

}  // namespace

bool may_be_followed_out_of_order(std::string_view bound) {
  if (const auto n = number_of(bound)) return !sorts_as_text(*n);
  if (const auto d = date_of(bound)) return !sorts_as_text(*d);
  return holds_number(bound) && !is_code(bound);
}

bool follows_out_of_order(std::string_view low, std::string_view high) {
  if (const auto h = number_of(high)) {
    const auto l = number_of(low);
    if (l) return !sorts_as_text(*h) && compare(*l, *h) > 0;
  } else if (const auto date = date_of(high)) {
    const auto l = date_of(low);
    if (l) return !sorts_as_text(*date) && comes_after(*l, *date);
  }
  return number_has_grown(low, high);
}

Error text_order_error(std::string_view entity, std::string_view column, std::string_view low,
                       std::string_view high) {
  const bool dates = date_of(high).has_value();
  const auto shown = [](std::string_view text) { return escape_bytes(clip(text, kShown)); };
  return data_error(fmt::format(
      "entity \"{}\": the cursor \"{}\" is text that does not sort as the {} it holds: \"{}\" "
      "comes "
      "after \"{}\" and stands before it letter by letter, so incremental runs would leave rows "
      "out. "
      "{}, choose another cursor (--cursor, or `cursor` of the entity), or use the mode full",
      entity, column, dates ? "dates" : "numbers", shown(low), shown(high),
      dates ? "Have the source write dates as 2026-01-31 (and times as 09:05)"
            : "Give the column a type of numbers in the source (of files: `types` of the source's "
              "configuration, such as integer or decimal(18,2))"));
}

}  // namespace tidegate::engine
