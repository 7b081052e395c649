#pragma once
// Text that holds numbers or dates and does not sort as they do: "9" and then "10", "31.12.2025"
// and then "01.01.2026". A cursor of such text grows, and its new values stand before the old ones,
// where an incremental run does not look. Pure; any bytes are valid input.

#include <string_view>

#include "base/error.h"

namespace tidegate::engine {

// Numbers: digits with at most one '.' and a '-' before them. Dates: day, month and a year of four
// digits, in either order of the first two, or a year, month and day; separated by '/', '.' or '-';
// a time of hours and minutes may follow, of 24 hours or with AM and PM. ISO 8601 and numbers of
// one width sort as text. In other text it is the first number that differs ("ORD-9" and "ORD-10",
// "9 kg" and "10 kg"), but in no UUID, hash and the like. Not known: names of months, years of two
// digits, versions ("1.9" and "1.10"), exponents.

// There may be text that stands before `bound` letter by letter and comes after it by what it
// holds.
bool may_be_followed_out_of_order(std::string_view bound);

// `low` is such text for `high`: of a date, in one of the orders of day and month that both can be
// read in (dates with the year last sort as text in none of them for long). REQUIRES: low < high,
// letter by letter.
bool follows_out_of_order(std::string_view low, std::string_view high);

// What an incremental run says of such a pair; a retry cannot help.
Error text_order_error(std::string_view entity, std::string_view column, std::string_view low,
                       std::string_view high);

}  // namespace tidegate::engine
