#include "app/sync/scrub.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/secret.h"

namespace tidegate::app {
namespace {

struct Range {
  std::size_t from, to;
};

std::optional<Range> find_password(std::string_view text) {
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return std::nullopt;
  const std::size_t from = scheme + 3;
  const std::size_t authority_end = std::min(text.find_first_of("/?#", from), text.size());
  // A password may hold '/' or '@' that should have been escaped: up to the last @ is hidden.
  std::size_t at = text.substr(0, authority_end).rfind('@');
  if (at == std::string_view::npos || at < from) at = text.rfind('@');
  if (at == std::string_view::npos || at < from) return std::nullopt;
  const std::size_t colon = text.find(':', from);
  if (colon == std::string_view::npos || colon >= at) return std::nullopt;
  return Range{colon + 1, at};
}

// ${NAME} is no password but the way to avoid one.
bool hide(std::span<char> url, Range password) {
  const std::string_view text(url.data() + password.from, password.to - password.from);
  if (text.empty() || text.starts_with("${")) return false;
  std::ranges::fill(url.subspan(password.from, text.size()), '*');
  return true;
}

}  // namespace

bool scrub_password(std::span<char> url) {
  const std::string_view text(url.data(), url.size());
  bool found = false;
  if (const auto password = find_password(text)) found = hide(url, *password);
  // `?password=…`, `&sslpassword=…`
  constexpr std::string_view kParameter = "password=";
  if (!text.contains("://")) return found;
  for (std::size_t at = text.find('?');
       (at = text.find(kParameter, at)) != std::string_view::npos;) {
    at += kParameter.size();
    found |= hide(url, {at, std::min(text.find_first_of("&#", at), text.size())});
  }
  return found;
}

std::string shown_url(std::string url) {
  // A password may hold a '?', so it goes first.
  if (const auto password = find_password(url)) {
    url.replace(password->from, password->to - password->from, kMasked);
  }
  return url.substr(0, url.find('?'));
}

bool scrub_passwords(std::span<char*> argv) {
  bool found = false;
  for (char* word : argv) found |= scrub_password({word, std::strlen(word)});
  return found;
}

}  // namespace tidegate::app
