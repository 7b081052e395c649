#include "app/serve/notify.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/log.h"

namespace tidegate::app {
namespace {

// The variable's value; it is gone from the environment.
std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value != nullptr ? value : "";
  ::unsetenv(name);
  return text;
}

std::optional<std::int64_t> to_number(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

// Invalid: no path and no abstract name, or too long a one.
Result<UniqueFd> connect_to(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool abstract = name.starts_with('@');
  if ((!abstract && !name.starts_with('/')) || name.size() < 2 ||
      name.size() >= sizeof(address.sun_path)) {
    return fail(Code::Invalid, "it names no socket of this kind");
  }
  std::memcpy(address.sun_path, name.data(), name.size());
  if (abstract) address.sun_path[0] = '\0';
  // An abstract name is as long as the address says; a path ends with its NUL.
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1));
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return fail(Code::Unavailable, std::strerror(errno));
  }
  // A service manager that does not read must not hold the server up.
  const timeval limit{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return fd;
}

std::int64_t micros(Millis span) {
  return std::chrono::duration_cast<std::chrono::microseconds>(span).count();
}

// A status is one line.
std::string status_line(std::string_view text) {
  std::string line = fmt::format("STATUS={}", text);
  std::ranges::replace(line, '\n', ' ');
  return line;
}

}  // namespace

Notifier Notifier::from_environment() {
  const std::string name = take_variable("NOTIFY_SOCKET");
  const auto watchdog = to_number(take_variable("WATCHDOG_USEC"));
  const std::string watched = take_variable("WATCHDOG_PID");
  Notifier notifier;
  if (name.empty()) return notifier;
  auto socket = connect_to(name);
  if (!socket) {
    log::warn("the service manager cannot be told of this server's state",
              {{"NOTIFY_SOCKET", name}, {"error", socket.error().message}});
    return notifier;
  }
  notifier.socket_ = std::move(*socket);
  // The variables may be a parent's that passed them on.
  const bool meant = watched.empty() || to_number(watched) == std::int64_t{::getpid()};
  if (watchdog && *watchdog > 0 && meant) {
    notifier.watchdog_interval_ = std::max(Millis(*watchdog / 2'000), Millis(1));
  }
  return notifier;
}

void Notifier::starting(std::string_view status, Millis limit) {
  send(fmt::format("{}\nEXTEND_TIMEOUT_USEC={}", status_line(status), micros(limit)));
}

void Notifier::ready(std::string_view status) { send("READY=1\n" + status_line(status)); }

void Notifier::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                   std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000));
}

void Notifier::alive() { send("WATCHDOG=1"); }

void Notifier::stopping(std::string_view status, Millis limit) {
  send(fmt::format("STOPPING=1\n{}\nEXTEND_TIMEOUT_USEC={}", status_line(status), micros(limit)));
}

void Notifier::send(std::string_view message) {
  if (socket_) ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL);
}

}  // namespace tidegate::app
