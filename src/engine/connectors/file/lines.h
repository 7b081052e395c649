#pragma once
// A stream cut into lines.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/bytes.h"

namespace tidegate::engine::file {

// Used by one thread.
class LineReader {
 public:
  static constexpr std::size_t kBlock = 256 << 10;   // bytes
  static constexpr std::size_t kMaxLine = 16 << 20;  // bytes
  static constexpr std::size_t kPadding = 64;        // bytes readable after every line

  struct Line {
    std::string_view text;  // without LF or CRLF; the first bytes only when too_long
    std::int64_t number = 0;
    bool too_long = false;
  };

  explicit LineReader(std::unique_ptr<ByteStream> in)
      : in_(std::move(in)), buffer_(kBlock + kPadding) {}

  // Some lines, valid until the next call; `bytes`: how many were used up for them. False at the
  // end.
  Result<bool> next(std::vector<Line>& lines, std::int64_t& bytes);

 private:
  Status refill();
  void cut(std::vector<Line>& lines);

  std::unique_ptr<ByteStream> in_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::int64_t line_ = 1;
  bool eof_ = false, at_start_ = true, skipping_ = false;
};

}  // namespace tidegate::engine::file
