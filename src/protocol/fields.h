#pragma once
// Reads the fields of one protocol object. Internal to src/protocol.
//
// Unlike json::Reader it ignores unknown fields (versions mix) and accepts any text, and it stops
// at the first wrong field: the other end is our own program, not a user.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace tidegate::protocol {

// `s` with every byte that is no UTF-8 replaced by U+FFFD: a message may quote raw data.
std::string to_utf8(std::string_view s);

class Fields {
 public:
  explicit Fields(const boost::json::object& object) : object_(object) {}

  // Each leaves `out` as it is when the field is absent or null.
  void get(std::string_view key, std::string& out);
  void get(std::string_view key, std::int64_t& out);
  void get(std::string_view key, int& out);
  void get(std::string_view key, bool& out);
  void get(std::string_view key, std::vector<std::string>& out);
  void get(std::string_view key, std::optional<std::string>& out);
  void get(std::string_view key, std::optional<std::int64_t>& out);
  const boost::json::object* object(std::string_view key);
  const boost::json::array* array(std::string_view key);
  const boost::json::value* any(std::string_view key) const { return object_.if_contains(key); }

  template <class Enum>
  void get(std::string_view key, Enum& out, std::span<const std::string_view> names) {
    if (const auto i = index(key, names)) out = static_cast<Enum>(*i);
  }
  // The field must be there.
  void need(std::string_view key);
  void wrong(std::string_view key, std::string_view expected);

  // Malformed naming the first wrong field.
  Status status() const;

 private:
  const boost::json::value* present(std::string_view key) const;
  std::optional<std::size_t> index(std::string_view key, std::span<const std::string_view> names);

  const boost::json::object& object_;
  std::optional<Error> error_;
};

boost::json::array to_array(const std::vector<std::string>& items);

}  // namespace tidegate::protocol
