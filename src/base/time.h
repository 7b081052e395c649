#pragma once
// Time as Tidegate uses it: wall time for people and slots, boot time for leases on one host.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate {

using Millis = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

// UTC, milliseconds since 1970-01-01T00:00:00Z. Slots are whole seconds.
using Instant = std::chrono::sys_time<Millis>;

// CLOCK_BOOTTIME: never steps, counts suspend, is shared by all processes of one boot.
struct BootClockTag {
  using rep = Millis::rep;
  using period = Millis::period;
  using duration = Millis;
  using time_point = std::chrono::time_point<BootClockTag>;
  static constexpr bool is_steady = true;
};
using BootInstant = std::chrono::time_point<BootClockTag, Millis>;

constexpr std::int64_t to_ms(Instant t) { return t.time_since_epoch().count(); }
constexpr Instant from_ms(std::int64_t ms) { return Instant(Millis(ms)); }

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  virtual BootInstant boot_now() const = 0;
};

// The machine's clocks.
class SystemClock final : public Clock {
 public:
  Instant now() const override;
  BootInstant boot_now() const override;
};

// Text of /proc/sys/kernel/random/boot_id: leases taken under another boot are expired.
std::string read_boot_id();

// RFC 3339. format_utc: `2026-11-23T18:00:00Z`, with `.mmm` only when there are milliseconds.
std::string format_utc(Instant t);
// Any offset is accepted; fractions beyond milliseconds are cut off. Invalid: not RFC 3339.
Result<Instant> parse_rfc3339(std::string_view text);

// A span of time as users write it: ISO-free `90s`, `15m`, `24h`, `7d`, `250ms`, `1h30m`. Whole, ≥
// 0.
Result<Millis> parse_duration(std::string_view text);
std::string format_duration(Millis d);  // shortest exact form that parse_duration reads

}  // namespace tidegate
