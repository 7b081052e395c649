#include "engine/core/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/text.h"
#include "base/version.h"
#include "engine/core/outcome.h"

namespace tidegate::engine {
namespace {

using protocol::ExitCode;

constexpr std::size_t kClippedText = 1024;

// Reads lines from a descriptor; at most kMaxLine bytes each.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}

  // nullopt: end of file. Blocks.
  Result<std::optional<std::string>> next() {
    for (;;) {
      if (auto line = take()) return line;
      TG_TRY(const bool more, fill());
      if (!more) return std::nullopt;
    }
  }

  // A line that was read completely.
  std::optional<std::string> take() {
    const std::size_t end = buffer_.find('\n', scanned_);
    scanned_ = buffer_.size();
    if (end == std::string::npos) return std::nullopt;
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    scanned_ = 0;
    return line;
  }

  // Reads what is there, once; false: end of file. Blocks when nothing is.
  Result<bool> fill() {
    if (buffer_.size() > protocol::kMaxLine) {
      return fail(Code::Malformed, "a protocol line is longer than 16 MiB", "protocol");
    }
    std::array<char, 65536> chunk;
    const ssize_t n = read(fd_, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) return false;
    buffer_.append(chunk.data(), static_cast<std::size_t>(n));
    return true;
  }

 private:
  int fd_;
  std::string buffer_;
  std::size_t scanned_ = 0;
};

class PipeSink final : public EventSink {
 public:
  explicit PipeSink(int fd) : fd_(fd) {}

  void send(const protocol::Event& event) override {
    const std::scoped_lock lock(mutex_);
    // A parent that reads slowly must not slow the data: progress is dropped, the rest waits.
    if (std::holds_alternative<protocol::Progress>(event) && !writable()) return;
    std::string line = protocol::encode(event);
    if (line.size() >= protocol::kMaxLine) return;  // a result is made to fit, see fitting()
    line += '\n';
    for (std::size_t at = 0; at < line.size();) {
      const ssize_t n = write(fd_, line.data() + at, line.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;  // the parent is gone; fd 3 says so too
      at += static_cast<std::size_t>(n);
    }
  }

 private:
  bool writable() const {
    pollfd p{fd_, POLLOUT, 0};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
  }

  const int fd_;
  std::mutex mutex_;
};

// The thread that reads control lines until stop() or the end of file.
class Watcher {
 public:
  Watcher(int fd, LineReader& lines, LeaseGuard& lease)
      : fd_(fd), wake_(eventfd(0, EFD_CLOEXEC)), lines_(lines), lease_(lease), thread_([this] {
          run();
        }) {}
  ~Watcher() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_, &one, sizeof one);
    thread_.join();
    close(wake_);
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

 private:
  void run() {
    for (;;) {
      while (const auto line = lines_.take()) obey(*line);
      // Before every read, also in the middle of a line: a parent that never ends it must not keep
      // the process.
      std::array<pollfd, 2> p{{{fd_, POLLIN, 0}, {wake_, POLLIN, 0}}};
      if (poll(p.data(), p.size(), -1) < 0 && errno != EINTR) return;
      if (p[1].revents != 0) return;
      if (p[0].revents == 0) continue;
      const auto more = lines_.fill();
      if (!more || !*more) {
        lease_.cancel("the worker that started this run is gone; nothing more was committed");
        return;
      }
    }
  }

  void obey(const std::string& line) {
    const auto control = protocol::parse_control(line);
    if (!control || !*control) return;  // unknown or broken: versions mix
    if (const auto* renewed = std::get_if<protocol::LeaseRenewed>(&**control)) {
      lease_.renew(renewed->until);
    } else {
      lease_.cancel("the run was cancelled; what was committed stays");
    }
  }

  const int fd_;
  const int wake_;
  LineReader& lines_;
  LeaseGuard& lease_;
  std::thread thread_;
};

ExitCode refuse(PipeSink& sink, const Error& error) {
  protocol::RunResult r = failed(error);
  r.code = ExitCode::Configuration;
  sink.send(r);
  return r.code;
}

void shorten(std::optional<std::string>& text) {
  if (text && text->size() > kClippedText) text = std::string(clip(*text, kClippedText)) + "…";
}

std::string megabytes(std::size_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

// The last event must arrive whatever its size: its texts are clipped, and what the request asked
// for is left out when it does not fit, which is an error. A run that only had too much to tell
// about rows that are committed stays what it was.
protocol::RunResult fitting(protocol::RunResult r) {
  const std::size_t size = protocol::encode(r).size();
  if (size < protocol::kMaxLine) return r;
  const bool reply_lost = !r.reply.is_null();
  r.reply = nullptr;
  shorten(r.error);
  r.warnings.clear();
  for (auto& entity : r.entities) {
    shorten(entity.error);
    entity.warnings.clear();
    entity.schema_changes.clear();
  }
  const bool entities_lost = protocol::encode(r).size() + kClippedText >= protocol::kMaxLine;
  if (entities_lost) r.entities.clear();
  if (!reply_lost && !entities_lost) {
    r.warnings.push_back(fmt::format(
        "the result was {} long and at most 16 MiB can be handed on: warnings, changes of schemas "
        "and the ends of long errors are left out",
        megabytes(size)));
    return r;
  }
  if (r.code != ExitCode::Done) return r;
  protocol::RunResult lost = failed(
      {Code::Internal,
       fmt::format("the answer is {} long and at most 16 MiB can be handed on; ask for fewer "
                   "entities at a time (a narrower pattern, an entity filter)",
                   megabytes(size)),
       "answer_too_long",
       {}});
  lost.entities = std::move(r.entities);
  return lost;
}

}  // namespace

ExitCode serve_session(int in, int out, std::span<const Connector* const> connectors,
                       const Clock& clock, Rng& rng, const EngineOptions& options) {
  PipeSink sink(out);
  LineReader lines(in);
  auto line = lines.next();
  if (!line) return refuse(sink, line.error());
  if (!*line) {
    return refuse(sink,
                  {Code::Malformed, "no request came before the end of file", "protocol", {}});
  }
  auto request = protocol::parse_request(**line);
  line->reset();  // it holds the secrets
  if (!request) return refuse(sink, request.error());
  sink.send(protocol::Started{protocol::kVersion, std::string(version())});

  LeaseGuard lease(clock, request->run.lease_until, request->run.patience);
  const PathPolicy paths(request->path_roots, request->forbidden_paths);
  const Context context{.clock = clock,
                        .rng = rng,
                        .paths = paths,
                        .stop = lease.stop_token(),
                        .log = [&sink](LogLevel level, const std::string& message) {
                          sink.send(protocol::LogLine{level, message, {}});
                        }};
  protocol::RunResult result;
  {
    const Watcher watcher(in, lines, lease);
    result = answer(*request, connectors, context, lease, sink, options);
  }
  result = fitting(std::move(result));
  sink.send(result);
  return result.code;
}

}  // namespace tidegate::engine
