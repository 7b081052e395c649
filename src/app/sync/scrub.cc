#include "app/sync/scrub.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace tidegate::app {

bool scrub_password(std::span<char> url) {
  const std::string_view text(url.data(), url.size());
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::size_t from = scheme + 3;
  const std::size_t authority_end = std::min(text.find_first_of("/?#", from), text.size());
  // A password may hold '/' or '@' that should have been escaped: up to the last @ is hidden.
  std::size_t at = text.substr(0, authority_end).rfind('@');
  if (at == std::string_view::npos || at < from) at = text.rfind('@');
  if (at == std::string_view::npos || at < from) return false;
  const std::size_t colon = text.find(':', from);
  if (colon == std::string_view::npos || colon >= at) return false;
  // ${NAME} is no password but the way to avoid one.
  if (text.substr(colon + 1, 2) == "${") return false;
  std::ranges::fill(url.subspan(colon + 1, at - colon - 1), '*');
  return true;
}

bool scrub_passwords(std::span<char*> argv) {
  bool found = false;
  for (char* word : argv) found |= scrub_password({word, std::strlen(word)});
  return found;
}

}  // namespace tidegate::app
