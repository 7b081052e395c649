#include "base/time.h"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <fstream>

#include "base/text.h"

namespace tidegate {
namespace {

template <class To>
To read_clock(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return To(std::chrono::duration_cast<Millis>(std::chrono::seconds(ts.tv_sec) +
                                               std::chrono::nanoseconds(ts.tv_nsec)));
}

std::unexpected<Error> not_rfc3339(std::string_view text) {
  return fail(Code::Invalid,
              fmt::format("'{}' is not an RFC 3339 time; write for example 2026-01-31T09:00:00Z or "
                          "2026-01-31T09:00:00+01:00",
                          clip(text, 64)));
}

// Reads exactly `digits` decimal digits at `pos`; -1 when they are not there.
int number(std::string_view s, std::size_t pos, std::size_t digits) {
  if (pos + digits > s.size()) return -1;
  int v = 0;
  for (std::size_t i = pos; i < pos + digits; ++i) {
    if (s[i] < '0' || s[i] > '9') return -1;
    v = v * 10 + (s[i] - '0');
  }
  return v;
}

struct Unit {
  std::string_view name;
  std::int64_t ms;
};
constexpr std::array<Unit, 5> kUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

}  // namespace

Instant SystemClock::now() const { return read_clock<Instant>(CLOCK_REALTIME); }
BootInstant SystemClock::boot_now() const { return read_clock<BootInstant>(CLOCK_BOOTTIME); }

std::string read_boot_id() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  in >> id;
  return id;
}

std::string format_utc(Instant t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day ymd(day);
  const auto ms_of_day = (t - day).count();
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", int(ymd.year()),
                                 unsigned(ymd.month()), unsigned(ymd.day()), ms_of_day / 3'600'000,
                                 ms_of_day / 60'000 % 60, ms_of_day / 1000 % 60);
  if (ms_of_day % 1000 != 0) text += fmt::format(".{:03}", ms_of_day % 1000);
  return text + "Z";
}

Result<Instant> parse_rfc3339(std::string_view s) {
  using namespace std::chrono;
  const int year = number(s, 0, 4), month = number(s, 5, 2), dom = number(s, 8, 2);
  const int hour = number(s, 11, 2), minute = number(s, 14, 2), second = number(s, 17, 2);
  if (year < 0 || month < 0 || dom < 0 || hour < 0 || minute < 0 || second < 0 || s[4] != '-' ||
      s[7] != '-' || (s[10] != 'T' && s[10] != 't' && s[10] != ' ') || s[13] != ':' ||
      s[16] != ':') {
    return not_rfc3339(s);
  }
  const year_month_day ymd{std::chrono::year(year), std::chrono::month(unsigned(month)),
                           std::chrono::day(unsigned(dom))};
  // A leap second (60) counts as the second after 59, as POSIX time has none.
  if (!ymd.ok() || hour > 23 || minute > 59 || second > 60) return not_rfc3339(s);
  std::size_t pos = 19;
  int ms = 0;
  if (pos < s.size() && s[pos] == '.') {
    int scale = 100;
    const std::size_t first = ++pos;
    for (; pos < s.size() && s[pos] >= '0' && s[pos] <= '9'; ++pos, scale /= 10) {
      ms += (s[pos] - '0') * scale;
    }
    if (pos == first) return not_rfc3339(s);
  }
  int offset_minutes = 0;
  if (pos < s.size() && (s[pos] == 'Z' || s[pos] == 'z')) {
    ++pos;
  } else if (pos < s.size() && (s[pos] == '+' || s[pos] == '-')) {
    const int oh = number(s, pos + 1, 2), om = number(s, pos + 4, 2);
    if (oh < 0 || oh > 23 || om < 0 || om > 59 || s[pos + 3] != ':') return not_rfc3339(s);
    offset_minutes = (s[pos] == '-' ? -1 : 1) * (oh * 60 + om);
    pos += 6;
  } else {
    return not_rfc3339(s);
  }
  if (pos != s.size()) return not_rfc3339(s);
  return Instant(sys_days(ymd)) + hours(hour) + minutes(minute - offset_minutes) + seconds(second) +
         Millis(ms);
}

Result<Millis> parse_duration(std::string_view text) {
  constexpr std::int64_t kMax = std::int64_t{366} * 100 * 86'400'000;  // a century
  std::string_view s = text;
  std::int64_t total = 0;
  bool any = false;
  while (!s.empty()) {
    std::size_t n = 0;
    std::int64_t v = 0;
    while (n < s.size() && n < 15 && s[n] >= '0' && s[n] <= '9') v = v * 10 + (s[n++] - '0');
    std::size_t u = n;
    while (u < s.size() && s[u] >= 'a' && s[u] <= 'z') ++u;
    const std::string_view unit = s.substr(n, u - n);
    const Unit* found = nullptr;
    for (const Unit& k : kUnits) {
      if (k.name == unit) found = &k;
    }
    if (n == 0 || found == nullptr || v > kMax / found->ms || total + v * found->ms > kMax) {
      any = false;
      break;
    }
    total += v * found->ms;
    any = true;
    s.remove_prefix(u);
  }
  if (!any) {
    return fail(Code::Invalid,
                fmt::format("'{}' is not a duration; write a whole number with a unit, "
                            "for example 250ms, 90s, 15m, 24h or 7d",
                            clip(text, 64)));
  }
  return Millis(total);
}

std::string format_duration(Millis d) {
  std::int64_t left = d.count();
  if (left == 0) return "0s";
  std::string text;
  for (const Unit& u : kUnits) {
    if (left >= u.ms) text += fmt::format("{}{}", left / u.ms, u.name);
    left %= u.ms;
  }
  return text;
}

}  // namespace tidegate
