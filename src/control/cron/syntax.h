#pragma once
// Private to the module: the parsed form of an expression, shared by the compiler and explain().

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace tidegate::cron {

enum class FieldId : std::uint8_t { Second, Minute, Hour, DayOfMonth, Month, DayOfWeek };
inline constexpr std::size_t kFieldCount = 6;

struct FieldSpec {
  std::string_view name;
  int min, max;  // as written; day-of-week 7 is Sunday
  int size;      // how many different values the field has
};
inline constexpr std::array<FieldSpec, kFieldCount> kFields{{
    {"second", 0, 59, 60},
    {"minute", 0, 59, 60},
    {"hour", 0, 23, 24},
    {"day-of-month", 1, 31, 31},
    {"month", 1, 12, 12},
    {"day-of-week", 0, 7, 7},
}};
constexpr const FieldSpec& spec(FieldId id) { return kFields[static_cast<std::size_t>(id)]; }

// One element of a comma-separated list; H is already a value or a range.
struct Term {
  enum class Kind : std::uint8_t {
    Any,          // * or ?, with step
    Range,        // a to b by step, around the end of the field when b < a; a == b: one value
    LastDay,      // a days before the last day of the month
    Nearest,      // the weekday (Monday to Friday) nearest to day a, within its month
    LastWeekday,  // the last Monday-to-Friday day of the month
    Nth,          // the b-th day-of-week a of the month
    LastOf,       // the last day-of-week a of the month
  };
  Kind kind = Kind::Any;
  int a = 0, b = 0, step = 1;
};

struct Field {
  std::vector<Term> terms;
  std::size_t position = 0;  // byte offset in the text as given
  bool star = false;         // begins with * or ?: Vixie cron's "unrestricted"
  bool every() const { return terms.size() == 1 && star && terms[0].step == 1; }
};

struct Syntax {
  std::array<Field, kFieldCount> fields;
  const Field& operator[](FieldId id) const { return fields[static_cast<std::size_t>(id)]; }
};

// Calls `visit(value)` for each value of an Any or Range term; day-of-week 7 comes out as 0.
template <class F>
void for_each_value(FieldId id, const Term& t, F&& visit) {
  const FieldSpec& f = spec(id);
  const int base = f.min;
  int first = t.a - base;
  int count = t.b - t.a + 1;
  if (t.kind == Term::Kind::Any) {
    first = 0;
    count = f.size;
  } else if (count <= 0) {
    // Around the end. A Sunday written as 7 that starts a range is a 0.
    first %= f.size;
    const int last = (t.b - base) % f.size;
    count = last - first + 1;
    if (count <= 0) count += f.size;
  }
  for (int i = 0; i < count; i += t.step) visit((first + i) % f.size + base);
}

// Invalid with details {field "cron", message, position}.
Result<Syntax> parse_syntax(std::string_view text, std::uint64_t seed);
std::unexpected<Error> cron_error(std::size_t position, std::string message);

inline constexpr std::array<std::string_view, 12> kMonthNames = {
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
inline constexpr std::array<std::string_view, 7> kDayNames = {"SUN", "MON", "TUE", "WED",
                                                              "THU", "FRI", "SAT"};

}  // namespace tidegate::cron
