#include "engine/connectors/file/json_text.h"

#include <optional>

#include "engine/connectors/file/values.h"

namespace tidegate::engine::file {
namespace {

class Checker {
 public:
  explicit Checker(std::string_view text) : p_(text.data()), end_(p_ + text.size()) {}

  bool check() { return value(0) && at_end(); }
  bool at_end() {
    space();
    return p_ == end_;
  }
  bool take(char c) {
    space();
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }
  // The next value as it stands; nullopt: none.
  std::optional<std::string_view> raw_value() {
    space();
    const char* from = p_;
    if (!value(1)) return std::nullopt;
    return std::string_view(from, static_cast<std::size_t>(p_ - from));
  }

 private:
  void space() {
    while (p_ < end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }
  bool word(std::string_view w) {
    if (std::string_view(p_, static_cast<std::size_t>(end_ - p_)).substr(0, w.size()) != w) {
      return false;
    }
    p_ += w.size();
    return true;
  }
  static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  }
  bool string() {
    if (!take('"')) return false;
    for (; p_ < end_; ++p_) {
      if (*p_ == '"') return ++p_, true;
      if (static_cast<unsigned char>(*p_) < 0x20) return false;
      if (*p_ != '\\') continue;
      if (++p_ == end_) return false;
      if (*p_ == 'u') {
        for (int i = 0; i < 4; ++i) {
          if (++p_ == end_ || !is_hex(*p_)) return false;
        }
      } else if (std::string_view("\"\\/bfnrt").find(*p_) == std::string_view::npos) {
        return false;
      }
    }
    return false;
  }
  bool number() {
    const char* start = p_;
    while (p_ < end_ && std::string_view("+-.0123456789eE").find(*p_) != std::string_view::npos)
      ++p_;
    return is_json_number({start, static_cast<std::size_t>(p_ - start)});
  }
  bool members(int depth, char close, bool keys) {
    if (take(close)) return true;
    do {
      if (keys && (!string() || !take(':'))) return false;
      if (!value(depth)) return false;
    } while (take(','));
    return take(close);
  }
  bool value(int depth) {
    if (depth > kMaxJsonDepth) return false;
    space();
    if (p_ == end_) return false;
    switch (*p_) {
      case '{':
        return ++p_, members(depth + 1, '}', true);
      case '[':
        return ++p_, members(depth + 1, ']', false);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  const char* p_;
  const char* end_;
};

int hex(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

std::uint32_t unit_at(const char* p) {
  return static_cast<std::uint32_t>(hex(p[0]) << 12 | hex(p[1]) << 8 | hex(p[2]) << 4 | hex(p[3]));
}

void append_utf8(std::string& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3F));
    }
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

// Appends the characters of a checked JSON string without its quotes.
bool unescape(std::string_view s, std::string& out) {
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') {
      out += s[i];
      continue;
    }
    const char c = s[++i];
    if (c != 'u') {
      static constexpr std::string_view kFrom = "bfnrt", kTo = "\b\f\n\r\t";
      const std::size_t at = kFrom.find(c);
      out += at == std::string_view::npos ? c : kTo[at];
      continue;
    }
    std::uint32_t unit = unit_at(s.data() + i + 1);
    i += 4;
    if (unit >= 0xD800 && unit < 0xE000) {
      if (unit >= 0xDC00 || i + 6 >= s.size() || s[i + 1] != '\\' || s[i + 2] != 'u') return false;
      const std::uint32_t low = unit_at(s.data() + i + 3);
      if (low < 0xDC00 || low >= 0xE000) return false;
      unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
      i += 6;
    }
    append_utf8(out, unit);
  }
  return true;
}

JsonKind kind_of(char first) {
  switch (first) {
    case '{':
    case '[':
      return JsonKind::Nested;
    case '"':
      return JsonKind::String;
    case 't':
    case 'f':
      return JsonKind::Bool;
    case 'n':
      return JsonKind::Null;
    default:
      return JsonKind::Number;
  }
}

}  // namespace

bool is_json_text(std::string_view text) { return Checker(text).check(); }

JsonObjectReader::Fault JsonObjectReader::read(std::string_view text,
                                               std::vector<JsonMember>& members) {
  members.clear();
  unescaped_.clear();
  unescaped_.reserve(text.size());  // never grows, so that views into it stay
  bool whole = true;                // no half of a surrogate pair was seen
  const auto characters = [&](std::string_view quoted) -> std::string_view {
    const std::string_view inside = quoted.substr(1, quoted.size() - 2);
    if (inside.find('\\') == std::string_view::npos) return inside;
    const std::size_t from = unescaped_.size();
    whole = unescape(inside, unescaped_) && whole;
    return std::string_view(unescaped_).substr(from);
  };
  Checker in(text);
  if (!in.take('{')) return Fault::NotOneObject;
  if (in.take('}')) return in.at_end() ? Fault::None : Fault::NotOneObject;
  do {
    const auto key = in.raw_value();
    if (!key || key->front() != '"' || !in.take(':')) return Fault::NotOneObject;
    const auto value = in.raw_value();
    if (!value) return Fault::NotOneObject;
    JsonMember m{characters(*key), kind_of(value->front()), *value, {}};
    if (m.kind == JsonKind::String) m.text = characters(*value);
    members.push_back(m);
  } while (in.take(','));
  if (!in.take('}') || !in.at_end()) return Fault::NotOneObject;
  return whole ? Fault::None : Fault::HalfSurrogate;
}

}  // namespace tidegate::engine::file
