#include "control/launch/child_loop.h"

#include <fmt/format.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <thread>

#include "base/log.h"
#include "protocol/fields.h"

namespace tidegate::launch {
namespace {

constexpr std::size_t kMaxOutputLine = 8 << 10;  // bytes of a captured line of stdout or stderr
constexpr std::size_t kReadAtOnce = 256 << 10;   // bytes from one pipe before the others get a turn
constexpr std::size_t kReadAtExit = 4 << 20;     // more than a pipe can hold
constexpr std::chrono::seconds kStopLimit{5};
constexpr std::size_t kMany = 32;  // children
constexpr std::chrono::milliseconds kHearTogether{2};
// While launches wait: whatever this loop does takes a processor from those who start them. New
// children are taken in, or the spawners would wait for room on the courier; the rest is heard
// later.
constexpr std::chrono::milliseconds kTakeIn{5};
constexpr int kTakeInsBeforeHearing = 10;
// Keys of the loop's own descriptors; a child's begin at kSlots.
constexpr std::uint64_t kWakeKey = 0, kCourierKey = 1;

// Whatever a child prints, also half a character where a long line was cut: a log is text.
protocol::LogLine captured(LogLevel level, std::string_view line, bool cut) {
  protocol::LogLine log{.level = level, .message = protocol::to_utf8(line), .entity = {}};
  if (cut) log.message += " … (the rest of the line was cut off)";
  return log;
}

}  // namespace

void wipe(std::string& text) {
  if (!text.empty()) explicit_bzero(text.data(), text.size());
  text.clear();
  text.shrink_to_fit();
}

ChildHost::Loop::Entry::Entry() : out(kMaxOutputLine), err(kMaxOutputLine) {}

ChildHost::Loop::Loop() = default;

Status ChildHost::Loop::open() {
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !wake_) {
    return fail(Code::Unavailable, fmt::format("epoll: {}", std::strerror(errno)));
  }
  TG_CHECK(courier_.open());
  watch(wake_.get(), kWakeKey, EPOLLIN);
  watch(courier_.incoming(), kCourierKey, EPOLLIN);
  return {};
}

void ChildHost::Loop::post(std::function<void()> command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) has woken the loop already.
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
}

void ChildHost::Loop::post_created(LaunchId id, ChildSink sink, std::string request) {
  post([this, id, to = std::move(sink), text = std::move(request)]() mutable {
    Entry& entry = entries_[static_cast<std::uint64_t>(id)];
    entry.id = id;
    entry.sink = std::move(to);
    entry.request = std::move(text);
  });
}

void ChildHost::Loop::post_spawned(LaunchId id, Result<Child> child) {
  Error error;
  if (child) {
    const Status sent = courier_.send(id, *child);
    if (sent) return;
    end_unheard(child->pid);
    error = sent.error();
  } else {
    error = std::move(child).error();
  }
  post([this, id, why = std::move(error)] { spawned(id, fail(why)); });
}

void ChildHost::Loop::receive_children() {
  while (auto delivery = courier_.receive()) {
    // A child may come before the command that announces it was looked at, also in this loop.
    run_commands();
    spawned(delivery->id, std::move(delivery->child));
  }
}

void ChildHost::Loop::post_send(LaunchId id, std::string line) {
  post([this, id, text = std::move(line)] {
    const auto at = entries_.find(static_cast<std::uint64_t>(id));
    if (at == entries_.end()) return;
    at->second.outgoing += text;
    at->second.outgoing += '\n';
    if (at->second.spawned) write_request(id, at->second);
  });
}

void ChildHost::Loop::post_signal(LaunchId id, int signal) {
  post([this, id, signal] {
    const auto at = entries_.find(static_cast<std::uint64_t>(id));
    if (at == entries_.end()) return;
    if (at->second.spawned) {
      signal_group(at->second.child, signal);
    } else {
      at->second.pending_signal = signal;
    }
  });
}

void ChildHost::Loop::post_stop() {
  post([this] {
    stopping_ = true;
    give_up_ = std::chrono::steady_clock::now() + kStopLimit;
    for (auto& [id, entry] : entries_) {
      if (entry.spawned) {
        signal_group(entry.child, SIGKILL);
      } else {
        entry.pending_signal = SIGKILL;
      }
    }
  });
}

void ChildHost::Loop::run_commands() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> commands;
  {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (auto& command : commands) command();
}

void ChildHost::Loop::run() {
  std::array<epoll_event, 256> ready{};
  while (!stopping_ || !entries_.empty()) {
    if (stopping_ && std::chrono::steady_clock::now() >= give_up_) {
      log::error("engine processes did not end after SIGKILL; they are left behind",
                 {{"count", static_cast<std::int64_t>(entries_.size())}});
      return;
    }
    const int n = epoll_wait(epoll_.get(), ready.data(), ready.size(), stopping_ ? 100 : -1);
    // Exits first: they take what the pipes hold, so that the pipes' own events are nothing any
    // more.
    const std::span events(ready.data(), static_cast<std::size_t>(std::max(n, 0)));
    std::ranges::partition(events, [](const epoll_event& e) {
      return e.data.u64 >= kSlots && e.data.u64 % kSlots == static_cast<std::uint64_t>(Slot::Exit);
    });
    for (const epoll_event& event : events) {
      if (event.data.u64 == kWakeKey) {
        run_commands();
      } else if (event.data.u64 == kCourierKey) {
        receive_children();
      } else {
        handle(event.data.u64);
      }
    }
    // Many children speak one by one: they are heard together, which halves the cost of each.
    if (entries_.size() > kMany) std::this_thread::sleep_for(kHearTogether);
    for (int i = 0; i < kTakeInsBeforeHearing && waiting_ > kMany && !stopping_; ++i) {
      std::this_thread::sleep_for(kTakeIn);
      receive_children();
    }
  }
}

void ChildHost::Loop::watch(int fd, std::uint64_t key, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void ChildHost::Loop::watch(const UniqueFd& fd, LaunchId id, Slot slot, std::uint32_t events) {
  watch(fd.get(), static_cast<std::uint64_t>(id) * kSlots + static_cast<std::uint64_t>(slot),
        events);
}

// A closed descriptor stays in the set, ready for ever, while a child between vfork and exec holds
// its copy: with many starts this loop would spin. So it is taken out first.
void ChildHost::Loop::forget(UniqueFd& fd) {
  if (!fd) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr);
  fd.reset();
}

void ChildHost::Loop::spawned(LaunchId id, Result<Child> child) {
  const auto at = entries_.find(static_cast<std::uint64_t>(id));
  if (at == entries_.end()) {
    if (child) end_unheard(child->pid);
    return;
  }
  Entry& entry = at->second;
  if (!child) {
    wipe(entry.request);
    const ChildSink sink = std::move(entry.sink);
    entries_.erase(at);
    sink(id, Exit{.not_started = std::move(child).error()});
    return;
  }
  entry.child = std::move(*child);
  entry.spawned = true;
  if (entry.child.request_written < entry.request.size()) {
    entry.written = entry.child.request_written;
    // What was said meanwhile comes behind the request. No reallocation leaves a copy of it.
    std::string all;
    all.reserve(entry.request.size() + entry.outgoing.size());
    all.append(entry.request).append(entry.outgoing);
    entry.outgoing = std::move(all);
  }
  wipe(entry.request);
  if (entry.pending_signal) signal_group(entry.child, *entry.pending_signal);
  watch(entry.child.pidfd, id, Slot::Exit, EPOLLIN);
  watch(entry.child.events, id, Slot::Events, EPOLLIN);
  watch(entry.child.out, id, Slot::Out, EPOLLIN);
  watch(entry.child.err, id, Slot::Err, EPOLLIN);
  write_request(id, entry);
}

void ChildHost::Loop::write_request(LaunchId id, Entry& entry) {
  while (entry.child.request && entry.written < entry.outgoing.size()) {
    const ssize_t n = write(entry.child.request.get(), entry.outgoing.data() + entry.written,
                            entry.outgoing.size() - entry.written);
    if (n >= 0) {
      entry.written += static_cast<std::size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      if (!entry.watching_request) watch(entry.child.request, id, Slot::Request, EPOLLOUT);
      entry.watching_request = true;
      return;
    }
    forget(entry.child.request);  // the child closed it; its exit says the rest
    entry.watching_request = false;
  }
  if (entry.watching_request) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.child.request.get(), nullptr);
    entry.watching_request = false;
  }
  wipe(entry.outgoing);
  entry.written = 0;
}

void ChildHost::Loop::handle(std::uint64_t key) {
  const auto at = entries_.find(key / kSlots);
  if (at == entries_.end()) return;  // ended by an earlier event of this round
  const Slot slot{key % kSlots};
  if (slot == Slot::Exit) {
    on_exit(at);
  } else if (slot == Slot::Request) {
    write_request(LaunchId{at->first}, at->second);
  } else {
    read_pipe(at->second, slot);
  }
}

bool ChildHost::Loop::read_pipe(Entry& entry, Slot slot) {
  UniqueFd& fd = slot == Slot::Events ? entry.child.events
                 : slot == Slot::Out  ? entry.child.out
                                      : entry.child.err;
  std::array<char, 64 << 10> buffer;
  for (std::size_t total = 0; fd && total < kReadAtOnce;) {
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n > 0) {
      total += static_cast<std::size_t>(n);
      on_bytes(entry, slot, {buffer.data(), static_cast<std::size_t>(n)});
    } else if (n < 0 && errno == EAGAIN) {
      return true;
    } else if (n == 0 || errno != EINTR) {
      forget(fd);
      return false;
    }
  }
  return static_cast<bool>(fd);
}

void ChildHost::Loop::on_bytes(Entry& entry, Slot slot, std::string_view bytes) {
  if (slot == Slot::Events) {
    entry.events.feed(bytes,
                      [&](std::string_view line, bool cut) { on_event_line(entry, line, cut); });
    return;
  }
  LineSplitter& lines = slot == Slot::Out ? entry.out : entry.err;
  const LogLevel level = slot == Slot::Out ? LogLevel::Info : LogLevel::Warn;
  lines.feed(bytes, [&](std::string_view line, bool cut) {
    if (!line.empty()) entry.give(captured(level, line, cut));
  });
}

void ChildHost::Loop::on_event_line(Entry& entry, std::string_view line, bool cut) {
  if (line.empty()) return;
  if (cut) {
    // Nothing may be skipped on this pipe: the lost line could be a state or the result.
    entry.give(protocol::LogLine{
        .level = LogLevel::Error,
        .message = fmt::format("the engine sent a line longer than {} bytes and was ended",
                               protocol::kMaxLine),
        .entity = {}});
    signal_group(entry.child, SIGKILL);
    return;
  }
  auto event = protocol::parse_event(line);
  if (!event) {
    // The line itself is not repeated: whatever wrote it may not have masked secrets.
    entry.give(protocol::LogLine{
        .level = LogLevel::Warn,
        .message =
            fmt::format("the engine sent a line that is no event: {}", event.error().message),
        .entity = {}});
  } else if (*event) {
    entry.give(std::move(**event));
  }
}

void ChildHost::Loop::on_exit(Entries::iterator at) {
  Entry& entry = at->second;
  auto status = reap(entry.child);
  if (!status && status.error().code == Code::Unavailable) return;
  // Its group is gone, so nothing more is written: take what the pipes still hold, then close.
  for (const Slot slot : {Slot::Events, Slot::Out, Slot::Err}) {
    for (std::size_t read = 0; read < kReadAtExit; read += kReadAtOnce) {
      const bool more = read_pipe(entry, slot);
      if (!more) break;
    }
  }
  entry.events.finish([&](std::string_view line, bool cut) { on_event_line(entry, line, cut); });
  const auto rest = [&](LogLevel level) {
    return [&entry, level](std::string_view line, bool cut) {
      if (!line.empty()) entry.give(captured(level, line, cut));
    };
  };
  entry.out.finish(rest(LogLevel::Info));
  entry.err.finish(rest(LogLevel::Warn));
  wipe(entry.outgoing);
  for (UniqueFd* fd : {&entry.child.pidfd, &entry.child.request, &entry.child.events,
                       &entry.child.out, &entry.child.err}) {
    forget(*fd);
  }
  const ChildSink sink = std::move(entry.sink);
  const LaunchId id = entry.id;
  entries_.erase(at);
  if (!status) {
    sink(id, Exit{.not_started = std::move(status).error()});
  } else {
    sink(id, Exit{.not_started = {}, .code = status->code, .signal = status->signal});
  }
}

}  // namespace tidegate::launch
