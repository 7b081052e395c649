#include "engine/connectors/postgres/jsonb_fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cstdint>
#include <limits>
#include <system_error>

#include "base/text.h"
#include "engine/core/json_fault.h"

namespace tidegate::engine::postgres {
namespace {

namespace bj = boost::json;

// Of numeric: https://www.postgresql.org/docs/current/datatype-numeric.html
constexpr std::int64_t kWholeDigits = 131'072, kFractionDigits = 16'383;
// Too short for any limit but that of an exponent.
constexpr std::size_t kHarmless = 4'096;  // bytes

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// True: the number, as JSON writes it, is within numeric.
bool is_numeric(std::string_view text) {
  const auto e = std::min(text.find_first_of("eE"), text.size());
  std::string_view digits = text.substr(0, e);
  if (digits.starts_with('-')) digits.remove_prefix(1);
  std::int64_t exponent = 0;
  if (e < text.size()) {
    std::string_view power = text.substr(e + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    const auto read = std::from_chars(power.data(), power.data() + power.size(), exponent);
    if (read.ec != std::errc() || exponent > std::numeric_limits<std::int32_t>::max() / 2 ||
        exponent < std::numeric_limits<std::int32_t>::min() / 2) {
      return false;
    }
  }
  const auto point = std::min(digits.find('.'), digits.size());
  const auto fraction =
      static_cast<std::int64_t>(point < digits.size() ? digits.size() - point - 1 : 0);
  if (fraction - exponent > kFractionDigits) return false;
  const auto first = digits.find_first_not_of("0.");
  if (first == std::string_view::npos) return true;
  const auto leading =
      static_cast<std::int64_t>(point) - static_cast<std::int64_t>(first) + (first > point ? 1 : 0);
  return leading + exponent <= kWholeDigits;
}

// Refuses by an error of its own.
struct Handler : JsonHandler {
  std::string fault;

  bool text(std::string_view s, boost::system::error_code& ec) {
    if (s.find('\0') == std::string_view::npos) return true;
    return refuse("holds \\u0000, which jsonb cannot", ec);
  }
  bool number(std::string_view s, boost::system::error_code& ec) {
    if (is_numeric(s)) return true;
    return refuse(fmt::format("holds the number {}, which is beyond numeric", clip(s, 40)), ec);
  }
  bool refuse(std::string why, boost::system::error_code& ec) {
    fault = std::move(why);
    ec = bj::error::syntax;
    return false;
  }

  bool on_string_part(bj::string_view s, std::size_t, Code& ec) { return text(s, ec); }
  bool on_string(bj::string_view s, std::size_t, Code& ec) { return text(s, ec); }
  bool on_key_part(bj::string_view s, std::size_t, Code& ec) { return text(s, ec); }
  bool on_key(bj::string_view s, std::size_t, Code& ec) { return text(s, ec); }
  bool on_double(double, bj::string_view s, Code& ec) { return number(s, ec); }
};

// An escape, or a digit with an exponent behind it (or what looks so inside a string).
bool looks_harmless(std::string_view text) {
  if (text.size() > kHarmless) return false;
  unsigned found = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    found |= static_cast<unsigned>(c == '\\');
    found |= static_cast<unsigned>((c == 'e' || c == 'E') && is_digit(text[i - 1]));
  }
  return found == 0;
}

// `\ud800` to `\udbff`, behind which the parser met no other half.
bool ends_in_half(std::string_view text) {
  if (text.size() < 6 || text.substr(text.size() - 6, 2) != "\\u") return false;
  const std::string_view digits = text.substr(text.size() - 4, 2);
  return (digits[0] == 'd' || digits[0] == 'D') &&
         std::string_view("89abAB").find(digits[1]) != std::string_view::npos;
}

}  // namespace

std::string jsonb_fault(std::string_view text) {
  if (looks_harmless(text)) return {};
  bj::parse_options options;
  options.max_depth = kMaxJsonDepth;  // the server's stack (max_stack_depth) holds some more
  bj::basic_parser<Handler> parser(options);
  boost::system::error_code ec;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!parser.handler().fault.empty()) return parser.handler().fault;
  if (ec == bj::error::too_deep)
    return "is nested deeper than the 5,000 levels that jsonb is given";
  if (ec == bj::error::exponent_overflow) return "holds a number that is beyond numeric";
  if (ec == bj::error::illegal_leading_surrogate || ec == bj::error::illegal_trailing_surrogate ||
      ec == bj::error::expected_utf16_escape || (ec && ends_in_half(text.substr(0, read)))) {
    return "holds half a surrogate pair (\\ud800 to \\udfff), which jsonb cannot";
  }
  return not_json(text, read, ec);
}

}  // namespace tidegate::engine::postgres
