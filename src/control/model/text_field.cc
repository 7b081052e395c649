#include "control/model/text_field.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidegate::model {
namespace {

constexpr std::size_t kMaxName = 200;  // characters

std::size_t count_chars(std::string_view s) {
  return static_cast<std::size_t>(std::ranges::count_if(
      s, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string name_problem(std::string_view text, std::size_t max_chars) {
  if (text.empty()) return "is empty; give a value";
  if (const auto n = count_chars(text); n > max_chars) {
    return fmt::format("is too long: {} characters, at most {}", n, max_chars);
  }
  const bool control = std::ranges::any_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  return control ? "holds a control character; remove it" : "";
}

std::optional<std::string> read_text(json::Reader& r, std::string_view key, const NameRule& rule) {
  constexpr std::size_t kBytesPerChar = 4;
  auto s = r.text(key, {.max = rule.max_chars * kBytesPerChar, .required = rule.required});
  if (!s) return std::nullopt;
  std::string problem;
  if (rule.one_line && (rule.required || !s->empty())) {
    problem = name_problem(*s, rule.max_chars);
    if (problem.empty() && rule.invented && (s->front() == ' ' || s->back() == ' ')) {
      problem = "begins or ends with a blank; remove it";
    }
  } else if (const auto n = count_chars(*s); n > rule.max_chars) {
    problem = fmt::format("is too long: {} characters, at most {}", n, rule.max_chars);
  }
  if (problem.empty()) return s;
  r.error(key, std::move(problem));
  return std::nullopt;
}

std::vector<std::string> read_names(json::Reader& r, std::string_view key, std::size_t max_items) {
  auto names = r.texts(key, max_items, {.min = 1, .max = 4 * kMaxName});
  if (!names) return {};
  for (std::size_t i = 0; i < names->size(); ++i) {
    if (auto problem = name_problem((*names)[i], kMaxName); !problem.empty()) {
      r.error(fmt::format("{}[{}]", key, i), std::move(problem));
    }
  }
  return std::move(*names);
}

}  // namespace tidegate::model
