#pragma once
// Boost.JSON with limits, and a reader of objects that reports every wrong field at once.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace tidegate::json {

using boost::json::array;
using boost::json::object;
using boost::json::value;

struct Limits {
  std::size_t max_bytes = 1 << 20;
  std::size_t max_depth = 32;
};

// Malformed with the byte position when `text` is not one JSON value, is not UTF-8, has a duplicate
// key or is too deep; TooLarge above max_bytes.
Result<value> parse(std::string_view text, const Limits& limits = {});
std::string write(const value& v);

struct TextRule {
  std::size_t min = 0, max = 1000;  // bytes
  bool required = false;
};
struct IntRule {
  std::int64_t min = 0, max = std::numeric_limits<std::int64_t>::max();
  bool required = false;
};

// Reads the fields of one object; each wrong field adds one FieldError. Ask for every field, then
// call finish(): fields nobody asked for are errors too, with the nearest known name offered.
//
//   json::Reader r(obj, "schedule", errors);
//   auto cron = r.text("cron", {.max = 200});
//   r.finish();
class Reader {
 public:
  // `path` is the prefix of reported fields, empty at the root. REQUIRES: obj, errors outlive this.
  Reader(const object& obj, std::string path, std::vector<FieldError>& errors)
      : obj_(obj), path_(std::move(path)), errors_(errors) {}

  // nullopt: absent or null (an error was added when required), or wrong (an error was added).
  std::optional<std::string> text(std::string_view key, TextRule rule = {});
  std::optional<std::int64_t> integer(std::string_view key, IntRule rule = {});
  std::optional<double> number(std::string_view key, double min, double max);
  std::optional<bool> boolean(std::string_view key);
  std::optional<Instant> time(std::string_view key);
  // Text in parse_duration's form, or a whole number of seconds.
  std::optional<Millis> duration(std::string_view key, Millis min, Millis max);
  // One of `names`; the index of the match.
  std::optional<std::size_t> one_of(std::string_view key, std::span<const std::string_view> names);
  std::optional<std::vector<std::string>> texts(std::string_view key, std::size_t max_items,
                                                TextRule rule);
  const object* child(std::string_view key);
  const array* items(std::string_view key, std::size_t max_items);
  // The raw value, marked as known; nullptr when absent.
  const value* raw(std::string_view key);

  bool has(std::string_view key) const { return obj_.contains(key); }
  void error(std::string_view key, std::string message, std::optional<std::size_t> pos = {});
  std::string path(std::string_view key) const;
  // Known but not accepted from a client (read-only fields that a client may send back unchanged).
  void ignore(std::string_view key) { raw(key); }
  void finish();

 private:
  const value* present(std::string_view key, bool required);

  const object& obj_;
  std::string path_;
  std::vector<FieldError>& errors_;
  std::set<std::string, std::less<>> known_;
};

// "one of a, b or c"
std::string list_of(std::span<const std::string_view> names);
// The candidate nearest to `word` by edit distance ≤ 2 (and below half its length); empty: none.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);
// "number", "text", …: for messages.
std::string_view type_name(const value& v);

}  // namespace tidegate::json
