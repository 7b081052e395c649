#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/text.h"
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

namespace {

// Takes a quoted item off the front; nullopt: there is none that ends before a comma or the end.
std::optional<std::string> quoted_item(std::string_view& text) {
  if (!text.starts_with('"')) return std::nullopt;
  std::string out;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] != '"') {
      out += text[i];
    } else if (text.substr(i + 1).starts_with('"')) {
      out += text[++i];
    } else {
      const std::string_view rest = trim(text.substr(i + 1));
      if (!rest.empty() && rest[0] != ',') return std::nullopt;
      text = rest;
      return out;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (true) {
    text = trim(text);
    std::string item;
    if (auto quoted = quoted_item(text)) {
      item = std::move(*quoted);
    } else {
      const std::size_t comma = std::min(text.find(','), text.size());
      item = trim(text.substr(0, comma));
      text.remove_prefix(comma);
    }
    if (!item.empty()) out.push_back(std::move(item));
    if (text.empty()) return out;
    text.remove_prefix(1);
  }
}

std::string list_item(std::string_view name) {
  if (!name.contains(',') && !name.starts_with('"') && trim(name) == name) {
    return std::string(name);
  }
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::vector<std::string> Args::all(std::string_view name, bool split) const {
  const auto it = values_.find(name);
  if (it == values_.end()) return {};
  if (!split) return it->second;
  std::vector<std::string> out;
  for (const std::string& text : it->second)
    std::ranges::move(split_list(text), std::back_inserter(out));
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
