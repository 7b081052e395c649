#pragma once
// Progress of entities, one bar each, redrawn in place on a terminal.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/terminal.h"

namespace tidegate::cli {

struct ProgressRow {
  std::string entity;
  std::int64_t rows = 0;              // read so far: those written may become fewer again
  std::optional<std::int64_t> total;  // of the source
  std::string outcome;                // empty while it runs; else succeeded, failed, …
};

// One line a row, none wider than `width`: name, bar (where the total is known), rows, rate. At
// most `height` lines: finished rows give way first and are counted in the last line.
std::vector<std::string> render_progress(const std::vector<ProgressRow>& rows,
                                         std::chrono::milliseconds elapsed, std::size_t width,
                                         std::size_t height);
std::string grouped(std::int64_t n);  // 12,345

// Draws on stderr when that is a terminal, else does nothing. Not thread-safe.
class ProgressView {
 public:
  explicit ProgressView(const Io& io) : io_(io) {}
  void draw(const std::vector<ProgressRow>& rows, std::chrono::milliseconds elapsed);
  // Text above the bars, also without a terminal.
  void print_above(std::string_view text);
  void finish();  // leaves the last picture and goes below it

 private:
  void erase();
  const Io& io_;
  std::vector<std::string> drawn_;
};

}  // namespace tidegate::cli
