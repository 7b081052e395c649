#include "engine/connectors/mongodb/bson_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "engine/connectors/mongodb/bson.h"

namespace tidegate::engine::mongodb {
namespace {

constexpr std::size_t kMaxDepth = 100;  // of nested documents, MongoDB's own
constexpr std::size_t kDecimalDigits = 34;
constexpr std::int64_t kMaxExponent = 6111, kMinExponent = -6176;

void append_text(std::string& out, std::string_view text) {
  out += json::write(boost::json::string(text));
}

void append_double(std::string& out, double v) {
  if (!std::isfinite(v)) {
    out += fmt::format(R"({{"$numberDouble":"{}"}})", std::isnan(v) ? "NaN"
                                                      : v > 0       ? "Infinity"
                                                                    : "-Infinity");
    return;
  }
  std::string text = fmt::format("{}", v);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  out += text;
}

Status append_value(std::string& out, const bson_iter_t& at);

Status append_members(std::string& out, const bson_iter_t& at, bool array) {
  bson_iter_t child;
  if (!bson_iter_recurse(&at, &child)) return fail(Code::Invalid, "is damaged");
  out += array ? '[' : '{';
  bool first = true;
  while (bson_iter_next(&child)) {
    if (!std::exchange(first, false)) out += ',';
    if (!array) {
      const std::string_view key(bson_iter_key(&child), bson_iter_key_len(&child));
      if (!bson_utf8_validate(key.data(), key.size(), true)) {
        return fail(Code::Invalid, "holds a field name that is not valid UTF-8");
      }
      append_text(out, key);
      out += ':';
    }
    TG_CHECK(append_value(out, child));
  }
  out += array ? ']' : '}';
  return {};
}

// The rest as the driver writes it, without its blanks: each is a wrapper of its own.
Status append_wrapper(std::string& out, const bson_iter_t& at) {
  Doc one;
  one.put_value("v", at);
  std::size_t size = 0;
  char* text = bson_as_canonical_extended_json(one.get(), &size);
  const auto whole = json::parse({text, size}, {.max_bytes = size, .max_depth = 2 * kMaxDepth});
  bson_free(text);
  if (!whole) return fail(Code::Invalid, "holds a value that Extended JSON cannot say");
  out += json::write(whole->get_object().at("v"));
  return {};
}

Status append_value(std::string& out, const bson_iter_t& at) {
  switch (bson_iter_type(&at)) {
    case BSON_TYPE_NULL:
      out += "null";
      return {};
    case BSON_TYPE_BOOL:
      out += bson_iter_bool(&at) ? "true" : "false";
      return {};
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
      out += std::to_string(bson_iter_as_int64(&at));
      return {};
    case BSON_TYPE_DOUBLE:
      append_double(out, bson_iter_double(&at));
      return {};
    case BSON_TYPE_UTF8: {
      std::uint32_t size = 0;
      const char* text = bson_iter_utf8(&at, &size);
      if (!bson_utf8_validate(text, size, true)) {
        return fail(Code::Invalid, "holds a text that is not valid UTF-8");
      }
      append_text(out, {text, size});
      return {};
    }
    case BSON_TYPE_DOCUMENT:
      return append_members(out, at, false);
    case BSON_TYPE_ARRAY:
      return append_members(out, at, true);
    default:
      return append_wrapper(out, at);
  }
}

// ---- from text

struct Node {
  enum class Kind : std::uint8_t { Null, Bool, Number, Text, Array, Object };
  Kind kind = Kind::Null;
  bool flag = false;
  std::string text;           // of a number as it was written
  std::vector<Node> members;  // in their order
  std::string name;           // as a member of an object
};

// Keeps numbers as they are written. (The library's own values are doubles by then.)
class TreeHandler {
 public:
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();
  using Text = boost::json::string_view;
  using Failure = boost::json::error_code;

  Node root;
  std::string why;  // not held though it is JSON

  bool on_document_begin(Failure&) { return true; }
  bool on_document_end(Failure&) { return true; }
  bool on_object_begin(Failure& ec) { return open(Node::Kind::Object, ec); }
  bool on_object_end(std::size_t, Failure&) { return close(); }
  bool on_array_begin(Failure& ec) { return open(Node::Kind::Array, ec); }
  bool on_array_end(std::size_t, Failure&) { return close(); }
  bool on_key_part(Text s, std::size_t, Failure&) { return part(s); }
  bool on_key(Text s, std::size_t, Failure& ec) {
    key_ = std::exchange(text_, {}) + std::string(s);
    if (key_.find('\0') != std::string::npos) why = "holds a name with a NUL character";
    for (const auto& member : stack_.back()->members) {
      if (member.name == key_) why = fmt::format("holds the name \"{}\" twice", key_);
    }
    if (!why.empty()) ec = boost::json::error::syntax;
    return why.empty();
  }
  bool on_string_part(Text s, std::size_t, Failure&) { return part(s); }
  bool on_string(Text s, std::size_t, Failure&) {
    part(s);
    return add({.kind = Node::Kind::Text, .text = std::exchange(text_, {})});
  }
  bool on_number_part(Text s, Failure&) { return part(s); }
  bool on_int64(std::int64_t, Text s, Failure&) { return number(s); }
  bool on_uint64(std::uint64_t, Text s, Failure&) { return number(s); }
  bool on_double(double, Text s, Failure&) { return number(s); }
  bool on_bool(bool v, Failure&) { return add({.kind = Node::Kind::Bool, .flag = v}); }
  bool on_null(Failure&) { return add({}); }
  bool on_comment_part(Text, Failure&) { return true; }
  bool on_comment(Text, Failure&) { return true; }

 private:
  bool part(Text s) {
    text_.append(s.data(), s.size());
    return true;
  }
  bool number(Text s) {
    part(s);
    return add({.kind = Node::Kind::Number, .text = std::exchange(text_, {})});
  }
  Node* place(Node node) {
    if (stack_.empty()) {
      root = std::move(node);
      return &root;
    }
    node.name = std::exchange(key_, {});
    return &stack_.back()->members.emplace_back(std::move(node));
  }
  bool add(Node node) {
    place(std::move(node));
    return true;
  }
  bool open(Node::Kind kind, Failure& ec) {
    if (stack_.size() >= kMaxDepth) {
      why = fmt::format("is nested deeper than {} levels", kMaxDepth);
      ec = boost::json::error::too_deep;
      return false;
    }
    stack_.push_back(place({.kind = kind}));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  std::vector<Node*> stack_;  // a member is only added to the last one, so none of them moves
  std::string key_, text_;
};

std::string append_node(bson_t* to, std::string_view key, const Node& node);

struct WrittenNumber {
  bool negative = false;
  std::string digits;  // without leading zeros
  std::int64_t exponent = 0;
};

// `-12.50`, `1e-7`.
std::optional<WrittenNumber> written_number(std::string_view text) {
  WrittenNumber out;
  bool point = false;
  std::size_t i = 0;
  if (text.starts_with('-')) {
    out.negative = true;
    i = 1;
  }
  for (; i < text.size() && (text[i] == '.' || (text[i] >= '0' && text[i] <= '9')); ++i) {
    if (text[i] == '.') {
      point = true;
      continue;
    }
    if (!out.digits.empty() || text[i] != '0') out.digits += text[i];
    if (point) --out.exponent;
  }
  if (i == text.size()) return out;
  std::string_view rest = text.substr(i);
  if (rest.front() != 'e' && rest.front() != 'E') return std::nullopt;
  rest.remove_prefix(1);
  if (rest.starts_with('+')) rest.remove_prefix(1);
  std::int64_t more = 0;
  const auto [p, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), more);
  if (ec != std::errc() || p != rest.data() + rest.size() || std::abs(more) > 1'000'000) {
    return std::nullopt;
  }
  out.exponent += more;
  return out;
}

bool same_number(std::string_view a, std::string_view b) {
  auto x = written_number(a), y = written_number(b);
  if (!x || !y || x->negative != y->negative) return false;
  for (auto* n : {&*x, &*y}) {
    while (n->digits.ends_with('0')) {
      n->digits.pop_back();
      ++n->exponent;
    }
    if (n->digits.empty()) n->exponent = 0;
  }
  return x->digits == y->digits && x->exponent == y->exponent;
}

std::string append_number(bson_t* to, std::string_view key, const std::string& text) {
  const int length = static_cast<int>(key.size());
  const char* end = text.data() + text.size();
  if (text.find_first_of(".eE") == std::string::npos) {
    std::int64_t whole = 0;
    const auto [p, ec] = std::from_chars(text.data(), end, whole);
    if (ec == std::errc() && p == end) {
      if (whole >= std::numeric_limits<std::int32_t>::min() &&
          whole <= std::numeric_limits<std::int32_t>::max()) {
        bson_append_int32(to, key.data(), length, static_cast<std::int32_t>(whole));
      } else {
        bson_append_int64(to, key.data(), length, whole);
      }
      return {};
    }
  }
  double real = 0;
  const auto [p, ec] = std::from_chars(text.data(), end, real);
  // Equal as numbers: 1.0 and 1.00, but not 0.1 and 0.10000000000000000555.
  if (ec == std::errc() && p == end && same_number(text, fmt::format("{}", real))) {
    bson_append_double(to, key.data(), length, real);
    return {};
  }
  bson_decimal128_t exact;
  if (exact_decimal(text, exact)) {
    bson_append_decimal128(to, key.data(), length, &exact);
    return {};
  }
  return fmt::format(
      "holds the number {}, which neither a double nor the {} digits of a Decimal128 "
      "hold exactly",
      text.substr(0, 60), kDecimalDigits);
}

// A wrapper of Extended JSON by the driver's own reader; nullopt: it is none.
std::optional<std::string> append_wrapper(bson_t* to, std::string_view key, const Node& node);

std::string write_node(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null:
      return "null";
    case Node::Kind::Bool:
      return node.flag ? "true" : "false";
    case Node::Kind::Number:
      return node.text;
    case Node::Kind::Text:
      return json::write(boost::json::string(node.text));
    case Node::Kind::Array:
    case Node::Kind::Object:
      break;
  }
  const bool array = node.kind == Node::Kind::Array;
  std::string out(array ? "[" : "{");
  for (const Node& member : node.members) {
    if (out.size() > 1) out += ',';
    if (!array) out += json::write(boost::json::string(member.name)) + ":";
    out += write_node(member);
  }
  return out + (array ? "]" : "}");
}

constexpr std::array<std::string_view, 16> kWrappers{
    "$oid",    "$numberInt", "$numberLong",        "$numberDouble", "$numberDecimal", "$binary",
    "$date",   "$timestamp", "$regularExpression", "$symbol",       "$code",          "$minKey",
    "$maxKey", "$undefined", "$dbPointer",         "$uuid"};

std::optional<std::string> append_wrapper(bson_t* to, std::string_view key, const Node& node) {
  if (node.members.empty() || node.members.size() > 2) return std::nullopt;
  const std::string& name = node.members.front().name;
  bool known = false;
  for (const auto wrapper : kWrappers) known = known || name == wrapper;
  if (!known || (node.members.size() == 2 && name != "$code")) return std::nullopt;
  const std::string text = "{\"v\":" + write_node(node) + "}";
  bson_error_t error;
  const std::unique_ptr<bson_t, decltype(&bson_destroy)> parsed(
      bson_new_from_json(reinterpret_cast<const std::uint8_t*>(text.data()),
                         static_cast<ssize_t>(text.size()), &error),
      bson_destroy);
  bson_iter_t at;
  // What only looks like a wrapper is a document of the user's.
  if (parsed == nullptr || !bson_iter_init_find(&at, parsed.get(), "v") ||
      bson_iter_type(&at) == BSON_TYPE_DOCUMENT) {
    return std::nullopt;
  }
  bson_append_iter(to, key.data(), static_cast<int>(key.size()), &at);
  return std::string();
}

std::string append_node(bson_t* to, std::string_view key, const Node& node) {
  const int length = static_cast<int>(key.size());
  switch (node.kind) {
    case Node::Kind::Null:
      bson_append_null(to, key.data(), length);
      return {};
    case Node::Kind::Bool:
      bson_append_bool(to, key.data(), length, node.flag);
      return {};
    case Node::Kind::Number:
      return append_number(to, key, node.text);
    case Node::Kind::Text:
      bson_append_utf8(to, key.data(), length, node.text.data(),
                       static_cast<int>(node.text.size()));
      return {};
    case Node::Kind::Array:
    case Node::Kind::Object:
      break;
  }
  const bool array = node.kind == Node::Kind::Array;
  if (!array) {
    if (auto done = append_wrapper(to, key, node)) return *done;
  }
  Doc inner;
  for (std::size_t i = 0; i < node.members.size(); ++i) {
    const Node& member = node.members[i];
    std::string why = append_node(inner.get(), array ? std::to_string(i) : member.name, member);
    if (!why.empty()) return why;
  }
  if (array) {
    bson_append_array(to, key.data(), length, inner.get());
  } else {
    bson_append_document(to, key.data(), length, inner.get());
  }
  return {};
}

}  // namespace

Result<std::string> json_of(const bson_iter_t& value) {
  std::string out;
  TG_CHECK(append_value(out, value));
  return out;
}

Result<std::string> json_of(const bson_t& document) {
  Doc one;
  one.put("v", Doc(document));
  bson_iter_t at;
  bson_iter_init_find(&at, one.get(), "v");
  return json_of(at);
}

std::string append_json(bson_t* to, std::string_view key, std::string_view json) {
  boost::json::parse_options options;
  options.max_depth = kMaxDepth + 1;
  boost::json::basic_parser<TreeHandler> parser(options);
  boost::json::error_code ec;
  const std::size_t read = parser.write_some(false, json.data(), json.size(), ec);
  TreeHandler& tree = parser.handler();
  if (!tree.why.empty()) return tree.why;
  if (ec || json.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
    return "is no JSON";
  }
  return append_node(to, key, tree.root);
}

bool exact_decimal(std::string_view text, bson_decimal128_t& out) {
  auto number = written_number(text);
  if (!number) return false;
  auto& [negative, digits, exponent] = *number;
  while (digits.ends_with('0') && (digits.size() > kDecimalDigits || exponent < kMinExponent)) {
    digits.pop_back();
    ++exponent;
  }
  while (!digits.empty() && exponent > kMaxExponent && digits.size() < kDecimalDigits) {
    digits += '0';
    --exponent;
  }
  if (digits.empty()) exponent = std::clamp(exponent, kMinExponent, kMaxExponent);
  if (digits.size() > kDecimalDigits || exponent < kMinExponent || exponent > kMaxExponent) {
    return false;
  }
  const std::string whole =
      fmt::format("{}{}E{}", negative ? "-" : "", digits.empty() ? "0" : digits, exponent);
  return bson_decimal128_from_string(whole.c_str(), &out);
}

std::string decimal_text(const bson_decimal128_t& value) {
  std::array<char, BSON_DECIMAL128_STRING> text{};
  bson_decimal128_to_string(&value, text.data());
  return text.data();
}

}  // namespace tidegate::engine::mongodb
