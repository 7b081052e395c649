#pragma once
// Cron expressions: parse, next time, explanation. Pure: no clock, no process time zone, no state.
// Syntax and DST rules: docs/guides/cron.md.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "control/cron/time_zone.h"

namespace tidegate::cron {

// What happens to local times that a clock change skips (gap) or repeats (fold).
enum class DstPolicy : std::uint8_t {
  Auto,  // Wall when the hour field matches all 24 hours, else Once
  Once,  // per nominal time: a skipped one fires at the first instant after the gap, a repeated one
         // at its first instant; equal instants merge
  Wall,  // each real instant whose local time matches: a skipped one never, a repeated one twice
};
// The API's names, in the order of the enum.
inline constexpr std::array<std::string_view, 3> kDstPolicyNames = {"auto", "once", "wall"};
constexpr std::string_view name(DstPolicy p) {
  return kDstPolicyNames[static_cast<std::size_t>(p)];
}

// Seed for `H`: a stable hash of the job's id, the same on every machine and in every release.
std::uint64_t hash_seed(std::string_view job_id);

// Nothing is searched at or after 2300-01-01T00:00:00Z, nor before 0001-01-01T00:00:00Z.
inline constexpr std::int64_t kEndSecond = 10413792000;
inline constexpr std::int64_t kFirstSecond = -62135596800;

// A compiled expression: a value of about 200 bytes. Thread-safe when const.
class Expression {
 public:
  // Invalid, with details {field "cron", what was expected, byte position in `text`}: not an
  // expression, or one that no date of the calendar can ever match.
  static Result<Expression> parse(std::string_view text, std::uint64_t hash_seed);

  // The first time strictly after `after`, a whole second; nullopt: none before the year 2300.
  // Bounded: a few microseconds for the rarest expression.
  std::optional<Instant> next(Instant after, const TimeZone& zone, DstPolicy dst) const;

  // One English sentence; with a zone, a second one on what its clock changes do.
  std::string explain() const;
  std::string explain(const TimeZone& zone, DstPolicy dst) const;

  // As given, without surrounding blanks.
  const std::string& text() const { return text_; }
  // What `Auto` means for this expression.
  DstPolicy resolve(DstPolicy dst) const;

 private:
  friend struct Compiler;
  Expression() = default;
  std::int64_t next_wall(std::int64_t from, const ZoneTable& zone) const;
  std::int64_t next_once(std::int64_t from, const ZoneTable& zone) const;
  std::int64_t next_local(std::int64_t local) const;
  std::int32_t next_time_of_day(std::int32_t second) const;

  // Which days of a month match depends only on the weekday of its first day and on its length, so
  // every day rule (L, W, #, the or of both day fields) is folded into these masks at parse time.
  // Bit d is day d; [weekday of day 1, Sunday 0][length - 28].
  std::array<std::array<std::uint32_t, 4>, 7> days_{};
  std::uint64_t seconds_ = 0;
  std::uint64_t minutes_ = 0;
  std::uint32_t hours_ = 0;
  std::uint16_t months_ = 0;  // bit m is month m, 1-based
  std::int32_t first_time_of_day_ = 0;
  std::uint64_t seed_ = 0;
  std::string text_;
};

}  // namespace tidegate::cron
