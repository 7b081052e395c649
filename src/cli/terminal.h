#pragma once
// What a command knows of its surroundings: streams, environment, interruption.

#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tidegate::httpclient {
class Transport;
}

namespace tidegate::cli {

// The standard streams and the environment, replaceable in tests. Not thread-safe.
struct Io {
  std::function<void(std::string_view)> out;  // stdout, flushed
  std::function<void(std::string_view)> err;  // stderr
  // errno of the last write to stdout that failed: the answer did not arrive whole.
  std::shared_ptr<int> out_failed = std::make_shared<int>(0);
  std::function<std::optional<std::string>()> read_line;  // stdin; nullopt: end of file
  std::function<std::optional<std::string>(const std::string&)> env;
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool color = false;  // stdout is a terminal and NO_COLOR is not set
  int width = 80;      // columns and lines of the terminal
  int height = 24;

  static Io standard();
};

struct Context {
  Io io;
  httpclient::Transport* transport = nullptr;
  // Set by SIGINT and SIGTERM once catch_interrupts() was called.
  const std::atomic<bool>* interrupted = nullptr;
  std::function<void()> catch_interrupts = [] {};
  bool password_in_argv = false;  // there was one, and it was overwritten
  std::string program;            // path of this binary
  // The data folder that a configuration file names, for finding the server that uses it.
  // An error is that file's: what it says of the server must not be passed over.
  std::function<Result<std::optional<std::string>>()> configured_data = [] { return std::nullopt; };
};

enum class Color : char { Green, Red, Yellow, Dim };
std::string paint(const Io& io, Color color, std::string_view text);
// Columns that `text` takes on a terminal: one per code point, two for wide East Asian ones.
std::size_t columns(std::string_view text);
// At most `width` columns, ended by … when something was cut.
std::string clip(std::string_view text, std::size_t width);

}  // namespace tidegate::cli
