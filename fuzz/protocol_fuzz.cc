// Any bytes as a line of the child protocol, both ways. Beside crashes it looks for a line that is
// read, written and read again as something else, and for a line that breaks the one-line rule.

#include <cstdlib>
#include <string>
#include <string_view>

#include "protocol/protocol.h"

namespace {

using namespace tidegate::protocol;

void require(bool ok) {
  if (!ok) std::abort();
}

template <class T, class Parse>
void stays_the_same(const T& message, Parse parse) {
  const std::string line = encode(message);
  require(line.find('\n') == std::string::npos);
  const auto again = parse(line);
  require(again.has_value());
  require(encode(*again) == line);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto request = parse_request(line)) {
    stays_the_same(*request, [](const std::string& l) { return parse_request(l); });
  }
  if (const auto control = parse_control(line); control && *control) {
    stays_the_same(**control, [](const std::string& l) { return *parse_control(l); });
  }
  if (const auto event = parse_event(line); event && *event) {
    stays_the_same(**event, [](const std::string& l) { return *parse_event(l); });
  }
  return 0;
}
