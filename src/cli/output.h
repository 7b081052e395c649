#pragma once
// How data is printed: a table for people, JSON or YAML for programs.

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"

namespace tidegate::cli {

struct Column {
  std::string title;
  std::string field;  // path into the row: `schedule.cron`
  // Text of the cell; none: the value as it is (null and absent: "-").
  std::function<std::string(const boost::json::value& row)> render = {};
};

// A list becomes one row each (JSON and YAML print it whole), an object one `FIELD VALUE` line for
// each column. Returns 0, the exit code.
int print(const Io& io, const Args& args, const boost::json::value& data,
          const std::vector<Column>& columns);

// The parts, for tests.
std::string format_table(const Io& io, const boost::json::value& data,
                         const std::vector<Column>& columns);
std::string format_json(const boost::json::value& data);  // two spaces a level, ends with a newline

// The value at `a.b`, or null.
const boost::json::value& at_path(const boost::json::value& row, std::string_view path);
std::string cell_text(const boost::json::value& v);
// For one line of a terminal, which must not be told anything by data: line ends and tabs become
// blanks, other control characters are escaped (base/utf8.h).
std::string one_line(std::string text);

}  // namespace tidegate::cli
