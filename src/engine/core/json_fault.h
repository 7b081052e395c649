#pragma once
// Texts that are to be JSON, read strictly (RFC 8259) and not kept.

#include <boost/json/basic_parser.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace tidegate::engine {

// More than any reader of JSON that we know goes down.
inline constexpr std::size_t kMaxJsonDepth = 5'000;

// A handler of boost::json::basic_parser that takes everything; who derives from it may refuse
// more.
struct JsonHandler {
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();

  using Code = boost::system::error_code;
  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_object_begin(Code&) { return true; }
  bool on_object_end(std::size_t, Code&) { return true; }
  bool on_string_part(std::string_view, std::size_t, Code&) { return true; }
  bool on_string(std::string_view, std::size_t, Code&) { return true; }
  bool on_key_part(std::string_view, std::size_t, Code&) { return true; }
  bool on_key(std::string_view, std::size_t, Code&) { return true; }
  bool on_number_part(std::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, std::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, std::string_view, Code&) { return true; }
  bool on_double(double, std::string_view, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(std::string_view, Code&) { return true; }
  bool on_comment(std::string_view, Code&) { return true; }
};

// Why a text of which `read` bytes were read, up to the error, is no JSON.
std::string not_json(std::string_view text, std::size_t read, const boost::system::error_code& ec);

// Why the text is no JSON, or is nested deeper than kMaxJsonDepth, as what follows "the value";
// "": it is JSON. Thread-safe.
std::string json_fault(std::string_view text);

}  // namespace tidegate::engine
