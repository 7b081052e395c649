#include "app/sync/scrub.h"

#include <algorithm>
#include <string_view>

namespace tidegate::app {

bool scrub_passwords(std::span<char*> argv) {
  bool found = false;
  for (char* word : argv) {
    const std::string_view text(word);
    const std::size_t scheme = text.find("://");
    if (scheme == std::string_view::npos) continue;
    const std::size_t from = scheme + 3;
    const std::size_t authority_end = std::min(text.find_first_of("/?#", from), text.size());
    // A password may hold '/' or '@' that should have been escaped: up to the last @ is hidden.
    std::size_t at = text.substr(0, authority_end).rfind('@');
    if (at == std::string_view::npos || at < from) at = text.rfind('@');
    if (at == std::string_view::npos || at < from) continue;
    const std::size_t colon = text.find(':', from);
    if (colon == std::string_view::npos || colon >= at) continue;
    // ${NAME} is no password but the way to avoid one.
    if (text.substr(colon + 1, 2) == "${") continue;
    std::fill(word + colon + 1, word + at, '*');
    found = true;
  }
  return found;
}

}  // namespace tidegate::app
