#include "protocol/fields.h"

#include <fmt/format.h>

#include <limits>

#include "base/utf8.h"

namespace tidegate::protocol {
std::string to_utf8(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t n = utf8_sequence(s, i);
    out += n == 0 ? std::string_view("\uFFFD") : s.substr(i, n);
    i += n == 0 ? 1 : n;
  }
  return out;
}

const boost::json::value* Fields::present(std::string_view key) const {
  const boost::json::value* v = object_.if_contains(key);
  return v == nullptr || v->is_null() ? nullptr : v;
}

void Fields::wrong(std::string_view key, std::string_view expected) {
  if (error_) return;
  const std::string message = fmt::format("must be {}", expected);
  error_ = Error{Code::Malformed,
                 fmt::format("the protocol field '{}' {}", key, message),
                 "protocol",
                 {{std::string(key), message, {}}}};
}

void Fields::need(std::string_view key) {
  if (present(key) == nullptr) wrong(key, "present");
}

Status Fields::status() const {
  if (error_) return fail(*error_);
  return {};
}

void Fields::get(std::string_view key, std::string& out) {
  const auto* v = present(key);
  if (v == nullptr) return;
  if (!v->is_string()) return wrong(key, "text");
  out = std::string_view(v->get_string());
}

void Fields::get(std::string_view key, std::int64_t& out) {
  const auto* v = present(key);
  if (v == nullptr) return;
  boost::system::error_code ec;
  const auto n = v->is_number() ? v->to_number<std::int64_t>(ec) : 0;
  if (!v->is_number() || ec) return wrong(key, "a whole number");
  out = n;
}

void Fields::get(std::string_view key, int& out) {
  std::int64_t n = out;
  get(key, n);
  if (n < std::numeric_limits<int>::min() || n > std::numeric_limits<int>::max()) {
    return wrong(key, "a whole number of at most 31 bits");
  }
  out = static_cast<int>(n);
}

void Fields::get(std::string_view key, bool& out) {
  const auto* v = present(key);
  if (v == nullptr) return;
  if (!v->is_bool()) return wrong(key, "true or false");
  out = v->get_bool();
}

void Fields::get(std::string_view key, std::vector<std::string>& out) {
  const auto* list = array(key);
  if (list == nullptr) return;
  out.clear();
  for (const auto& v : *list) {
    if (!v.is_string()) return wrong(key, "a list of texts");
    out.emplace_back(std::string_view(v.get_string()));
  }
}

void Fields::get(std::string_view key, std::optional<std::string>& out) {
  if (present(key) == nullptr) return;
  get(key, out.emplace());
}

void Fields::get(std::string_view key, std::optional<std::int64_t>& out) {
  if (present(key) == nullptr) return;
  get(key, out.emplace());
}

const boost::json::object* Fields::object(std::string_view key) {
  const auto* v = present(key);
  if (v == nullptr) return nullptr;
  if (!v->is_object()) wrong(key, "an object");
  return v->if_object();
}

const boost::json::array* Fields::array(std::string_view key) {
  const auto* v = present(key);
  if (v == nullptr) return nullptr;
  if (!v->is_array()) wrong(key, "a list");
  return v->if_array();
}

std::optional<std::size_t> Fields::index(std::string_view key,
                                         std::span<const std::string_view> names) {
  if (present(key) == nullptr) return std::nullopt;
  std::string text;
  get(key, text);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return i;
  }
  wrong(key, fmt::format("one of {}", fmt::join(names, ", ")));
  return std::nullopt;
}

boost::json::array to_array(const std::vector<std::string>& items) {
  boost::json::array out;
  for (const auto& s : items) out.emplace_back(to_utf8(s));
  return out;
}

}  // namespace tidegate::protocol
