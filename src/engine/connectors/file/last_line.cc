#include "engine/connectors/file/last_line.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "engine/connectors/file/table.h"

namespace tidegate::engine::file {
namespace {

constexpr Millis kLook{50};

// Where the line behind the last line end begins.
Result<std::int64_t> last_line(const InputFile& file) {
  std::vector<char> block(64 << 10);
  for (std::int64_t end = file.size(); end > 0;) {
    const std::int64_t from =
        std::max<std::int64_t>(0, end - static_cast<std::int64_t>(block.size()));
    TG_TRY(const std::size_t n,
           file.read_at(from, std::span(block).first(static_cast<std::size_t>(end - from))));
    const auto found = std::string_view(block.data(), n).rfind('\n');
    if (found != std::string_view::npos) return from + static_cast<std::int64_t>(found) + 1;
    end = from;
  }
  return 0;
}

Result<bool> has_open_line(const InputFile& file) {
  if (file.size() == 0) return false;
  TG_TRY(const bool gzip, is_gzip(file));
  if (gzip) return false;
  std::array<char, 1> last{};
  TG_TRY(const std::size_t n, file.read_at(file.size() - 1, last));
  return n == 1 && last[0] != '\n';
}

// True: it is settled.
Result<bool> look_at(InputFile& file, const Clock& clock) {
  TG_TRY(const InputFile::Stamp now, file.stamp_now());
  if (now.size > file.stamp().size) {
    TG_TRY(const std::int64_t end, last_line(file));
    file.end_at(end);
    return true;
  }
  const auto written = from_ms(now.mtime_ns / 1'000'000);
  if (clock.now() - written < kLineIsWhole) return false;
  file.refuse_growth();
  return true;
}

}  // namespace

Status settle_last_lines(std::span<const std::shared_ptr<InputFile>> files,
                         const Context& context) {
  std::vector<std::shared_ptr<InputFile>> open;
  for (const auto& file : files) {
    TG_TRY(const bool is_open, has_open_line(*file));
    if (is_open) open.push_back(file);
  }
  std::mutex mutex;
  std::condition_variable_any nothing;
  std::unique_lock lock(mutex);
  // A bound of its own: a file server's clock may be ahead of this machine's.
  for (auto looks = kLineIsWhole / kLook; !open.empty(); --looks) {
    std::vector<std::shared_ptr<InputFile>> left;
    for (const auto& file : open) {
      TG_TRY(const bool settled, look_at(*file, context.clock));
      if (settled) continue;
      if (looks > 0) left.push_back(file);
      if (looks <= 0) file->refuse_growth();
    }
    open = std::move(left);
    if (!open.empty()) nothing.wait_for(lock, context.stop, kLook, [] { return false; });
    if (context.stop.stop_requested()) {
      return fail(Code::Cancelled, "stopped while waiting for the end of a line");
    }
  }
  return {};
}

}  // namespace tidegate::engine::file
