#pragma once
// Helpers shared by the codecs and by other readers of JSON bodies.

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/time.h"

namespace tidegate::model {

template <class E, std::size_t N>
constexpr std::string_view enum_name(E e, const std::string_view (&names)[N]) {
  return names[static_cast<std::size_t>(e)];
}

inline boost::json::value time_or_null(const std::optional<Instant>& t) {
  if (!t) return nullptr;
  return boost::json::value(format_utc(*t));
}

inline boost::json::value text_or_null(const std::string& s) {
  if (s.empty()) return nullptr;
  return boost::json::value(s);
}

template <class Items>
boost::json::array texts_to_json(const Items& items) {
  boost::json::array out;
  out.reserve(items.size());
  for (const auto& s : items) out.emplace_back(s);
  return out;
}

// Limits count characters (code points), as JSON Schema's maxLength does; Reader's count bytes.
struct NameRule {
  std::size_t max_chars = 200;
  bool required = false;
  bool one_line = true;   // no control characters
  bool invented = false;  // by a person, for people: no blanks at its ends
};
// As Reader::text, with limits in characters and an error for control characters.
std::optional<std::string> read_text(json::Reader& r, std::string_view key, const NameRule& rule);
// The problem of a text that is used as a name or key; empty: none.
std::string name_problem(std::string_view text, std::size_t max_chars);
// A list of names of up to 200 characters; empty when absent or wrong.
std::vector<std::string> read_names(json::Reader& r, std::string_view key, std::size_t max_items);

}  // namespace tidegate::model
