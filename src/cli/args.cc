#include <fmt/format.h>

#include <charconv>

#include "cli/command.h"

namespace tidegate::cli {

std::optional<std::string> Args::get(std::string_view name) const {
  const auto it = values_.find(name);
  if (it == values_.end() || it->second.empty()) return std::nullopt;
  return it->second.back();
}

std::string Args::get_or(std::string_view name, std::string_view fallback) const {
  return get(name).value_or(std::string(fallback));
}

std::vector<std::string> Args::all(std::string_view name, bool split) const {
  const auto it = values_.find(name);
  if (it == values_.end()) return {};
  if (!split) return it->second;
  std::vector<std::string> out;
  for (std::string_view text : it->second) {
    while (true) {
      const std::size_t comma = text.find(',');
      if (comma != 0 && !text.empty()) out.emplace_back(text.substr(0, comma));
      if (comma == std::string_view::npos) break;
      text.remove_prefix(comma + 1);
    }
  }
  return out;
}

Result<std::optional<std::int64_t>> Args::integer(std::string_view name, std::int64_t min,
                                                  std::int64_t max) const {
  const auto text = get(name);
  if (!text) return std::nullopt;
  std::int64_t n = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (code != std::errc() || end != text->data() + text->size() || n < min || n > max) {
    return fail(Code::Invalid, fmt::format("--{} must be a whole number from {} to {}, not \"{}\"",
                                           name, min, max, *text));
  }
  return n;
}

Option output_option() {
  return {"-o,--output", "How to print: table, json or yaml (default: table)",
          Arity::One,    false,
          "FORMAT",      {"table", "json", "yaml"}};
}

std::vector<Option> server_options() {
  return {
      {"--server",
       "Address of the server (TIDEGATE_SERVER; default: login, then the local server)",
       Arity::One,
       false,
       "URL",
       {}},
      {"--token-file",
       "File with the API token (TIDEGATE_TOKEN_FILE)",
       Arity::One,
       false,
       "FILE",
       {}},
      {"-w,--workspace",
       "Workspace, name or id (TIDEGATE_WORKSPACE; default: default)",
       Arity::One,
       false,
       "NAME",
       {}},
      {"--ca-file", "Authorities to trust for https (PEM)", Arity::One, false, "FILE", {}},
      {"--data",
       "Data folder where a local server is looked for (TIDEGATE_DATA)",
       Arity::One,
       false,
       "DIR",
       {}},
  };
}

}  // namespace tidegate::cli
