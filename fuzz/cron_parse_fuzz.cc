// Any text as a cron expression: parse, explain and next() must end, keep their order and agree
// with themselves, in zones with hour, half-hour and whole-day shifts.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/cron/cron.h"

namespace cron = tidegate::cron;
using tidegate::Instant;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const std::array<cron::TimeZone, 4>& zones() {
  static const std::array<cron::TimeZone, 4> all = {
      cron::TimeZone::utc(), cron::TimeZone::load("America/New_York").value(),
      cron::TimeZone::load("Australia/Lord_Howe").value(),
      cron::TimeZone::load("Pacific/Apia").value()};
  return all;
}

void walk(const cron::Expression& e, const cron::TimeZone& zone, cron::DstPolicy dst, Instant t) {
  for (int i = 0; i < 8; ++i) {
    const auto next = e.next(t, zone, dst);
    if (!next) return;
    require(*next > t);
    // Nothing lies between: asking from just before the answer gives it again.
    require(e.next(*next - tidegate::Millis(1), zone, dst) == next);
    t = *next;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto e = cron::Expression::parse(text, data[0] * 0x9e3779b97f4a7c15ULL);
  if (!e) {
    const tidegate::Error& error = e.error();
    require(error.code == tidegate::Code::Invalid && error.details.size() == 1);
    require(error.details[0].position.has_value() && *error.details[0].position <= text.size());
    return 0;
  }
  require(!e->explain().empty());
  require(cron::Expression::parse(e->text(), 1).has_value());
  for (const cron::TimeZone& zone : zones()) {
    for (const auto dst : {cron::DstPolicy::Auto, cron::DstPolicy::Once, cron::DstPolicy::Wall}) {
      // From before Apia's lost day, before a spring gap, and near the end of the search.
      for (const std::int64_t start : {1325000000LL, 1772900000LL, 10413000000LL}) {
        walk(*e, zone, dst, Instant(tidegate::Seconds(start + data[0])));
      }
    }
  }
  return 0;
}
