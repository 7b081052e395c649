#pragma once
// Small helpers for text.

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace tidegate {

// The first `max` bytes at the most, never ending inside a UTF-8 sequence: what is quoted in an
// error must stay valid UTF-8, or the answer that carries it is not JSON.
constexpr std::string_view clip(std::string_view text, std::size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0) == 0x80) --max;
  return text.substr(0, max);
}

// Without the blanks and line ends that editors and shells leave behind a value in a file.
constexpr std::string_view trim_end(std::string_view text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}
// Without those before it either.
constexpr std::string_view trim(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return trim_end(text);
}

// A to Z alone, whatever the locale: as SQLite compares names and HTTP its headers.
constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}

}  // namespace tidegate
