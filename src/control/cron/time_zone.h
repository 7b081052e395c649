#pragma once
// IANA time zones as the scheduler uses them. Nothing here depends on the process's TZ.

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::cron {

struct ZoneTable;

// An immutable zone; copying it copies a pointer. Thread-safe. Tables are loaded from the system's
// zoneinfo folder (package tzdata) once a process and shared; `UTC` needs no file.
class TimeZone {
 public:
  // `America/New_York`, `UTC`, … Invalid (field "timezone", with the nearest known name where there
  // is one): not a name of the IANA database. Paths, `localtime`, `right/…` and POSIX rules are
  // none.
  static Result<TimeZone> load(std::string_view name);
  static TimeZone utc();

  const std::string& name() const;
  // Seconds east of UTC at `t`.
  Seconds offset_at(Instant t) const;
  // False when the offset is the same at every instant.
  bool has_transitions() const;
  const ZoneTable& table() const { return *table_; }

 private:
  explicit TimeZone(std::shared_ptr<const ZoneTable> table) : table_(std::move(table)) {}
  std::shared_ptr<const ZoneTable> table_;
};

// RFC 3339 with the zone's offset, `2026-11-01T01:30:00-04:00`; with `.mmm` only when there are
// milliseconds. An offset with seconds (before 1972) is cut to minutes and the time moved with it,
// so the instant stays right.
std::string format_local(Instant t, const TimeZone& zone);

}  // namespace tidegate::cron
