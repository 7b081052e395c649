#include "engine/connectors/sqlite/timetext.h"

#include <chrono>
#include <cstring>

namespace tidegate::engine::sqlite {
namespace {

constexpr std::int64_t kDay = 86'400;

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a ^ b) < 0);
}

char* two(std::int64_t v, char* p) {
  *p++ = static_cast<char>('0' + v / 10);
  *p++ = static_cast<char>('0' + v % 10);
  return p;
}

char* clock_text(std::int64_t second, std::int64_t fraction, std::int64_t ticks, char* p) {
  p = two(second / 3600, p);
  *p++ = ':';
  p = two(second / 60 % 60, p);
  *p++ = ':';
  p = two(second % 60, p);
  if (fraction == 0) return p;
  *p++ = '.';
  for (ticks /= 10; fraction > 0; ticks /= 10) {
    *p++ = static_cast<char>('0' + fraction / ticks);
    fraction %= ticks;
  }
  return p;
}

// Two digits at `at`, below `limit`; -1 otherwise.
int pair(std::string_view s, std::size_t at, int limit) {
  if (at + 2 > s.size() || s[at] < '0' || s[at] > '9' || s[at + 1] < '0' || s[at + 1] > '9')
    return -1;
  const int v = (s[at] - '0') * 10 + (s[at + 1] - '0');
  return v < limit ? v : -1;
}

struct ClockText {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
};

// Reads HH:MM[:SS[.fraction]] and moves `at` behind it.
std::optional<ClockText> read_clock(std::string_view s, std::size_t& at) {
  const int h = pair(s, at, 24);
  if (h < 0 || at + 2 >= s.size() || s[at + 2] != ':') return std::nullopt;
  const int m = pair(s, at + 3, 60);
  if (m < 0) return std::nullopt;
  at += 5;
  ClockText c{h * 3600 + m * 60, 0};
  if (at >= s.size() || s[at] != ':') return c;
  const int sec = pair(s, at + 1, 60);
  if (sec < 0) return std::nullopt;
  c.seconds += sec;
  at += 3;
  if (at >= s.size() || s[at] != '.') return c;
  const std::size_t begin = ++at;
  std::int32_t scale = 100'000'000;
  for (; at < s.size() && s[at] >= '0' && s[at] <= '9'; ++at) {
    if (scale == 0 && s[at] != '0') return std::nullopt;
    c.nanos += (s[at] - '0') * scale;
    scale /= 10;
  }
  if (at == begin) return std::nullopt;
  return c;
}

}  // namespace

std::size_t write_date(std::int64_t days, char* out) {
  constexpr std::int64_t kFirst = -719'528;  // 0000-01-01
  constexpr std::int64_t kLast = 2'932'896;  // 9999-12-31
  if (days < kFirst || days > kLast) return 0;
  const std::chrono::year_month_day d{std::chrono::sys_days(std::chrono::days(days))};
  const int y = static_cast<int>(d.year());
  char* p = two(y / 100, out);
  p = two(y % 100, p);
  *p++ = '-';
  p = two(static_cast<unsigned>(d.month()), p);
  *p++ = '-';
  p = two(static_cast<unsigned>(d.day()), p);
  return static_cast<std::size_t>(p - out);
}

std::size_t write_timestamp(std::int64_t ticks, std::int64_t ticks_per_second, bool zone,
                            char* out) {
  const std::int64_t seconds = floor_div(ticks, ticks_per_second);
  const std::int64_t days = floor_div(seconds, kDay);
  const std::size_t date = write_date(days, out);
  if (date == 0) return 0;
  char* p = out + date;
  *p++ = ' ';
  p = clock_text(seconds - days * kDay, ticks - seconds * ticks_per_second, ticks_per_second, p);
  if (zone) {
    std::memcpy(p, "+00:00", 6);
    p += 6;
  }
  return static_cast<std::size_t>(p - out);
}

std::size_t write_time(std::int64_t ticks, std::int64_t ticks_per_second, char* out) {
  const std::int64_t seconds = floor_div(ticks, ticks_per_second);
  if (seconds < 0 || seconds >= kDay) return 0;
  return static_cast<std::size_t>(
      clock_text(seconds, ticks - seconds * ticks_per_second, ticks_per_second, out) - out);
}

std::optional<std::int64_t> read_date(std::string_view s) {
  if (s.size() != 10 || s[4] != '-' || s[7] != '-') return std::nullopt;
  const int a = pair(s, 0, 100);
  const int b = pair(s, 2, 100);
  const int m = pair(s, 5, 13);
  const int d = pair(s, 8, 32);
  if (a < 0 || b < 0 || m < 0 || d < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(a * 100 + b),
                                         std::chrono::month(static_cast<unsigned>(m)),
                                         std::chrono::day(static_cast<unsigned>(d))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

std::optional<TimestampText> read_timestamp(std::string_view s) {
  const auto days = read_date(s.substr(0, 10));
  if (!days) return std::nullopt;
  TimestampText t{*days * kDay, 0, false};
  if (s.size() == 10) return t;
  if (s[10] != ' ' && s[10] != 'T') return std::nullopt;
  std::size_t at = 11;
  const auto c = read_clock(s, at);
  if (!c) return std::nullopt;
  t.seconds += c->seconds;
  t.nanos = c->nanos;
  if (at == s.size()) return t;
  t.has_zone = true;
  if (s.substr(at) == "Z" || s.substr(at) == "z") return t;
  const char sign = s[at];
  const int h = pair(s, at + 1, 24);
  if ((sign != '+' && sign != '-') || h < 0) return std::nullopt;
  at += 3;
  int m = 0;
  if (at < s.size()) {
    if (s[at] == ':') ++at;
    m = pair(s, at, 60);
    if (m < 0 || at + 2 != s.size()) return std::nullopt;
  }
  t.seconds -= (sign == '-' ? -60LL : 60LL) * (h * 60 + m);
  return t;
}

std::optional<std::int64_t> read_time(std::string_view s) {
  std::size_t at = 0;
  const auto c = read_clock(s, at);
  if (!c || at != s.size() || c->nanos % 1000 != 0) return std::nullopt;
  return c->seconds * 1'000'000 + c->nanos / 1000;
}

}  // namespace tidegate::engine::sqlite
