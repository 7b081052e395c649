#include "engine/connectors/file/lines.h"

#include <algorithm>
#include <cstring>

namespace tidegate::engine::file {

Status LineReader::refill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (end_ * 2 > buffer_.size()) buffer_.resize(end_ * 2 + kBlock + kPadding);
  std::size_t room = buffer_.size() - kPadding - end_;
  while (room > 0 && !eof_) {
    TG_TRY(const std::size_t n, in_->read(std::span(buffer_.data() + end_, room)));
    eof_ = n == 0;
    end_ += n;
    room -= n;
  }
  std::memset(buffer_.data() + end_, ' ', kPadding);
  if (std::exchange(at_start_, false) &&
      std::string_view(buffer_.data(), end_).starts_with("\xEF\xBB\xBF")) {
    begin_ = 3;
  }
  return {};
}

Result<bool> LineReader::next(std::vector<Line>& lines, std::int64_t& bytes) {
  lines.clear();
  bytes = 0;
  while (lines.empty()) {
    TG_CHECK(refill());
    if (begin_ == end_) return false;
    const std::size_t before = begin_;
    cut(lines);
    bytes += static_cast<std::int64_t>(begin_ - before);
  }
  return true;
}

void LineReader::cut(std::vector<Line>& lines) {
  while (begin_ < end_) {
    const char* from = buffer_.data() + begin_;
    const void* found = std::memchr(from, '\n', end_ - begin_);
    std::size_t size = found == nullptr
                           ? end_ - begin_
                           : static_cast<std::size_t>(static_cast<const char*>(found) - from);
    const bool whole = found != nullptr || eof_;
    if (!whole && size <= kMaxLine && !skipping_) return;  // more of it may come
    begin_ += size + (found != nullptr);
    if (size > kMaxLine || skipping_) {
      if (!skipping_) lines.push_back({{from, 4096}, line_, true});
      skipping_ = !whole;
      line_ += whole;
      continue;
    }
    if (size > 0 && from[size - 1] == '\r') --size;
    lines.push_back({{from, size}, line_++, false});
  }
}

}  // namespace tidegate::engine::file
