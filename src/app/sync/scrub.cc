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

// Where the query begins, or the end. With an '@' behind it a '?' may be of a password that should
// have been escaped: it is the query's only if `host/…` is before it and `name=` behind it
// (`/?appName=@me@`).
std::size_t query_of(std::string_view text, std::size_t from) {
  const std::size_t mark = text.find('?', from);
  if (mark == std::string_view::npos) return text.size();
  if (text.find('@', mark) == std::string_view::npos) return mark;
  const std::string_view name = text.substr(mark + 1, text.find('=', mark) - mark - 1);
  const bool named = !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
  const std::string_view before = text.substr(from, mark - from);
  const bool has_user = before.contains('@');
  const std::string_view behind = has_user ? before.substr(before.rfind('@')) : before;
  const std::string_view hosts = behind.substr(0, behind.find('/'));
  // A port, or a part of `user:password`?
  const std::size_t colon =
      has_user || hosts.ends_with(']') ? std::string_view::npos : hosts.rfind(':');
  const bool port = colon == std::string_view::npos ||
                    hosts.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
  return named && port && behind.contains('/') ? mark : text.size();
}

// A password may hold '/' or '@' that should have been escaped: up to the last @ is hidden.
std::optional<Range> find_password(std::string_view text) {
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return std::nullopt;
  const std::size_t from = scheme + 3;
  const std::string_view place = text.substr(0, query_of(text, from));
  const std::size_t at = place.rfind('@');
  if (at == std::string_view::npos || at < from) return std::nullopt;
  const std::string_view user = place.substr(from, at - from);
  const std::size_t colon = user.find(':');
  // What should have been escaped may stand before the first colon.
  if (user.substr(0, colon).find_first_of("@/?") != std::string_view::npos) return Range{from, at};
  if (colon == std::string_view::npos) return std::nullopt;
  return Range{from + colon + 1, at};
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
  const auto password = find_password(text);
  // `?password=…`, `&sslpassword=…`
  constexpr std::string_view kParameter = "password=";
  if (!text.contains("://")) return found;
  for (std::size_t at = text.find('?');
       (at = text.find(kParameter, at)) != std::string_view::npos;) {
    at += kParameter.size();
    found |= hide(url, {at, std::min(text.find_first_of("&#", at), text.size())});
  }
  if (password) found |= hide(url, *password);
  return found;
}

bool has_unescaped_password(std::string_view url) {
  const std::size_t from = url.find("://") + 3;
  const std::string_view place = url.substr(0, query_of(url, from));
  const std::size_t at = place.rfind('@');
  return at != std::string_view::npos && at > from &&
         place.substr(from, at - from).find_first_of("@/?") != std::string_view::npos;
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
