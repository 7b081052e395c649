#include "control/cron/syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "base/hash.h"
#include "control/cron/cron.h"

namespace tidegate::cron {
namespace {

constexpr std::size_t kMaxText = 1000;

struct Macro {
  std::string_view name, expansion;
};
constexpr std::array<Macro, 7> kMacros{{{"@yearly", "0 0 1 1 *"},
                                        {"@annually", "0 0 1 1 *"},
                                        {"@monthly", "0 0 1 * *"},
                                        {"@weekly", "0 0 * * 0"},
                                        {"@daily", "0 0 * * *"},
                                        {"@midnight", "0 0 * * *"},
                                        {"@hourly", "0 * * * *"}}};

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
constexpr bool is_letter(char c) { return upper(c) >= 'A' && upper(c) <= 'Z'; }

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return upper(x) == upper(y); });
}

// SplitMix64's finalizer: every bit of the seed reaches every bit of the result.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::string show(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 0x20 && u < 0x7f ? fmt::format("'{}'", c) : fmt::format("byte 0x{:02x}", u);
}

// Reads one field: text_[pos_, end_).
class FieldParser {
 public:
  FieldParser(FieldId id, std::string_view text, std::size_t begin, std::size_t end,
              std::uint64_t seed)
      : id_(id), spec_(spec(id)), text_(text), pos_(begin), end_(end), seed_(seed) {}

  Result<Field> parse() {
    Field field{{}, pos_, peek() == '*' || peek() == '?'};
    while (true) {
      TG_TRY(Term term, parse_term());
      field.terms.push_back(term);
      if (pos_ == end_) return field;
      if (peek() != ',') {
        return error(
            fmt::format("unexpected {}; expected a comma or the end of the field", show(peek())));
      }
      ++pos_;
    }
  }

 private:
  // '\0' at the field's end; a NUL in the text is no character of the syntax either.
  char peek(std::size_t ahead = 0) const {
    return pos_ + ahead < end_ ? text_[pos_ + ahead] : '\0';
  }
  bool take(char c) {
    if (upper(peek()) != c) return false;
    ++pos_;
    return true;
  }
  std::unexpected<Error> error(std::string_view message) const { return error_at(pos_, message); }
  std::unexpected<Error> error_at(std::size_t position, std::string_view message) const {
    return cron_error(position, fmt::format("{}: {}", spec_.name, message));
  }
  bool day_of_month() const { return id_ == FieldId::DayOfMonth; }
  bool day_of_week() const { return id_ == FieldId::DayOfWeek; }

  std::string expected() const {
    switch (id_) {
      case FieldId::DayOfMonth:
        return "*, ?, a day 1-31, a range such as 1-15, a step such as */2, H, L, L-3, 15W or LW";
      case FieldId::Month:
        return "*, a month 1-12 or JAN-DEC, a range such as 1-6, a step such as */3 or H";
      case FieldId::DayOfWeek:
        return "*, ?, a day 0-7 or SUN-SAT (0 and 7 are Sunday), a range such as MON-FRI, H, MON#2 "
               "or FRIL";
      default:
        return fmt::format("*, a number {}-{}, a range such as 5-10, a step such as */2 or H",
                           spec_.min, spec_.max);
    }
  }

  Result<Term> parse_term() {
    const char c = peek();
    if (c == '*' || c == '?') {
      if (c == '?' && !day_of_month() && !day_of_week()) {
        return error("? is only for the day fields; write * here");
      }
      ++pos_;
      return with_step({Term::Kind::Any, spec_.min, spec_.min + spec_.size - 1, 1});
    }
    if (upper(c) == 'H' && !is_letter(peek(1))) return parse_hash();
    if (upper(c) == 'L' && !is_letter_of_name()) return parse_last();
    return parse_values();
  }

  // After an L: another letter but the W of LW.
  bool is_letter_of_name() const { return is_letter(peek(1)) && upper(peek(1)) != 'W'; }

  Result<Term> parse_last() {
    if (day_of_week()) {
      return error(
          "L needs a day here, as in FRIL (the month's last Friday); the month's last day "
          "is L in the day-of-month field");
    }
    if (!day_of_month()) {
      return error(fmt::format("L is only for the day fields; expected {}", expected()));
    }
    ++pos_;
    if (take('W')) return Term{Term::Kind::LastWeekday};
    if (!take('-')) return Term{Term::Kind::LastDay};
    const std::size_t at = pos_;
    TG_TRY(const int days, parse_number("a number of days 1-30 after L-"));
    if (days < 1 || days > 30) {
      return error_at(at, "L-n counts days back from the month's last day; expected n in 1-30");
    }
    return Term{Term::Kind::LastDay, days};
  }

  Result<Term> parse_values() {
    TG_TRY(const int a, parse_value());
    if (day_of_month() && take('W')) return Term{Term::Kind::Nearest, a};
    if (day_of_week() && take('L')) return Term{Term::Kind::LastOf, a % 7};
    if (day_of_week() && take('#')) {
      const std::size_t at = pos_;
      TG_TRY(const int n, parse_number("1-5 after #"));
      if (n < 1 || n > 5) return error_at(at, "a month has at most 5 of a weekday; expected 1-5");
      return Term{Term::Kind::Nth, a % 7, n};
    }
    if (take('-')) {
      TG_TRY(const int b, parse_value());
      return with_step({Term::Kind::Range, a, b, 1});
    }
    // `5/15` runs from 5 to the end of the field.
    if (peek() == '/') {
      const int last = spec_.min + spec_.size - 1;
      return with_step({Term::Kind::Range, day_of_week() ? a % 7 : a, last, 1});
    }
    return Term{Term::Kind::Range, a, a, 1};
  }

  Result<Term> parse_hash() {
    const std::size_t start = pos_++;
    // Day 29 to 31 would leave out months.
    Term range{Term::Kind::Range, spec_.min, day_of_month() ? 28 : spec_.min + spec_.size - 1, 1};
    if (take('(')) {
      TG_TRY(range.a, parse_value());
      if (!take('-')) return error("expected - and the end of the range, as in H(0-29)");
      TG_TRY(range.b, parse_value());
      if (!take(')')) return error("expected ) after the range of H");
      if (range.b < range.a) {
        return error_at(start, "the range of H may not wrap; expected H(low-high)");
      }
    }
    const int size = range.b - range.a + 1;
    const std::uint64_t hash = mix(seed_ + 0x9e3779b97f4a7c15ULL * (1 + std::uint64_t(id_)));
    if (peek() != '/') {
      range.a = range.b = range.a + static_cast<int>(hash % static_cast<unsigned>(size));
      return range;
    }
    const std::size_t at = pos_ + 1;
    TG_TRY(range, with_step(range));
    if (range.step > size) {
      return error_at(at, fmt::format("step {} is larger than the range of H; expected 1-{}",
                                      range.step, size));
    }
    range.a += static_cast<int>(hash % static_cast<unsigned>(range.step));
    return range;
  }

  Result<Term> with_step(Term term) {
    if (!take('/')) return term;
    const std::size_t at = pos_;
    TG_TRY(term.step, parse_number("a step after /"));
    if (term.step < 1 || term.step > spec_.size) {
      return error_at(at,
                      fmt::format("step {} is out of range; expected 1-{}", term.step, spec_.size));
    }
    return term;
  }

  // Decimal digits, at most four: enough for every field, and no overflow.
  Result<int> parse_number(std::string_view what) {
    if (!is_digit(peek())) return error(fmt::format("expected {}", what));
    const std::size_t start = pos_;
    int v = 0;
    while (is_digit(peek())) {
      if (pos_ - start >= 4) return error_at(start, "the number is too large");
      v = v * 10 + (text_[pos_++] - '0');
    }
    return v;
  }

  Result<int> parse_value() {
    const std::size_t start = pos_;
    if (is_letter(peek())) return parse_name();
    if (!is_digit(peek())) {
      if (pos_ == end_) return error(fmt::format("something is missing; expected {}", expected()));
      return error(fmt::format("unexpected {}; expected {}", show(peek()), expected()));
    }
    TG_TRY(const int v, parse_number("a number"));
    if (v < spec_.min || v > spec_.max) {
      return error_at(start, fmt::format("{} is out of range; expected {}", v, expected()));
    }
    return v;
  }

  Result<int> parse_name() {
    const std::size_t start = pos_;
    std::size_t n = 0;
    while (is_letter(peek(n))) ++n;
    std::span<const std::string_view> names;
    if (id_ == FieldId::Month) names = kMonthNames;
    if (day_of_week()) names = kDayNames;
    const std::string_view word = text_.substr(start, n);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!same(word.substr(0, 3), names[i])) continue;
      const bool last_of = day_of_week() && n == 4 && upper(word[3]) == 'L';
      if (n != 3 && !last_of) {
        return error(
            fmt::format("names have three letters; write {} for {}", names[i], word.substr(0, 20)));
      }
      pos_ += 3;
      return static_cast<int>(i) + spec_.min;
    }
    return error(fmt::format("unexpected '{}'; expected {}", word.substr(0, 20), expected()));
  }

  const FieldId id_;
  const FieldSpec& spec_;
  const std::string_view text_;
  std::size_t pos_;
  const std::size_t end_;
  const std::uint64_t seed_;
};

constexpr std::string_view kForm =
    "expected 5 fields (minute hour day-of-month month day-of-week), as in '30 2 * * MON-FRI', or "
    "6 "
    "with seconds first";

std::unexpected<Error> bad_macro(std::size_t at, std::string_view name) {
  if (same(name, "@reboot")) return cron_error(at, "@reboot is no time; run the job by hand");
  if (same(name, "@every")) {
    return cron_error(at, "@every is not cron; write the schedule as {every: 5m} instead");
  }
  std::string known;
  for (const Macro& m : kMacros) known += fmt::format("{}{}", known.empty() ? "" : ", ", m.name);
  return cron_error(at, fmt::format("'{}' is unknown; expected {}", name.substr(0, 20), known));
}

Result<std::string_view> expand_macro(std::string_view text, std::size_t first, std::size_t last) {
  std::size_t end = first;
  while (end < last && !is_blank(text[end])) ++end;
  const std::string_view name = text.substr(first, end - first);
  for (const Macro& m : kMacros) {
    if (!same(m.name, name)) continue;
    if (end != last) {
      return cron_error(end, fmt::format("nothing may follow {}; remove the rest", m.name));
    }
    return m.expansion;
  }
  return bad_macro(first, name);
}

struct Word {
  std::size_t begin, end;
};

std::vector<Word> split(std::string_view text) {
  std::vector<Word> words;
  std::size_t i = 0;
  while (true) {
    while (i < text.size() && is_blank(text[i])) ++i;
    if (i == text.size()) return words;
    const std::size_t begin = i;
    while (i < text.size() && !is_blank(text[i])) ++i;
    words.push_back({begin, i});
  }
}

}  // namespace

std::unexpected<Error> cron_error(std::size_t position, std::string message) {
  Error e{Code::Invalid, "the cron expression is not valid: " + message, "invalid_cron", {}};
  e.details.push_back({"cron", std::move(message), position});
  return fail(std::move(e));
}

std::uint64_t hash_seed(std::string_view job_id) { return mix(fnv1a(job_id)); }

Result<Syntax> parse_syntax(std::string_view text, std::uint64_t seed) {
  if (text.size() > kMaxText) {
    return cron_error(kMaxText, fmt::format("longer than {} bytes; shorten its lists", kMaxText));
  }
  std::vector<Word> words = split(text);
  if (words.empty()) return cron_error(0, fmt::format("empty; {}", kForm));
  if (text[words[0].begin] == '@') {
    TG_TRY(text, expand_macro(text, words[0].begin, words.back().end));
    words = split(text);
  }
  if (words.size() < 5) {
    return cron_error(words.back().end, fmt::format("{} field{}; {}", words.size(),
                                                    words.size() == 1 ? "" : "s", kForm));
  }
  if (words.size() > kFieldCount) {
    return cron_error(words[kFieldCount].begin,
                      fmt::format("{} fields; {} (there is no year field)", words.size(), kForm));
  }
  Syntax syntax;
  const std::size_t first = kFieldCount - words.size();
  if (first == 1) syntax.fields[0].terms = {{Term::Kind::Range, 0, 0, 1}};
  for (std::size_t i = first; i < kFieldCount; ++i) {
    const Word& w = words[i - first];
    TG_TRY(syntax.fields[i], FieldParser(FieldId(i), text, w.begin, w.end, seed).parse());
  }
  return syntax;
}

}  // namespace tidegate::cron
