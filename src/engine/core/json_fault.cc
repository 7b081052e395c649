#include "engine/core/json_fault.h"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>

namespace tidegate::engine {

namespace bj = boost::json;

std::string not_json(std::string_view text, std::size_t read, const boost::system::error_code& ec) {
  if (ec) return fmt::format("is not valid JSON (at byte {}: {})", read, ec.message());
  if (read < text.size()) return fmt::format("is not valid JSON (more follows at byte {})", read);
  return {};
}

std::string json_fault(std::string_view text) {
  bj::parse_options options;
  options.max_depth = kMaxJsonDepth;
  bj::basic_parser<JsonHandler> parser(options);
  boost::system::error_code ec;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (ec == bj::error::too_deep) return "is JSON nested deeper than 5,000 levels";
  return not_json(text, read, ec);
}

}  // namespace tidegate::engine
