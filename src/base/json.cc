#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <cmath>

#include "base/text.h"

namespace tidegate::json {
namespace {

// Duplicate keys are legal JSON (RFC 8259 §4) but one of two values would be lost in silence.
// Boost.JSON keeps the last; a scan of the text finds them.
class DuplicateKeys {
 public:
  explicit DuplicateKeys(std::string_view text) : s_(text) {}
  // The position of the second of two equal keys in one object. REQUIRES: text is valid JSON.
  std::optional<std::size_t> find() {
    std::vector<std::set<std::string_view>> objects;
    bool expect_key = false;
    for (std::size_t i = 0; i < s_.size(); ++i) {
      switch (s_[i]) {
        case '{':
          objects.emplace_back();
          expect_key = true;
          break;
        case '[':
          objects.emplace_back();
          expect_key = false;
          is_array_.push_back(objects.size());
          break;
        case '}':
        case ']':
          if (!is_array_.empty() && is_array_.back() == objects.size()) is_array_.pop_back();
          objects.pop_back();
          expect_key = false;
          break;
        case ',':
          expect_key = is_array_.empty() || is_array_.back() != objects.size();
          break;
        case '"': {
          const std::size_t begin = ++i;
          while (s_[i] != '"') i += s_[i] == '\\' ? 2 : 1;
          if (expect_key && !objects.back().insert(s_.substr(begin, i - begin)).second)
            return begin;
          expect_key = false;
          break;
        }
        default:
          break;
      }
    }
    return std::nullopt;
  }

 private:
  std::string_view s_;
  std::vector<std::size_t> is_array_;
};

// `1e999` is valid JSON that no double holds: it would be stored as what no parser takes back.
// Recursion is bounded by Limits::max_depth.
bool all_finite(const value& v) {
  if (v.is_double()) return std::isfinite(v.get_double());
  if (v.is_array()) return std::ranges::all_of(v.get_array(), all_finite);
  if (v.is_object()) {
    return std::ranges::all_of(v.get_object(), [](const auto& m) { return all_finite(m.value()); });
  }
  return true;
}

}  // namespace

Result<value> parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail(Code::TooLarge, fmt::format("the JSON text has {} bytes; at most {} are accepted",
                                            text.size(), limits.max_bytes));
  }
  boost::json::parse_options options;
  options.max_depth = limits.max_depth;
  boost::json::stream_parser parser({}, options);
  boost::system::error_code ec;
  const std::size_t used = parser.write_some(text.data(), text.size(), ec);
  if (!ec && used < text.size()) {
    const std::size_t rest = text.find_first_not_of(" \t\r\n", used);
    if (rest != std::string_view::npos) ec = boost::json::error::extra_data;
  }
  if (!ec) parser.finish(ec);
  if (ec) {
    Error e{Code::Malformed,
            fmt::format("not valid JSON at byte {}: {}", used, ec.message()),
            "malformed_json",
            {}};
    if (ec == boost::json::error::too_deep) {
      e.message = fmt::format("JSON nested deeper than {} levels", limits.max_depth);
    }
    return fail(std::move(e));
  }
  if (const auto dup = DuplicateKeys(text).find()) {
    return fail(Code::Malformed, fmt::format("duplicate key at byte {}; send each key once", *dup),
                "duplicate_key");
  }
  value result = parser.release();
  if (!all_finite(result)) {
    return fail(Code::Malformed, "a number is too large; numbers go up to about 1.8e308",
                "malformed_json");
  }
  return result;
}

std::string write(const value& v) { return boost::json::serialize(v); }

std::string_view type_name(const value& v) {
  switch (v.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "true or false";
    case boost::json::kind::string:
      return "text";
    case boost::json::kind::array:
      return "a list";
    case boost::json::kind::object:
      return "an object";
    default:
      return "a number";
  }
}

std::string list_of(std::span<const std::string_view> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  std::size_t best_distance = std::min<std::size_t>(3, word.size() / 2 + 1);
  for (const std::string_view c : candidates) {
    if (c.size() > 64 || word.size() > 64) continue;
    std::vector<std::size_t> row(c.size() + 1);
    for (std::size_t j = 0; j <= c.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= c.size(); ++j) {
        const std::size_t up = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (word[i - 1] != c[j - 1])});
        diagonal = up;
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = c;
    }
  }
  return best;
}

std::string Reader::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void Reader::error(std::string_view key, std::string message, std::optional<std::size_t> pos) {
  errors_.push_back({path(key), std::move(message), pos});
}

const value* Reader::raw(std::string_view key) {
  known_.emplace(key);
  return obj_.if_contains(key);
}

const value* Reader::present(std::string_view key, bool required) {
  const value* v = raw(key);
  if (v != nullptr && !v->is_null()) return v;
  if (required) error(key, v == nullptr ? "is missing" : "is null; give a value");
  return nullptr;
}

std::optional<std::string> Reader::text(std::string_view key, TextRule rule) {
  const value* v = present(key, rule.required);
  if (v == nullptr) return std::nullopt;
  if (!v->is_string()) {
    error(key, fmt::format("must be text, not {}", type_name(*v)));
    return std::nullopt;
  }
  const std::string_view s = v->get_string();
  if (s.size() < rule.min) {
    error(key, s.empty() ? "is empty; give a value"
                         : fmt::format("is too short: at least {} bytes", rule.min));
    return std::nullopt;
  }
  if (s.size() > rule.max) {
    error(key, fmt::format("is too long: {} bytes, at most {}", s.size(), rule.max));
    return std::nullopt;
  }
  if (s.find('\0') != std::string_view::npos) {
    error(key, "holds a NUL character; remove it");
    return std::nullopt;
  }
  return std::string(s);
}

std::optional<std::int64_t> Reader::integer(std::string_view key, IntRule rule) {
  const value* v = present(key, rule.required);
  if (v == nullptr) return std::nullopt;
  boost::system::error_code ec;
  const auto n = v->is_number() ? v->to_number<std::int64_t>(ec) : 0;
  if (!v->is_number() || ec) {
    error(key, fmt::format("must be a whole number, not {}",
                           v->is_number() ? "one with a fraction or out of range" : type_name(*v)));
    return std::nullopt;
  }
  if (n < rule.min || n > rule.max) {
    error(key, fmt::format("is {}; must be between {} and {}", n, rule.min, rule.max));
    return std::nullopt;
  }
  return n;
}

std::optional<double> Reader::number(std::string_view key, double min, double max) {
  const value* v = present(key, false);
  if (v == nullptr) return std::nullopt;
  if (!v->is_number()) {
    error(key, fmt::format("must be a number, not {}", type_name(*v)));
    return std::nullopt;
  }
  const auto n = v->to_number<double>();
  if (n < min || n > max) {
    error(key, fmt::format("is {}; must be between {} and {}", n, min, max));
    return std::nullopt;
  }
  return n;
}

std::optional<bool> Reader::boolean(std::string_view key) {
  const value* v = present(key, false);
  if (v == nullptr) return std::nullopt;
  if (!v->is_bool()) {
    error(key, fmt::format("must be true or false, not {}", type_name(*v)));
    return std::nullopt;
  }
  return v->get_bool();
}

std::optional<Instant> Reader::time(std::string_view key) {
  const auto s = text(key, {1, 64, false});
  if (!s) return std::nullopt;
  auto t = parse_rfc3339(*s);
  if (!t) {
    error(key, t.error().message);
    return std::nullopt;
  }
  return *t;
}

std::optional<Millis> Reader::duration(std::string_view key, Millis min, Millis max) {
  const value* v = present(key, false);
  if (v == nullptr) return std::nullopt;
  Result<Millis> d =
      fail(Code::Invalid,
           fmt::format("must be a duration such as 90s, 15m or 24h, not {}", type_name(*v)));
  if (v->is_string()) d = parse_duration(std::string_view(v->get_string()));
  if (v->is_number()) {
    boost::system::error_code ec;
    const auto s = v->to_number<std::int64_t>(ec);
    if (!ec && s >= 0 && s < std::int64_t{1} << 40) d = Millis(Seconds(s));
  }
  if (d && (*d < min || *d > max)) {
    d = fail(Code::Invalid, fmt::format("is {}; must be between {} and {}", format_duration(*d),
                                        format_duration(min), format_duration(max)));
  }
  if (!d) {
    error(key, d.error().message);
    return std::nullopt;
  }
  return *d;
}

std::optional<std::size_t> Reader::one_of(std::string_view key,
                                          std::span<const std::string_view> names) {
  const auto s = text(key, {0, 200, false});
  if (!s) return std::nullopt;
  const auto it = std::ranges::find(names, *s);
  if (it != names.end()) return static_cast<std::size_t>(it - names.begin());
  const std::string_view near = nearest(*s, names);
  error(key, fmt::format("'{}' is not known; must be {}{}", clip(*s, 64), list_of(names),
                         near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near)));
  return std::nullopt;
}

std::optional<std::vector<std::string>> Reader::texts(std::string_view key, std::size_t max_items,
                                                      TextRule rule) {
  const array* list = items(key, max_items);
  if (list == nullptr) return std::nullopt;
  std::vector<std::string> out;
  for (std::size_t i = 0; i < list->size(); ++i) {
    // Reuses the checks of text() for each element under the name key[i].
    const std::string name = fmt::format("{}[{}]", key, i);
    const object one{{name, (*list)[i]}};
    Reader r(one, path_, errors_);
    rule.required = true;
    if (auto s = r.text(name, rule)) out.push_back(std::move(*s));
  }
  return out;
}

const object* Reader::child(std::string_view key) {
  const value* v = present(key, false);
  if (v == nullptr) return nullptr;
  if (v->is_object()) return &v->get_object();
  error(key, fmt::format("must be an object, not {}", type_name(*v)));
  return nullptr;
}

const array* Reader::items(std::string_view key, std::size_t max_items) {
  const value* v = present(key, false);
  if (v == nullptr) return nullptr;
  if (!v->is_array()) {
    error(key, fmt::format("must be a list, not {}", type_name(*v)));
    return nullptr;
  }
  if (v->get_array().size() > max_items) {
    error(key, fmt::format("has {} items; at most {}", v->get_array().size(), max_items));
    return nullptr;
  }
  return &v->get_array();
}

void Reader::finish() {
  const std::vector<std::string_view> names(known_.begin(), known_.end());
  for (const auto& member : obj_) {
    const std::string_view key = member.key();
    if (known_.contains(key)) continue;
    const std::string_view near = nearest(key, names);
    error(clip(key, 100), near.empty()
                              ? std::string("is not a known field; remove it")
                              : fmt::format("is not a known field; did you mean '{}'?", near));
  }
}

}  // namespace tidegate::json
