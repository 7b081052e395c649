// Any text as a duration, a point in time and JSON: what is accepted is written so that
// it reads back, times and durations as the same value.

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/time.h"

namespace {

using namespace tidegate;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto d = parse_duration(text)) {
    require(d->count() >= 0);
    require(parse_duration(format_duration(*d)) == *d);
  }
  if (const auto t = parse_rfc3339(text)) {
    require(parse_rfc3339(format_utc(*t)) == *t);
  }
  if (const auto v = json::parse(text)) {
    // Boost.JSON 1.81 rounds a number of many digits by a unit in the last place, so no more.
    require(json::parse(json::write(*v)).has_value());
  }
  return 0;
}
