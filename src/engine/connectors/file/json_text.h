#pragma once
// JSON as text: the members of one object, untouched, so that no digit of a number is lost. Parsers
// that make numbers refuse 18446744073709551616 and round 0.12345678901234567890.
//
// Not simdjson: the Parquet library of the pyarrow wheel exports its own copy of another version,
// and two versions under one name in one process crash.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::engine::file {

inline constexpr int kMaxJsonDepth = 512;

// Whether a text is one JSON value (RFC 8259). UTF-8 is the caller's to check.
bool is_json_text(std::string_view text);

enum class JsonKind : std::uint8_t { Null, Bool, Number, String, Nested };

struct JsonMember {
  std::string_view key;
  JsonKind kind = JsonKind::Null;
  std::string_view raw;   // as it stands in the text
  std::string_view text;  // of a String: its characters
};

// Used by one thread.
class JsonObjectReader {
 public:
  enum class Fault : std::uint8_t {
    None,
    NotOneObject,
    HalfSurrogate  // \ud83d without its other half (RFC 8259 §8.2): no character
  };
  // The members are views into `text` and into this, valid until the next call.
  Fault read(std::string_view text, std::vector<JsonMember>& members);

 private:
  std::string unescaped_;
};

}  // namespace tidegate::engine::file
