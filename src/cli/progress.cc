#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidegate::cli {
namespace {

constexpr std::size_t kBar = 20;

std::string bar(std::int64_t done, std::int64_t total) {
  const std::int64_t cells =
      total <= 0 ? 0 : std::clamp<std::int64_t>(done * std::int64_t(kBar) / total, 0, kBar);
  std::string out = "[";
  for (std::size_t i = 0; i < kBar; ++i) out += i < static_cast<std::size_t>(cells) ? "#" : ".";
  return out + "]";
}

std::string line(const ProgressRow& row, std::size_t name_width, std::int64_t ms) {
  const std::string name = clip(row.entity, name_width);
  std::string out = name + std::string(name_width - columns(name) + 2, ' ');
  if (row.total && *row.total > 0) {
    out += bar(row.outcome == "succeeded" ? *row.total : row.rows, *row.total) + " ";
  }
  out += grouped(row.rows);
  if (row.total && row.outcome.empty()) out += " of " + grouped(*row.total);
  out += " rows";
  if (!row.outcome.empty()) return out + "  " + row.outcome;
  if (ms >= 1000 && row.rows > 0) out += fmt::format("  {}/s", grouped(row.rows * 1000 / ms));
  return out;
}

}  // namespace

std::string grouped(std::int64_t n) {
  std::string digits = std::to_string(n < 0 ? -n : n);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return n < 0 ? "-" + digits : digits;
}

std::vector<std::string> render_progress(const std::vector<ProgressRow>& rows,
                                         std::chrono::milliseconds elapsed, std::size_t width,
                                         std::size_t height) {
  std::vector<const ProgressRow*> shown;
  shown.reserve(rows.size());
  for (const ProgressRow& r : rows) shown.push_back(&r);
  std::size_t hidden = 0;
  while (shown.size() + (hidden > 0 ? 1 : 0) > std::max<std::size_t>(height, 2)) {
    auto it = std::ranges::find_if(shown, [](const ProgressRow* r) { return !r->outcome.empty(); });
    shown.erase(it == shown.end() ? shown.end() - 1 : it);
    ++hidden;
  }
  std::size_t name_width = 0;
  for (const ProgressRow* r : shown)
    name_width = std::max(name_width, std::min(columns(r->entity), width / 3));
  std::vector<std::string> out;
  out.reserve(shown.size() + 1);
  for (const ProgressRow* r : shown)
    out.push_back(clip(line(*r, name_width, elapsed.count()), width));
  if (hidden > 0) out.push_back(clip(fmt::format("… and {} more", hidden), width));
  return out;
}

void ProgressView::erase() {
  // One line up and cleared, for each that was drawn.
  std::string codes;
  for (std::size_t i = 0; i < drawn_.size(); ++i) codes += "\033[A\r\033[K";
  if (!codes.empty()) io_.err(codes);
  drawn_.clear();
}

void ProgressView::draw(const std::vector<ProgressRow>& rows, std::chrono::milliseconds elapsed) {
  if (!io_.err_is_terminal) return;
  const auto width = static_cast<std::size_t>(std::max(io_.width - 1, 20));
  std::vector<std::string> next =
      render_progress(rows, elapsed, width, static_cast<std::size_t>(io_.height - 2));
  if (next == drawn_) return;
  erase();
  std::string text;
  for (const std::string& l : next) text += l + "\n";
  io_.err(text);
  drawn_ = std::move(next);
}

void ProgressView::print_above(std::string_view text) {
  const std::vector<std::string> kept = drawn_;
  erase();
  io_.err(text);
  for (const std::string& l : kept) io_.err(l + "\n");
  drawn_ = kept;
}

void ProgressView::finish() { drawn_.clear(); }

}  // namespace tidegate::cli
