#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace tidegate::cli {
namespace {

// All of it, however the pipe behaves; a reader that has gone ends the process by SIGPIPE as usual.
// The errno of a write that failed, or 0.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

winsize terminal_size() {
  winsize size{};
  for (const int fd : {STDERR_FILENO, STDOUT_FILENO}) {
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) return size;
  }
  size.ws_col = 80;
  size.ws_row = 24;
  return size;
}

// The next code point of UTF-8 text; a wrong byte counts as one.
std::string_view next_char(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return text.substr(0, size);
}

std::size_t char_columns(std::string_view c) {
  if (c.size() < 3) return 1;
  const auto b = [&](std::size_t i) { return static_cast<unsigned char>(c[i]); };
  const unsigned code =
      c.size() == 3 ? (b(0) & 15U) << 12 | (b(1) & 63U) << 6 | (b(2) & 63U) : 0x10000U;
  const bool wide = (code >= 0x1100 && code <= 0x115F) || (code >= 0x2E80 && code <= 0xA4CF) ||
                    (code >= 0xAC00 && code <= 0xD7A3) || (code >= 0xF900 && code <= 0xFAFF) ||
                    (code >= 0xFE30 && code <= 0xFE6F) || (code >= 0xFF00 && code <= 0xFF60) ||
                    code >= 0x10000;
  return wide ? 2 : 1;
}

}  // namespace

Io Io::standard() {
  Io io;
  io.out = [failed = io.out_failed](std::string_view text) {
    if (const int code = write_all(STDOUT_FILENO, text); code != 0) *failed = code;
  };
  io.err = [](std::string_view text) { (void)write_all(STDERR_FILENO, text); };
  io.read_line = []() -> std::optional<std::string> {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  };
  io.env = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  io.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
  io.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  io.err_is_terminal = ::isatty(STDERR_FILENO) == 1;
  io.color = io.out_is_terminal && io.env("NO_COLOR").value_or("").empty();
  const winsize size = terminal_size();
  io.width = size.ws_col;
  io.height = size.ws_row;
  return io;
}

std::string paint(const Io& io, Color color, std::string_view text) {
  if (!io.color) return std::string(text);
  constexpr std::string_view kCodes[] = {"32", "31", "33", "2"};
  return fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<std::size_t>(color)], text);
}

std::size_t columns(std::string_view text) {
  std::size_t n = 0;
  while (!text.empty()) {
    const std::string_view c = next_char(text);
    n += char_columns(c);
    text.remove_prefix(c.size());
  }
  return n;
}

std::string clip(std::string_view text, std::size_t width) {
  if (columns(text) <= width) return std::string(text);
  std::string out;
  std::size_t used = 0;
  while (!text.empty()) {
    const std::string_view c = next_char(text);
    if (used + char_columns(c) + 1 > width) break;
    used += char_columns(c);
    out += c;
    text.remove_prefix(c.size());
  }
  return width == 0 ? "" : out + "…";
}

}  // namespace tidegate::cli
