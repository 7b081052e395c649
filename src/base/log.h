#pragma once
// Structured log: one JSON object a line on stderr (or readable text on a terminal).
// Thread-safe. Never pass a Secret's value; there is no overload for Secret on purpose.

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

#include "base/error.h"

namespace tidegate::log {

struct Field {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, double, bool> value;
};
using Fields = std::initializer_list<Field>;

enum class Format : std::uint8_t { Json, Text };
// Call once at start, before threads. Lines below `least` are dropped.
void configure(LogLevel least, Format format);

void write(LogLevel level, std::string_view message, Fields fields = {});
inline void debug(std::string_view m, Fields f = {}) { write(LogLevel::Debug, m, f); }
inline void info(std::string_view m, Fields f = {}) { write(LogLevel::Info, m, f); }
inline void warn(std::string_view m, Fields f = {}) { write(LogLevel::Warn, m, f); }
inline void error(std::string_view m, Fields f = {}) { write(LogLevel::Error, m, f); }

}  // namespace tidegate::log
