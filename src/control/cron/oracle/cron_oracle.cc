// Compares Expression::next with enumeration over every distinct time zone, under the process's TZ,
// which must change nothing but the choice of random expressions. Stops at the first difference
// with a line that reproduces it.
//
//   cron_oracle                                  everything, about 20 seconds; ./dev test runs it
//   under three TZ cron_oracle answers ZONE DST FROM UNTIL      expressions on stdin;
//   `line<TAB>unix second` for
//                                                each time by enumeration (for bench/cron)

#include <cctz/time_zone.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "control/cron/cron.h"
#include "control/cron/oracle/brute.h"
#include "control/cron/oracle/naive.h"

namespace tidegate::cron::oracle {
namespace {

constexpr std::int64_t kDay = 86'400;
std::int64_t year_start(int year) {
  return cctz::civil_second(year, 1, 1) - cctz::civil_second(1970, 1, 1);
}
cctz::time_point<cctz::seconds> at(std::int64_t t) {
  return cctz::time_point<cctz::seconds>(cctz::seconds(t));
}
Instant instant(std::int64_t t) { return Instant(Seconds(t)); }

struct Pair {
  explicit Pair(const std::string& text) : naive(text) {
    auto parsed = Expression::parse(text, 0);
    if (!parsed) {
      std::cerr << "MISMATCH '" << text << "' is refused: " << describe(parsed.error()) << '\n';
      std::exit(1);
    }
    expression.emplace(std::move(*parsed));
  }
  NaiveCron naive;
  std::optional<Expression> expression;
};

struct Zone {
  std::string name;
  cctz::time_zone cctz;
  std::vector<std::int64_t> transitions;  // 2000 to 2101
};

struct Totals {
  std::size_t zones = 0, windows = 0, times = 0, offsets = 0;
};

constexpr std::array kMinuteExpressions = {
    "* * * * *",        "*/15 * * * *",   "0 * * * *",       "30 * * * *",
    "30 2 * * *",       "30 1 * * *",     "0 0 * * *",       "59 23 * * *",
    "15 0-3 * * *",     "0 22-2 * * *",   "*/20 1-2 * * *",  "45 2 * * *",
    "0 */2 * * *",      "30 2 * * SUN",   "0 3 L * *",       "30 0 1,15,30 * FRI-MON",
    "5 4 LW * *",       "0 0,12 15W * *", "30 2 * * SUN#2",  "30 1 * * 0L",
    "0 0 L-3 * *",      "0 0 */2 * MON",  "@hourly",         "@daily",
    "*/7 0-23 * * 1-5", "0 1 31 * *",     "15,45 2,3 ? * 7", "0 2 * MAR-OCT *"};
constexpr std::array kSecondExpressions = {
    "* * * * * *", "*/10 * * * * *", "30 30 2 * * *",    "59 59 1 * * *",
    "0 0 3 * * *", "5 0 0-4 * * *",  "1-3 */30 * * * *", "15 30 1-2 * * SAT-MON"};
constexpr std::array kRareExpressions = {"30 2 * * *",       "0 0 29 2 *",        "30 2 L * *",
                                         "15 10 15W * *",    "45 1 31 * *",       "0 3 * * SUN#5",
                                         "0 0 * MAR,OCT 0L", "30 2 LW 3,10,11 *", "5 0 1 1 *",
                                         "0 12 13 * FRI",    "0 0 */28 2 MON"};

// A random expression in the syntax that both sides read.
std::string random_expression(std::mt19937_64& rng) {
  const auto below = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  const auto field = [&](int min, int max, int star_odds) {
    const auto number = [&] { return min + below(max - min + 1); };
    std::string out;
    do {
      if (!out.empty()) out += ',';
      const int kind = below(star_odds);
      if (kind >= 4) return out.empty() ? std::string("*") : out + std::to_string(number());
      if (kind == 0) out += fmt::format("{}", number());
      if (kind == 1) out += fmt::format("{}-{}", number(), number());
      if (kind == 2) out += fmt::format("{}-{}/{}", number(), number(), 1 + below(max - min));
      if (kind == 3) out += fmt::format("*/{}", 1 + below(max - min));
    } while (below(3) == 0);
    return out;
  };
  std::string dom = field(1, 31, 12), dow = field(0, 7, 12);
  const std::array<std::string, 5> day_rules = {"L", "LW", fmt::format("L-{}", 1 + below(27)),
                                                fmt::format("{}W", 1 + below(31)), "?"};
  if (below(6) == 0) dom = day_rules[static_cast<std::size_t>(below(5))];
  if (below(8) == 0) dow = fmt::format("{}#{}", below(8), 1 + below(4));
  if (below(8) == 0) dow = fmt::format("{}L", below(8));
  const std::string hour = below(2) == 0 ? field(0, 4, 5) : field(0, 23, 8);
  std::string text = fmt::format("{} {} {} {} {}", field(0, 59, 5), hour, dom,
                                 below(4) == 0 ? field(1, 12, 6) : "*", dow);
  return text;
}

[[noreturn]] void mismatch(const Pair& pair, const std::string& zone, DstPolicy dst,
                           std::int64_t after, std::optional<std::int64_t> expected,
                           std::optional<Instant> got) {
  const TimeZone tz = *TimeZone::load(zone);
  const auto show = [&](std::optional<Instant> t) { return t ? format_local(*t, tz) : "none"; };
  const char* process_zone = std::getenv("TZ");
  std::cerr << fmt::format(
      "MISMATCH TZ={} tidegate cron next '{}' --timezone {} --after {} -n 1 --dst {}: expected {}, "
      "got {}\n",
      process_zone ? process_zone : "", pair.naive.text(), zone, format_local(instant(after), tz),
      name(dst), show(expected ? std::optional(instant(*expected)) : std::nullopt), show(got));
  std::exit(1);
}

// Walks next() through [first, last) and demands exactly `expected`.
void compare(const Pair& pair, const Zone& zone, const TimeZone& tz, DstPolicy dst,
             std::int64_t first, std::int64_t last, const std::vector<std::int64_t>& expected,
             Totals& totals) {
  std::int64_t after = first - 1;
  std::size_t i = 0;
  while (true) {
    const std::optional<Instant> got = pair.expression->next(instant(after), tz, dst);
    const bool inside = got && *got < instant(last);
    const bool wanted = i < expected.size();
    if (inside != wanted || (wanted && *got != instant(expected[i]))) {
      mismatch(pair, zone.name, dst, after, wanted ? std::optional(expected[i]) : std::nullopt,
               got);
    }
    if (!wanted) return;
    after = expected[i++];
    ++totals.times;
  }
}

// Asks from instants that no walk stops at: beside the change, inside a gap or a fold, in
// mid-second.
void probe(const Pair& pair, const Zone& zone, const TimeZone& tz, DstPolicy dst,
           const Window& window, const std::vector<std::int64_t>& expected, std::mt19937_64& rng,
           Totals& totals) {
  const std::int64_t centre = (window.first() + window.last()) / 2;
  const auto near = [&](int span) { return centre - span + static_cast<int>(rng() % (2U * span)); };
  for (const std::int64_t after : {centre - 1, centre, near(3600), near(7200)}) {
    const auto next = std::ranges::upper_bound(expected, after);
    const auto got = pair.expression->next(instant(after) + Millis(rng() % 1000), tz, dst);
    ++totals.times;
    if (next != expected.end() ? got == instant(*next) : !got || *got >= instant(window.last())) {
      continue;
    }
    mismatch(pair, zone.name, dst, after,
             next != expected.end() ? std::optional(*next) : std::nullopt, got);
  }
}

void check_window(const Pair& pair, const Zone& zone, const TimeZone& tz, const Window& window,
                  std::mt19937_64& rng, Totals& totals) {
  const auto [wall, once] = window.times(pair.naive);
  const auto& automatic = pair.naive.matches_all_hours() ? wall : once;
  compare(pair, zone, tz, DstPolicy::Wall, window.first(), window.last(), wall, totals);
  compare(pair, zone, tz, DstPolicy::Once, window.first(), window.last(), once, totals);
  probe(pair, zone, tz, DstPolicy::Wall, window, wall, rng, totals);
  probe(pair, zone, tz, DstPolicy::Once, window, once, rng, totals);
  // It is one of the two, so the dense ones need no third walk.
  if (automatic.size() <= 100) {
    compare(pair, zone, tz, DstPolicy::Auto, window.first(), window.last(), automatic, totals);
  }
}

std::vector<std::string> zone_names() {
  namespace fs = std::filesystem;
  const fs::path root = "/usr/share/zoneinfo";
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string name = entry.path().lexically_relative(root).string();
    if (name.starts_with("right") || name.starts_with("posix") || !entry.is_regular_file())
      continue;
    if (TimeZone::load(name)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

// One zone of each behaviour from 2000 to 2101.
std::vector<Zone> distinct_zones(const std::vector<std::string>& names) {
  std::map<std::vector<std::int64_t>, bool> seen;
  std::vector<Zone> zones;
  for (const std::string& name : names) {
    Zone z{name, {}, {}};
    cctz::load_time_zone(name, &z.cctz);
    auto t = at(year_start(2000));
    std::vector<std::int64_t> behaviour{z.cctz.lookup(t).offset};
    cctz::time_zone::civil_transition change;
    while (z.cctz.next_transition(t, &change)) {
      t = z.cctz.lookup(change.to).trans;
      if (t >= at(year_start(2101))) break;
      if (change.from == change.to) continue;
      z.transitions.push_back(t.time_since_epoch().count());
      behaviour.push_back(z.transitions.back());
      behaviour.push_back(z.cctz.lookup(t).offset);
    }
    if (seen.emplace(behaviour, true).second) zones.push_back(std::move(z));
  }
  return zones;
}

// Offsets of every zone of the database at random instants and at the edges of its changes.
void check_offsets(const std::vector<std::string>& names, std::mt19937_64& rng, Totals& totals) {
  for (const std::string& zone_name : names) {
    const TimeZone tz = *TimeZone::load(zone_name);
    cctz::time_zone zone;
    cctz::load_time_zone(zone_name, &zone);
    const auto check = [&](std::int64_t t) {
      const int expected = zone.lookup(at(t)).offset;
      ++totals.offsets;
      if (tz.offset_at(instant(t)).count() == expected) return;
      std::cerr << fmt::format("MISMATCH offset of {} at {}: expected {}, got {}\n", zone_name, t,
                               expected, tz.offset_at(instant(t)).count());
      std::exit(1);
    };
    for (int i = 0; i < 1000; ++i) {
      check(year_start(1850) + static_cast<std::int64_t>(rng() % (450ULL * 365 * kDay)));
    }
    auto t = at(year_start(1800));
    cctz::time_zone::civil_transition change;
    while (zone.next_transition(t, &change) && t < at(year_start(2299))) {
      t = zone.lookup(change.to).trans;
      for (const int d : {-1, 0, 1}) check(t.time_since_epoch().count() + d);
    }
  }
}

// Rare expressions, date by date from 2000 to 2200, by the nominal rule: sticks nowhere, loses
// none.
void check_centuries(const Zone& zone, const std::vector<Pair>& pairs, Totals& totals) {
  const TimeZone tz = *TimeZone::load(zone.name);
  const std::int64_t first = year_start(2000), last = year_start(2200);
  for (const Pair& pair : pairs) {
    std::vector<std::int64_t> expected;
    int second = 0;
    while (!pair.naive.matches_time(second)) ++second;  // all have one time a day
    std::int64_t day = first / kDay - 2;
    for (cctz::civil_day date = cctz::civil_day(1970, 1, 1) + day; day < last / kDay + 2;
         ++day, ++date) {
      if (!pair.naive.matches_day(day)) continue;
      const auto found = zone.cctz.lookup(cctz::civil_second(
          date.year(), date.month(), date.day(), second / 3600, second / 60 % 60, second % 60));
      const auto t = found.kind == cctz::time_zone::civil_lookup::SKIPPED ? found.trans : found.pre;
      const std::int64_t unix = t.time_since_epoch().count();
      if (unix >= first && unix < last && (expected.empty() || expected.back() != unix)) {
        expected.push_back(unix);
      }
    }
    compare(pair, zone, tz, DstPolicy::Auto, first, last, expected, totals);
  }
}

struct Suite {
  std::vector<Pair> minute, second, rare, random;
};

void check_zone(const Zone& zone, const Suite& suite, std::mt19937_64& rng, Totals& totals) {
  const TimeZone tz = *TimeZone::load(zone.name);
  std::vector<std::int64_t> centres;
  for (std::size_t i = 0; i < zone.transitions.size(); ++i) {
    // All up to 2037; beyond it the rules repeat, and every ninth falls on each of a year's
    // changes.
    if (zone.transitions[i] < year_start(2038) || i % 9 == 0)
      centres.push_back(zone.transitions[i]);
  }
  for (int i = 0; i < 5; ++i) {
    centres.push_back(year_start(2000) + static_cast<std::int64_t>(rng() % (100ULL * 365 * kDay)));
  }
  constexpr int kMargin = 30 * 3600;  // Apia lost a whole day
  for (std::size_t i = 0; i < centres.size(); ++i) {
    const Window window(zone.cctz, centres[i] - 2 * kDay, centres[i] + 2 * kDay, 60, kMargin);
    for (const Pair& p : suite.minute) check_window(p, zone, tz, window, rng, totals);
    for (int n = 0; n < 6; ++n) {
      check_window(suite.random[rng() % suite.random.size()], zone, tz, window, rng, totals);
    }
    ++totals.windows;
    if (i % 7 != 0) continue;
    const Window close(zone.cctz, centres[i] - 7200, centres[i] + 7200, 1, 3 * 3600);
    for (const Pair& p : suite.second) check_window(p, zone, tz, close, rng, totals);
    ++totals.windows;
  }
}

template <class Texts>
std::vector<Pair> pairs(const Texts& texts) {
  std::vector<Pair> out;
  for (const auto& text : texts) out.emplace_back(std::string(text));
  return out;
}

int run() {
  const auto start = std::chrono::steady_clock::now();
  const char* process_zone = std::getenv("TZ");
  const std::string process_name = process_zone == nullptr ? "" : process_zone;
  std::mt19937_64 rng(hash_seed(process_name));
  Suite suite{pairs(kMinuteExpressions), pairs(kSecondExpressions), pairs(kRareExpressions), {}};
  while (suite.random.size() < 200) {
    const std::string text = random_expression(rng);
    // Some can never fire (30 February); parse_test covers those.
    if (Expression::parse(text, 0)) suite.random.emplace_back(text);
  }
  const std::vector<std::string> names = zone_names();
  const std::vector<Zone> zones = distinct_zones(names);
  Totals totals;
  totals.zones = zones.size();
  check_offsets(names, rng, totals);
  for (const Zone& zone : zones) {
    check_zone(zone, suite, rng, totals);
    check_centuries(zone, suite.rare, totals);
  }
  if (totals.zones < 100 || totals.windows < 1000) {
    std::cerr << "too few zones on this machine to mean anything; install tzdata\n";
    return 2;
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::cout << fmt::format(
      "cron_oracle: TZ={}: {} names, {} distinct zones, {} windows, {} times and {} offsets equal "
      "in "
      "{:.0f} s\n",
      process_name, names.size(), totals.zones, totals.windows, totals.times, totals.offsets,
      elapsed.count());
  return 0;
}

int print_answers(const std::string& zone_name, const std::string& dst, const std::string& from,
                  const std::string& until) {
  cctz::time_zone zone;
  const auto first = parse_rfc3339(from), last = parse_rfc3339(until);
  if (!cctz::load_time_zone(zone_name, &zone) || !first || !last) return 2;
  const Window window(zone, to_ms(*first) / 1000, to_ms(*last) / 1000, 60, 30 * 3600);
  int number = 0;
  for (std::string line; std::getline(std::cin, line); ++number) {
    const NaiveCron cron(line);
    const bool wall = dst == "wall" || (dst == "auto" && cron.matches_all_hours());
    const Window::Times times = window.times(cron);
    for (const std::int64_t t : wall ? times.wall : times.once) {
      std::cout << number << '\t' << t << '\n';
    }
  }
  return 0;
}

}  // namespace
}  // namespace tidegate::cron::oracle

int main(int argc, char** argv) {
  namespace oracle = tidegate::cron::oracle;
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty()) return oracle::run();
  if (args[0] == "answers" && args.size() == 5) {
    return oracle::print_answers(args[1], args[2], args[3], args[4]);
  }
  std::cerr << "usage: cron_oracle [answers ZONE auto|once|wall FROM UNTIL]\n";
  return 2;
}
