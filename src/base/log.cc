#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "base/time.h"

namespace tidegate::log {
namespace {

// Process-wide by nature, like stderr itself.
std::atomic<LogLevel> g_least{LogLevel::Info};
std::atomic<Format> g_format{Format::Json};

constexpr std::string_view kNames[] = {"debug", "info", "warn", "error"};

std::string quoted(std::string_view s) { return boost::json::serialize(boost::json::string(s)); }

std::string to_text(const Field& f, bool json) {
  struct Visitor {
    bool json;
    std::string operator()(std::string_view s) const { return json ? quoted(s) : std::string(s); }
    std::string operator()(std::int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return fmt::format("{}", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
  };
  return std::visit(Visitor{json}, f.value);
}

}  // namespace

void configure(LogLevel least, Format format) {
  g_least = least;
  g_format = format;
}

void write(LogLevel level, std::string_view message, Fields fields) {
  if (level < g_least.load(std::memory_order_relaxed)) return;
  const std::string_view name = kNames[static_cast<std::size_t>(level)];
  const std::string time = format_utc(SystemClock().now());
  std::string line;
  if (g_format == Format::Json) {
    line = fmt::format(R"({{"time":"{}","level":"{}","message":{})", time, name, quoted(message));
    for (const Field& f : fields) {
      line += "," + quoted(f.key) + ":" + to_text(f, true);
    }
    line += "}\n";
  } else {
    line = fmt::format("{} {:5} {}", time, name, message);
    for (const Field& f : fields) line += fmt::format(" {}={}", f.key, to_text(f, false));
    line += "\n";
  }
  // One write(2) per line: lines of several processes on one stderr never mix. A failed log write
  // has nobody to tell.
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace tidegate::log
