#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "control/cron/cron.h"
#include "control/cron/syntax.h"

namespace tidegate::cron {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};

std::string join(std::span<const std::string> parts, std::string_view last) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += i + 1 == parts.size() ? fmt::format(" {} ", last) : ", ";
    out += parts[i];
  }
  return out;
}

std::string ordinal(int n) {
  const int tens = n % 100 / 10;
  const char* suffix = "th";
  if (tens != 1 && n % 10 == 1) suffix = "st";
  if (tens != 1 && n % 10 == 2) suffix = "nd";
  if (tens != 1 && n % 10 == 3) suffix = "rd";
  return fmt::format("{}{}", n, suffix);
}

std::string value_name(FieldId id, int v) {
  if (id == FieldId::Month) return std::string(kMonths[static_cast<std::size_t>(v - 1)]);
  if (id == FieldId::DayOfWeek) return std::string(kDays[static_cast<std::size_t>(v % 7)]);
  return std::to_string(v);
}

bool single(const Term& t) { return t.kind == Term::Kind::Range && t.a == t.b; }
bool is_single(const Field& f) { return f.terms.size() == 1 && single(f.terms[0]); }

// `every 5 minutes` for steps, which begin at the field's first value and divide it evenly.
std::string every_step(FieldId id, const Term& t) {
  const FieldSpec& f = spec(id);
  if (t.step == 1) return fmt::format("every {}", f.name);
  const bool even = f.size % t.step == 0 && id < FieldId::DayOfMonth;
  if (even) return fmt::format("every {} {}s", t.step, f.name);
  return {};
}

// Values of one field as words: `5, 10 through 20 and every 2nd from 30 through 50`.
std::string values(FieldId id, const Field& field, std::string_view last = "and") {
  std::vector<std::string> parts;
  for (const Term& t : field.terms) {
    if (single(t)) {
      std::string text = value_name(id, t.a);
      if (std::ranges::find(parts, text) == parts.end()) parts.push_back(std::move(text));
    } else if (t.step == 1) {
      parts.push_back(fmt::format("{} through {}", value_name(id, t.a), value_name(id, t.b)));
    } else {
      parts.push_back(fmt::format("every {} from {} through {}", ordinal(t.step),
                                  value_name(id, t.a), value_name(id, t.b)));
    }
  }
  return join(parts, last);
}

// A second or minute: `every 5 minutes`, `minute 5`, `minutes 5 and 35`.
std::string clock_unit(FieldId id, const Field& field) {
  const std::string_view unit = spec(id).name;
  if (field.terms.size() == 1 && field.terms[0].kind == Term::Kind::Any) {
    if (std::string s = every_step(id, field.terms[0]); !s.empty()) return s;
  }
  return fmt::format("{}{} {}", unit, is_single(field) ? "" : "s", values(id, field));
}

bool begins_with_every(std::string_view s) { return s.starts_with("every "); }

std::string capital(std::string s) {
  if (!s.empty() && s[0] >= 'a' && s[0] <= 'z') s[0] = static_cast<char>(s[0] - 32);
  return s;
}

// Times of day where there are few: `02:30`, `09:00, 12:00 and 17:00`; empty when there are many.
std::string clock_times(const Syntax& s) {
  std::vector<std::string> times;
  const auto few = [](const Field& f) { return std::ranges::all_of(f.terms, single); };
  const Field& second = s[FieldId::Second];
  const Field& minute = s[FieldId::Minute];
  const Field& hour = s[FieldId::Hour];
  if (!few(second) || !few(minute) || !few(hour)) return {};
  if (second.terms.size() * minute.terms.size() * hour.terms.size() > 6) return {};
  for (const Term& h : hour.terms) {
    for (const Term& m : minute.terms) {
      for (const Term& sec : second.terms) {
        std::string time = fmt::format("{:02}:{:02}", h.a, m.a);
        // Most expressions have no seconds.
        if (second.terms.size() > 1 || sec.a != 0) time += fmt::format(":{:02}", sec.a);
        times.push_back(std::move(time));
      }
    }
  }
  std::ranges::sort(times);
  const auto repeated = std::ranges::unique(times);
  times.erase(repeated.begin(), repeated.end());
  return join(times, "and");
}

std::string time_part(const Syntax& s) {
  if (const std::string times = clock_times(s); !times.empty()) return "At " + times;
  const Field& hour = s[FieldId::Hour];
  const std::string second = clock_unit(FieldId::Second, s[FieldId::Second]);
  const std::string minute = clock_unit(FieldId::Minute, s[FieldId::Minute]);
  const bool on_the_minute = is_single(s[FieldId::Second]) && s[FieldId::Second].terms[0].a == 0;
  std::string out;
  if (!on_the_minute) {
    out = begins_with_every(second) ? second : "at " + second;
    if (!s[FieldId::Minute].every()) {
      out += begins_with_every(minute) ? " of " + minute : " during " + minute;
    } else if (!begins_with_every(second)) {
      out += " of every minute";
    }
  } else {
    out = begins_with_every(minute) ? minute : "at " + minute;
  }
  const std::string hours = clock_unit(FieldId::Hour, hour);
  if (!hour.every()) {
    const bool nested = begins_with_every(hours) || out.find(" during ") != std::string::npos;
    out += (nested ? " of " : " during ") + hours;
  } else if (!begins_with_every(out)) {
    out += " of every hour";
  }
  return capital(std::move(out));
}

std::string month_day(const Term& t) {
  switch (t.kind) {
    case Term::Kind::LastDay:
      if (t.a == 0) return "the last day of the month";
      return fmt::format("the day {} day{} before the last day of the month", t.a,
                         t.a == 1 ? "" : "s");
    case Term::Kind::Nearest:
      return fmt::format("the weekday nearest to day {} of the month", t.a);
    case Term::Kind::LastWeekday:
      return "the last weekday (Monday to Friday) of the month";
    default:
      return {};
  }
}

// `days 1 and 15 of the month`, `every 2nd day of the month`.
std::string month_days(const Field& field) {
  Field plain = field;
  std::erase_if(plain.terms, [](const Term& t) { return !month_day(t).empty(); });
  std::vector<std::string> parts;
  if (plain.terms.size() == 1 && plain.terms[0].kind == Term::Kind::Any) {
    parts.push_back(
        fmt::format("every {} day of the month from day 1", ordinal(plain.terms[0].step)));
  } else if (!plain.terms.empty()) {
    parts.push_back(fmt::format("{} {} of the month", is_single(plain) ? "day" : "days",
                                values(FieldId::DayOfMonth, plain)));
  }
  for (const Term& t : field.terms) {
    if (std::string text = month_day(t); !text.empty()) parts.push_back(std::move(text));
  }
  return join(parts, "and");
}

std::string week_days(const Field& field) {
  Field plain = field;
  std::erase_if(plain.terms, [](const Term& t) {
    return t.kind == Term::Kind::Nth || t.kind == Term::Kind::LastOf;
  });
  std::vector<std::string> parts;
  if (!plain.terms.empty()) parts.push_back(values(FieldId::DayOfWeek, plain));
  for (const Term& t : field.terms) {
    const std::string day = value_name(FieldId::DayOfWeek, t.a);
    if (t.kind == Term::Kind::Nth) {
      parts.push_back(fmt::format("the {} {} of the month", ordinal(t.b), day));
    } else if (t.kind == Term::Kind::LastOf) {
      parts.push_back(fmt::format("the last {} of the month", day));
    }
  }
  return join(parts, "and");
}

std::string date_part(const Syntax& s) {
  const Field& dom = s[FieldId::DayOfMonth];
  const Field& dow = s[FieldId::DayOfWeek];
  const Field& month = s[FieldId::Month];
  std::string out;
  if (dom.every() && dow.every()) {
    out = "every day";
  } else if (dow.every()) {
    out = "on " + month_days(dom);
  } else if (dom.every()) {
    out = "on " + week_days(dow);
  } else if (dom.star || dow.star) {
    out = fmt::format("on {} when it is {}", month_days(dom), week_days(dow));
  } else {
    out = fmt::format("on {} or on {}", month_days(dom), week_days(dow));
  }
  if (!month.every()) out += " in " + values(FieldId::Month, month);
  return out;
}

}  // namespace

std::string Expression::explain() const {
  const Result<Syntax> parsed = parse_syntax(text_, seed_);
  if (!parsed) return text_;  // cannot be: the text was accepted
  const Syntax& s = *parsed;
  const std::string time = time_part(s);
  const std::string date = date_part(s);
  // "Every 5 minutes, every day" says nothing more than "Every 5 minutes".
  if (date == "every day" && s[FieldId::Hour].every()) return time + ".";
  return fmt::format("{}, {}.", time, date);
}

std::string Expression::explain(const TimeZone& zone, DstPolicy dst) const {
  std::string text = explain();
  text.pop_back();
  text += fmt::format(" ({} time).", zone.name());
  if (!zone.has_transitions()) return text;
  if (resolve(dst) == DstPolicy::Wall) {
    return text + " A time that a clock change skips does not run; a repeated one runs twice.";
  }
  return text +
         " A time that a clock change skips runs right after the change; a repeated one runs once.";
}

}  // namespace tidegate::cron
