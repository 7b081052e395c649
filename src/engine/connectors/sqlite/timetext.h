#pragma once
// Dates and times as the text SQLite's own functions read
// (https://www.sqlite.org/lang_datefunc.html). Text of one column sorts as its instants do: the
// fraction has no zeros at its end, and the zone is always +00:00 ('+' sorts before '.' and
// digits).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::engine::sqlite {

inline constexpr std::size_t kTimeTextMax = 48;

// Each writes to `out` (kTimeTextMax bytes) and returns the length; 0 when the year is not 0 to
// 9999.
std::size_t write_date(std::int64_t days, char* out);
// `ticks_per_second` is 1, 10^3, 10^6 or 10^9.
std::size_t write_timestamp(std::int64_t ticks, std::int64_t ticks_per_second, bool zone,
                            char* out);
std::size_t write_time(std::int64_t ticks, std::int64_t ticks_per_second, char* out);

// `YYYY-MM-DD`; nullopt for anything else.
std::optional<std::int64_t> read_date(std::string_view text);

struct TimestampText {
  std::int64_t seconds = 0;  // since the epoch, in UTC when there is an offset
  std::int32_t nanos = 0;
  bool has_zone = false;
};
// `YYYY-MM-DD[( |T)HH:MM[:SS[.fraction]][Z|±HH[:]MM]]`; a fraction of at most 9 digits.
std::optional<TimestampText> read_timestamp(std::string_view text);
// `HH:MM[:SS[.fraction]]` in microseconds; nullopt also for digits beyond them.
std::optional<std::int64_t> read_time(std::string_view text);

}  // namespace tidegate::engine::sqlite
