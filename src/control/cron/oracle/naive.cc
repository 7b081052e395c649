#include "control/cron/oracle/naive.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <map>

namespace tidegate::cron::oracle {
namespace {

constexpr std::int64_t kFirstDay = 7305;  // 1990-01-01
constexpr std::int64_t kDays = 80'400;    // to 2210

const std::map<std::string, std::string> kMacros = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"}};

std::vector<std::string> split(const std::string& s, char by) {
  std::vector<std::string> parts(1);
  for (const char c : s) {
    if (c == by) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

void replace_names(std::string& field, const std::vector<std::string>& names, int first) {
  for (char& c : field) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t at; (at = field.find(names[i])) != std::string::npos;) {
      field.replace(at, 3, std::to_string(static_cast<int>(i) + first));
    }
  }
}

// Whether `value` is in one term of numbers; `min`…`max` are the field's different values.
bool term_has(const std::string& term, int value, int min, int max) {
  const std::vector<std::string> parts = split(term, '/');
  const int step = parts.size() > 1 ? std::atoi(parts[1].c_str()) : 1;
  int a = min, b = max;
  if (parts[0] != "*" && parts[0] != "?") {
    const std::vector<std::string> ends = split(parts[0], '-');
    a = std::atoi(ends[0].c_str());
    b = ends.size() > 1 ? std::atoi(ends[1].c_str()) : parts.size() > 1 ? max : a;
  }
  const bool week = max == 6;
  if (week && b == 7 && a < 7) {
    for (int v = a; v <= 7; v += step) {
      if (v % 7 == value) return true;
    }
    return false;
  }
  if (week) a %= 7, b %= 7;
  int v = a;
  for (int i = 0;; ++i) {
    if (i % step == 0 && v == value) return true;
    if (v == b) return false;
    v = v == max ? min : v + 1;
  }
}

bool field_has(const std::string& field, int value, int min, int max) {
  for (const std::string& term : split(field, ',')) {
    if (term_has(term, value, min, max)) return true;
  }
  return false;
}

int weekday_of(const Date& date, int day) { return ((date.weekday + day - date.day) % 7 + 35) % 7; }
bool works(const Date& date, int day) {
  return weekday_of(date, day) != 0 && weekday_of(date, day) != 6;
}

bool dom_term(const std::string& term, const Date& date) {
  if (term == "L") return date.day == date.length;
  if (term == "LW") {
    int last = date.length;
    while (!works(date, last)) --last;
    return date.day == last;
  }
  if (term.starts_with("L-")) return date.day == date.length - std::atoi(term.c_str() + 2);
  if (term.ends_with("W")) {
    const int wanted = std::atoi(term.c_str());
    if (wanted > date.length) return false;
    int best = 0;
    for (int day = 1; day <= date.length; ++day) {
      if (works(date, day) && (best == 0 || std::abs(day - wanted) < std::abs(best - wanted))) {
        best = day;
      }
    }
    return date.day == best;
  }
  return term_has(term, date.day, 1, 31);
}

bool dow_term(const std::string& term, const Date& date) {
  if (term.ends_with("L")) {
    return std::atoi(term.c_str()) % 7 == date.weekday && date.day + 7 > date.length;
  }
  if (const auto at = term.find('#'); at != std::string::npos) {
    int seen = 0;
    for (int day = 1; day <= date.day; ++day) seen += weekday_of(date, day) == date.weekday;
    return std::atoi(term.c_str()) % 7 == date.weekday && seen == std::atoi(term.c_str() + at + 1);
  }
  return term_has(term, date.weekday, 0, 6);
}

}  // namespace

// Counts through the years, months and days.
Date date_of(std::int64_t day) {
  Date d{1970, 1, 1, static_cast<int>(((day + 4) % 7 + 7) % 7), 31};
  const auto leap = [](int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; };
  for (; day < 0; day += leap(d.year) ? 366 : 365) --d.year;
  for (; day >= (leap(d.year) ? 366 : 365); ++d.year) day -= leap(d.year) ? 366 : 365;
  const std::array<int, 12> lengths = {
      31, leap(d.year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  while (day >= lengths[static_cast<std::size_t>(d.month - 1)]) {
    day -= lengths[static_cast<std::size_t>(d.month++ - 1)];
  }
  d.length = lengths[static_cast<std::size_t>(d.month - 1)];
  d.day = static_cast<int>(day) + 1;
  return d;
}

NaiveCron::NaiveCron(const std::string& text) : text_(text), days_(kDays, -1) {
  const auto macro = kMacros.find(text);
  fields_ = split(macro == kMacros.end() ? text : macro->second, ' ');
  if (fields_.size() == 5) fields_.insert(fields_.begin(), "0");
  replace_names(
      fields_[4],
      {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}, 1);
  replace_names(fields_[5], {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}, 0);
  const auto has = [&](std::size_t field, int count) {
    std::vector<char> out;
    for (int v = 0; v < count; ++v) out.push_back(field_has(fields_[field], v, 0, count - 1));
    return out;
  };
  const std::vector<char> seconds = has(0, 60), minutes = has(1, 60), hours = has(2, 24);
  for (const char h : hours) {
    for (const char m : minutes) {
      for (const char s : seconds) times_.push_back(h && m && s);
    }
  }
  all_hours_ = std::ranges::all_of(hours, [](char h) { return h != 0; });
}

bool NaiveCron::reads_day(const Date& date) const {
  if (!field_has(fields_[4], date.month, 1, 12)) return false;
  bool dom = false, dow = false;
  for (const std::string& term : split(fields_[3], ',')) dom = dom || dom_term(term, date);
  for (const std::string& term : split(fields_[5], ',')) dow = dow || dow_term(term, date);
  const auto star = [](const std::string& f) { return f[0] == '*' || f[0] == '?'; };
  return star(fields_[3]) || star(fields_[5]) ? dom && dow : dom || dow;
}

bool NaiveCron::matches_day(std::int64_t day) const {
  const std::int64_t i = day - kFirstDay;
  if (i < 0 || i >= kDays) return reads_day(date_of(day));
  signed char& known = days_[static_cast<std::size_t>(i)];
  if (known < 0) known = reads_day(date_of(day)) ? 1 : 0;
  return known == 1;
}

}  // namespace tidegate::cron::oracle
