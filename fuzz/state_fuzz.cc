// Any text as what a destination remembers (a state, a cursor's value) and as a name with a glob:
// what is accepted reads back as the same value, and nothing but an error comes of the rest.

#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/core/cursor.h"
#include "engine/core/selection.h"
#include "engine/core/state.h"

namespace {

using namespace tidegate;
using namespace tidegate::engine;

void require(bool holds) {
  if (!holds) std::abort();
}

void as_state(std::string_view text) {
  const auto state = decode_state(text);
  if (!state) return;
  const std::string written = encode(*state);
  const auto again = decode_state(written);
  require(again.has_value() && encode(*again) == written);
  require(differences(state->fingerprint, again->fingerprint).empty());
  require(state->cursor.has_value() == again->cursor.has_value());
}

void as_cursor(std::string_view text) {
  for (std::size_t kind = 0; kind < std::size(kCursorKindNames); ++kind) {
    const auto value = CursorValue::parse(static_cast<CursorKind>(kind), text);
    if (!value) continue;
    const auto again = CursorValue::parse(value->kind(), value->to_string());
    require(again.has_value() && *again == *value);
    // A bound that is moved back is never above the value.
    const CursorValue earlier = value->minus(Millis(86'400'000));
    require(!(earlier > *value));
  }
}

void as_glob(std::string_view text) {
  const std::size_t cut = text.find('\n');
  if (cut == std::string_view::npos) return;
  const std::string pattern(text.substr(0, cut));
  const std::string name(text.substr(cut + 1));
  require(matches(name, name));
  // A star only ever adds names.
  require(!matches(pattern, name) || matches("*", name));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  as_state(text);
  as_cursor(text);
  as_glob(text);
  return 0;
}
