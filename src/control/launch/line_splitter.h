#pragma once
// Cuts a stream of bytes into lines of bounded length. Not thread-safe.

#include <cstddef>
#include <string>
#include <string_view>

namespace tidegate::launch {

class LineSplitter {
 public:
  explicit LineSplitter(std::size_t max_line) : max_line_(max_line) {}

  // Calls each(line, cut) for every complete line, without its line ending. A line longer than
  // max_line bytes is given once, cut to that length (cut = true); the rest of it is skipped.
  template <class F>
  void feed(std::string_view bytes, F&& each) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      const std::string_view part = bytes.substr(0, end);
      append(part);
      if (end == std::string_view::npos) return;
      give(each);
      bytes.remove_prefix(end + 1);
    }
  }

  // At the end of the stream: a last line that has no line ending.
  template <class F>
  void finish(F&& each) {
    if (!line_.empty()) give(each);
  }

 private:
  void append(std::string_view part) {
    const std::size_t room = max_line_ - line_.size();
    if (part.size() > room) {
      part = part.substr(0, room);
      cut_ = true;
    }
    line_.append(part);
  }
  template <class F>
  void give(F&& each) {
    std::string_view line = line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    each(line, cut_);
    line_.clear();
    cut_ = false;
    if (line_.capacity() > kKept) line_.shrink_to_fit();
  }

  static constexpr std::size_t kKept = 64 << 10;  // bytes kept allocated between lines
  std::size_t max_line_;
  std::string line_;
  bool cut_ = false;
};

}  // namespace tidegate::launch
