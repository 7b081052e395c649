#include <algorithm>
#include <bit>
#include <chrono>
#include <limits>

#include "control/cron/cron.h"
#include "control/cron/syntax.h"
#include "control/cron/zone_table.h"

namespace tidegate::cron {
namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::uint32_t kAllHours = (1U << 24) - 1;
// No zone was ever farther from UTC; used only to begin a search early enough.
constexpr std::int64_t kMaxOffset = 93'600;

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

constexpr bool is_leap(int y) { return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0); }

constexpr int days_in_month(int y, unsigned m) {
  constexpr std::array<std::uint8_t, 13> kDays = {0,  31, 28, 31, 30, 31, 30,
                                                  31, 31, 30, 31, 30, 31};
  return m == 2 && is_leap(y) ? 29 : kDays[m];
}

// The weekday (Monday to Friday) nearest to `day`, never leaving the month.
int nearest_weekday(int day, int weekday, int length) {
  if (weekday == 6) return day > 1 ? day - 1 : day + 2;
  if (weekday == 0) return day < length ? day + 1 : day - 2;
  return day;
}

std::uint64_t value_mask(FieldId id, const Field& field) {
  std::uint64_t mask = 0;
  for (const Term& t : field.terms) {
    if (t.kind != Term::Kind::Any && t.kind != Term::Kind::Range) continue;
    for_each_value(id, t, [&](int v) { mask |= std::uint64_t{1} << v; });
  }
  return mask;
}

std::uint32_t day_of_month_mask(const Field& field, std::uint32_t plain, int first, int length) {
  std::uint32_t mask = plain;
  const auto weekday = [&](int day) { return (first + day - 1) % 7; };
  for (const Term& t : field.terms) {
    int day = 0;
    if (t.kind == Term::Kind::LastDay) {
      day = length - t.a;
    } else if (t.kind == Term::Kind::Nearest && t.a <= length) {
      day = nearest_weekday(t.a, weekday(t.a), length);
    } else if (t.kind == Term::Kind::LastWeekday) {
      day = nearest_weekday(length, weekday(length), length);
    }
    if (day > 0) mask |= 1U << day;
  }
  return mask;
}

std::uint32_t day_of_week_mask(const Field& field, std::uint32_t plain, int first, int length) {
  std::uint32_t mask = 0;
  for (int day = 1; day <= length; ++day) {
    const int weekday = (first + day - 1) % 7;
    bool match = (plain >> weekday & 1) != 0;
    for (const Term& t : field.terms) {
      if (t.a != weekday) continue;
      if (t.kind == Term::Kind::Nth && (day - 1) / 7 + 1 == t.b) match = true;
      if (t.kind == Term::Kind::LastOf && day + 7 > length) match = true;
    }
    if (match) mask |= 1U << day;
  }
  return mask;
}

}  // namespace

struct Compiler {
  static Expression compile(const Syntax& s, std::string_view text, std::uint64_t seed) {
    Expression e;
    e.text_ = text;
    e.seed_ = seed;
    e.seconds_ = value_mask(FieldId::Second, s[FieldId::Second]);
    e.minutes_ = value_mask(FieldId::Minute, s[FieldId::Minute]);
    e.hours_ = static_cast<std::uint32_t>(value_mask(FieldId::Hour, s[FieldId::Hour]));
    e.months_ = static_cast<std::uint16_t>(value_mask(FieldId::Month, s[FieldId::Month]));
    e.first_time_of_day_ = std::countr_zero(e.hours_) * 3600 + std::countr_zero(e.minutes_) * 60 +
                           std::countr_zero(e.seconds_);
    const Field& dom = s[FieldId::DayOfMonth];
    const Field& dow = s[FieldId::DayOfWeek];
    const auto days = static_cast<std::uint32_t>(value_mask(FieldId::DayOfMonth, dom));
    const auto weekdays = static_cast<std::uint32_t>(value_mask(FieldId::DayOfWeek, dow));
    for (int first = 0; first < 7; ++first) {
      for (int length = 28; length <= 31; ++length) {
        const std::uint32_t in_month = static_cast<std::uint32_t>((std::uint64_t{2} << length) - 2);
        const std::uint32_t a = day_of_month_mask(dom, days, first, length);
        const std::uint32_t b = day_of_week_mask(dow, weekdays, first, length);
        // Vixie cron: two restricted day fields are alternatives, otherwise both must hold.
        e.days_[first][length - 28] = (dom.star || dow.star ? a & b : a | b) & in_month;
      }
    }
    return e;
  }

  // The Gregorian calendar repeats every 400 years, which are a whole number of weeks.
  static bool can_fire(const Expression& e) {
    int first = 6;  // 2000-01-01 was a Saturday
    for (int y = 2000; y < 2400; ++y) {
      for (unsigned m = 1; m <= 12; ++m) {
        const int length = days_in_month(y, m);
        if ((e.months_ >> m & 1) != 0 && e.days_[first][length - 28] != 0) return true;
        first = (first + length) % 7;
      }
    }
    return false;
  }
};

Result<Expression> Expression::parse(std::string_view text, std::uint64_t hash_seed) {
  TG_TRY(const Syntax syntax, parse_syntax(text, hash_seed));
  const std::size_t begin = text.find_first_not_of(" \t");
  const std::size_t end = text.find_last_not_of(" \t") + 1;
  Expression e = Compiler::compile(syntax, text.substr(begin, end - begin), hash_seed);
  if (!Compiler::can_fire(e)) {
    return cron_error(
        syntax[FieldId::DayOfMonth].position,
        "day-of-month: can never fire, because no month that it names has such a day; "
        "correct the day-of-month or the month");
  }
  return e;
}

DstPolicy Expression::resolve(DstPolicy dst) const {
  if (dst != DstPolicy::Auto) return dst;
  return hours_ == kAllHours ? DstPolicy::Wall : DstPolicy::Once;
}

std::optional<Instant> Expression::next(Instant after, const TimeZone& zone, DstPolicy dst) const {
  const std::int64_t from =
      std::max(std::chrono::floor<Seconds>(after).time_since_epoch().count() + 1, kFirstSecond);
  if (from >= kEndSecond) return std::nullopt;
  const std::int64_t found = resolve(dst) == DstPolicy::Wall ? next_wall(from, zone.table())
                                                             : next_once(from, zone.table());
  if (found >= kEndSecond) return std::nullopt;
  return Instant(Seconds(found));
}

// Each span of constant offset is a stretch of local time; the first match in the first span wins.
std::int64_t Expression::next_wall(std::int64_t from, const ZoneTable& zone) const {
  std::size_t i = zone.find(from);
  std::int64_t local = next_local(from + zone.spans[i].offset);
  for (std::int64_t end = zone.local_end(i); local >= end; end = zone.local_end(i)) {
    if (zone.spans[++i].start >= kEndSecond) return kNever;
    const std::int64_t begin = zone.spans[i].start + zone.spans[i].offset;
    // In a fold (begin < end) local time goes back, to times before `local` that may match too.
    if (begin < end || local < begin) local = next_local(begin);
  }
  return local - zone.spans[i].offset;
}

// Nominal times map to instants in order: those in [seen_until, local end) of a span belong to it,
// and those before its start were skipped over, so they become its start.
std::int64_t Expression::next_once(std::int64_t from, const ZoneTable& zone) const {
  std::size_t i = zone.find(from);
  const ZoneSpan& span = zone.spans[i];
  const std::int64_t local = next_local(
      from == span.start ? span.seen_until : std::max(span.seen_until, from + span.offset));
  if (local == kNever) return kNever;
  if (local >= zone.local_end(i)) {
    i = std::max(i, zone.find(local - kMaxOffset));
    while (local >= zone.local_end(i)) ++i;
  }
  return std::max(zone.spans[i].start, local - zone.spans[i].offset);
}

// The first matching local second at or after `local`, as if every local time existed once.
std::int64_t Expression::next_local(std::int64_t local) const {
  const std::int64_t day = floor_div(local, kDay);
  const std::chrono::year_month_day date{
      std::chrono::sys_days(std::chrono::days(static_cast<int>(day)))};
  int year = static_cast<int>(date.year());
  auto month = static_cast<unsigned>(date.month());
  const auto day_of_month = static_cast<unsigned>(date.day());
  std::int64_t first_day = day - (day_of_month - 1);
  // 1970-01-01 was a Thursday.
  auto weekday = static_cast<unsigned>(((first_day + 4) % 7 + 7) % 7);
  int length = days_in_month(year, month);
  if ((months_ >> month & 1) != 0) {
    std::uint32_t days = days_[weekday][length - 28] >> day_of_month;
    if ((days & 1) != 0) {
      const std::int32_t second = next_time_of_day(static_cast<std::int32_t>(local - day * kDay));
      if (second >= 0) return day * kDay + second;
    }
    days >>= 1;
    if (days != 0) return (day + 1 + std::countr_zero(days)) * kDay + first_time_of_day_;
  }
  constexpr std::int64_t kLastDay = kEndSecond / kDay + 2;
  while (first_day < kLastDay) {
    first_day += length;
    weekday = (weekday + static_cast<unsigned>(length)) % 7;
    if (++month == 13) {
      month = 1;
      ++year;
    }
    length = days_in_month(year, month);
    if ((months_ >> month & 1) == 0) continue;
    const std::uint32_t days = days_[weekday][length - 28];
    if (days != 0) return (first_day - 1 + std::countr_zero(days)) * kDay + first_time_of_day_;
  }
  return kNever;
}

// The first matching second of a day at or after `second`; -1: none.
std::int32_t Expression::next_time_of_day(std::int32_t second) const {
  const std::int32_t h = second / 3600, m = second / 60 % 60, s = second % 60;
  if ((hours_ >> h & 1) != 0) {
    if ((minutes_ >> m & 1) != 0) {
      if (const std::uint64_t rest = seconds_ >> s; rest != 0) {
        return second + std::countr_zero(rest);
      }
    }
    if (const std::uint64_t rest = minutes_ >> (m + 1); rest != 0) {
      return h * 3600 + (m + 1 + std::countr_zero(rest)) * 60 + std::countr_zero(seconds_);
    }
  }
  const std::uint32_t rest = hours_ >> (h + 1);
  if (rest == 0) return -1;
  return (h + 1 + std::countr_zero(rest)) * 3600 + first_time_of_day_ % 3600;
}

}  // namespace tidegate::cron
