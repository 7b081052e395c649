#pragma once
// Commands as data: what they are called, what they take, what they do. The parser (parser.cc, the
// sole user of CLI11) builds its tree and its help from these tables.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/terminal.h"

namespace tidegate::cli {

enum class Arity : std::uint8_t { Flag, One, Many };

// `--limit`, `-f,--file`, or a positional such as `JOB`.
struct Option {
  std::string name;
  std::string help;
  Arity arity = Arity::One;
  bool required = false;
  std::string value = "TEXT";        // what the value is called in the help
  std::vector<std::string> choices;  // non-empty: one of these
};

// `a, b` → a and b. What has a comma, or a blank at an end, is put in double quotes, with "" for
// one in it, as in CSV; list_item() does that where it is needed. Empty items are left out.
std::vector<std::string> split_list(std::string_view text);
std::string list_item(std::string_view name);

// The parsed options of one command, by name without dashes (`limit`, `JOB`).
class Args {
 public:
  void set(std::string name, std::vector<std::string> values) {
    values_[std::move(name)] = std::move(values);
  }
  void erase(std::string_view name) {
    if (const auto it = values_.find(name); it != values_.end()) values_.erase(it);
  }
  bool has(std::string_view name) const { return values_.contains(name); }
  std::optional<std::string> get(std::string_view name) const;  // the last one given
  std::string get_or(std::string_view name, std::string_view fallback) const;
  // All values; with `split`, each is a list (split_list()).
  std::vector<std::string> all(std::string_view name, bool split = false) const;
  // Invalid naming the option: not a whole number in [min, max].
  Result<std::optional<std::int64_t>> integer(std::string_view name, std::int64_t min,
                                              std::int64_t max) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

struct Context;
// The exit code. An Error is printed by the caller and gives its code's exit code.
using Action = std::function<Result<int>(Context&, const Args&)>;

struct Command {
  std::string path;     // `jobs list`
  std::string summary;  // one line; more lines follow after an empty one
  std::vector<Option> options;
  Action action;
};
// `jobs`: the help text of a word that only groups commands.
struct Group {
  std::string path, summary;
};

struct Invocation {
  const Command* command = nullptr;  // none: help was asked for, see `help`
  Args args;
  std::string help;
};

// argv without the program's name. Invalid: an unknown command or option (with the nearest one), a
// missing or surplus value; the message ends with the help to ask for.
// REQUIRES: commands outlives the result.
Result<Invocation> parse(std::span<const Command> commands, std::span<const Group> groups,
                         const std::vector<std::string>& args);

// Options of every command that prints data or talks to a server.
Option output_option();
std::vector<Option> server_options();

}  // namespace tidegate::cli
