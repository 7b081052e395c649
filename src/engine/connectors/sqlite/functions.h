#pragma once
// Values that take another form in SQL, and the order of numbers that are kept as text: functions
// and a collation of the destination's connection.
//
//   tidegate_text(x)             text that reads back equal
//   tidegate_bool_text(x)        1 and 0 as true and false
//   tidegate_decimal_text(x, s)  with exactly s digits behind the point
//   tidegate_plain_json(x)       a JSON string as the text it holds
//   COLLATE tidegate_number      numbers by their value
//   tidegate_met(x)              x, counted (below)

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/connectors/sqlite/db.h"

namespace tidegate::engine::sqlite {

Status add_functions(Db& db);

// Rows that a statement found to be there, in `DO UPDATE SET … WHERE tidegate_met(condition)`.
struct Met {
  std::int64_t rows = 0;
  std::int64_t left = 0;  // of them, those that the condition left as they are
};
// Makes tidegate_met() count into `met`, which outlives its use; nullptr takes it away.
Status count_met(Db& db, Met* met);

// As the functions above; what is no number, no JSON string, or would lose digits is left alone.
std::string decimal_text(std::string_view number, int scale);
std::string plain_json(std::string_view json);

// Less than 0, 0 or greater, as the numbers are. Exact for whole numbers and decimals of any
// length; others are compared as floating-point numbers.
int compare_numbers(std::string_view a, std::string_view b);

}  // namespace tidegate::engine::sqlite
