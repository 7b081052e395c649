#include "control/cron/time_zone.h"

#include <cctz/time_zone.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "control/cron/cron.h"
#include "control/cron/zone_table.h"

namespace tidegate::cron {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// Where cctz looks.
fs::path zoneinfo_folder() {
  const char* dir = std::getenv("TZDIR");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return dir != nullptr && *dir != '\0' ? dir : "/usr/share/zoneinfo";
}

std::int64_t seconds_of(const cctz::civil_second& cs) {
  return cs - cctz::civil_second(1970, 1, 1);
}

std::int32_t offset_at_second(const cctz::time_zone& zone, std::int64_t second) {
  return zone.lookup(cctz::time_point<cctz::seconds>(cctz::seconds(second))).offset;
}

void add_span(std::vector<ZoneSpan>& spans, std::int64_t start, std::int32_t offset) {
  if (spans.empty()) {
    spans.push_back({start, kMin, offset});
    return;
  }
  const ZoneSpan& last = spans.back();
  if (last.offset == offset) return;  // only the abbreviation changes
  spans.push_back({start, std::max(last.seen_until, start + last.offset), offset});
}

std::vector<ZoneSpan> read_spans(const cctz::time_zone& zone) {
  std::vector<ZoneSpan> spans;
  // Before any transition on record, but not so far that cctz's arithmetic saturates.
  add_span(spans, kMin, offset_at_second(zone, kFirstSecond));
  auto at = cctz::time_point<cctz::seconds>(cctz::seconds(kFirstSecond));
  cctz::time_zone::civil_transition change;
  while (zone.next_transition(at, &change)) {
    // The same instant by either clock; the clock before it is the one at `at`.
    const std::int64_t start =
        seconds_of(change.from) - offset_at_second(zone, at.time_since_epoch().count());
    at = cctz::time_point<cctz::seconds>(cctz::seconds(start));
    if (start >= kEndSecond) break;
    add_span(spans, start, offset_at_second(zone, start));
  }
  spans.push_back({kMax, kMax, 0});
  return spans;
}

std::vector<std::uint16_t> index_spans(const std::vector<ZoneSpan>& spans) {
  std::vector<std::uint16_t> buckets;
  std::size_t i = 0;
  for (std::int64_t t = 0; t < kEndSecond; t += std::int64_t{1} << ZoneTable::kBucketBits) {
    while (spans[i + 1].start <= t) ++i;
    buckets.push_back(static_cast<std::uint16_t>(i));
  }
  return buckets;
}

std::shared_ptr<const ZoneTable> make_table(std::string name, const cctz::time_zone& zone) {
  auto table = std::make_shared<ZoneTable>();
  table->name = std::move(name);
  table->spans = read_spans(zone);
  table->spans.shrink_to_fit();
  table->buckets = index_spans(table->spans);
  return table;
}

std::string folded(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c == ' ' || c == '-') c = '_';
  }
  return out;
}

// Not zones of the database, though files of its folder: copies with leap seconds, the machine's
// own zone, and the default of POSIX rules.
bool is_foreign(std::string_view name) {
  return name.starts_with("right/") || name.starts_with("posix/") || name == "localtime" ||
         name == "posixrules" || name == "Factory" || name.find('.') != std::string_view::npos ||
         name == "leapseconds" || name == "SECURITY";
}

std::vector<std::string> known_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, ec);
  for (; !ec && it != fs::recursive_directory_iterator(); it.increment(ec)) {
    std::string name = it->path().lexically_relative(folder).string();
    std::error_code ignored;
    if (is_foreign(name) || !it->is_regular_file(ignored)) continue;
    names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

// The same name in another spelling, the same city, or the nearest by edit distance.
std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::string wanted = folded(name);
  for (const std::string& k : known) {
    const std::string candidate = folded(k);
    if (candidate == wanted) return k;
  }
  for (const std::string& k : known) {
    const std::string candidate = folded(k);
    if (const auto slash = candidate.rfind('/');
        slash != std::string::npos && candidate.substr(slash + 1) == wanted) {
      return k;
    }
  }
  // Three letters are an abbreviation, to which another one is near but hardly right.
  if (name.size() < 5) return {};
  const std::vector<std::string_view> views(known.begin(), known.end());
  return std::string(json::nearest(name, views));
}

std::unexpected<Error> zone_error(std::string message) {
  Error e{Code::Invalid, "the time zone is not valid: " + message, "invalid_timezone", {}};
  e.details.push_back({"timezone", std::move(message), std::nullopt});
  return fail(std::move(e));
}

std::unexpected<Error> unknown_zone(std::string_view name) {
  const std::vector<std::string> known = known_names(zoneinfo_folder());
  if (known.empty()) {
    return zone_error(
        fmt::format("'{}' cannot be looked up, because {} holds no time zones; install "
                    "the package tzdata",
                    name, zoneinfo_folder().string()));
  }
  const std::string near = suggestion(name, known);
  return zone_error(fmt::format("'{}' is not in the IANA database; {}", name,
                                near.empty() ? "write a name such as America/New_York or UTC"
                                             : fmt::format("did you mean {}?", near)));
}

// Letters, digits and _ + - in parts joined by single slashes: no path that leaves the folder, and
// none of cctz's own prefixes (file:, libc:).
bool is_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name.front() == '/' || name.back() == '/') return false;
  return name.find("//") == std::string_view::npos && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '+' || c == '-' || c == '/';
         });
}

struct Cache {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const ZoneTable>, std::less<>> tables;
};
// Only names of the database get in, so it is bounded.
Cache& cache() {
  static Cache instance;
  return instance;
}

}  // namespace

std::size_t ZoneTable::find_slowly(std::int64_t second) const {
  const auto after = std::ranges::upper_bound(spans, second, {}, &ZoneSpan::start);
  return static_cast<std::size_t>(after - spans.begin()) - 1;
}

Result<TimeZone> TimeZone::load(std::string_view name) {
  if (name == "UTC") return utc();
  if (name.empty()) return zone_error("empty; write a name such as America/New_York or UTC");
  if (!is_name(name)) {
    std::string respelled(name);
    std::ranges::replace(respelled, ' ', '_');
    if (is_name(respelled)) return unknown_zone(name);  // "New York" deserves a suggestion
    return zone_error(
        fmt::format("'{}' is no time zone name; write one such as America/New_York, "
                    "Asia/Kolkata or UTC",
                    clip(name, 64)));
  }
  Cache& c = cache();
  const std::scoped_lock lock(c.mutex);
  if (const auto it = c.tables.find(name); it != c.tables.end()) return TimeZone(it->second);
  // cctz remembers each unknown name for ever, so it is asked only for names that have a file.
  std::error_code ec;
  cctz::time_zone zone;
  if (is_foreign(name) || !fs::is_regular_file(zoneinfo_folder() / name, ec) ||
      !cctz::load_time_zone(std::string(name), &zone)) {
    return unknown_zone(name);
  }
  auto table = make_table(std::string(name), zone);
  c.tables.emplace(name, table);
  return TimeZone(std::move(table));
}

TimeZone TimeZone::utc() {
  static const std::shared_ptr<const ZoneTable> table = make_table("UTC", cctz::utc_time_zone());
  return TimeZone(table);
}

const std::string& TimeZone::name() const { return table_->name; }

bool TimeZone::has_transitions() const { return table_->spans.size() > 2; }

Seconds TimeZone::offset_at(Instant t) const {
  const std::int64_t second = std::chrono::floor<Seconds>(t).time_since_epoch().count();
  return Seconds(table_->spans[table_->find(second)].offset);
}

std::string format_local(Instant t, const TimeZone& zone) {
  const auto minutes = static_cast<int>(zone.offset_at(t).count() / 60);
  std::string text = format_utc(t + std::chrono::minutes(minutes));
  text.pop_back();  // the Z
  const int size = std::abs(minutes);
  return text + fmt::format("{}{:02}:{:02}", minutes < 0 ? '-' : '+', size / 60, size % 60);
}

}  // namespace tidegate::cron
