#include "engine/connectors/mysql/greeting.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "base/unique_fd.h"

namespace tidegate::engine::mysql {
namespace {

constexpr char kProtocol = 10, kError = '\xFF';
constexpr unsigned kTls = 0x0800;            // CLIENT_SSL
constexpr std::size_t kSalt = 4 + 8 + 1;     // thread, first part of the salt, filler
constexpr std::size_t kMaxPacket = 4 << 10;  // no greeting is so long
constexpr int kSliceMillis = 100;            // how soon a stop is seen

unsigned low16(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  return byte(at) | static_cast<unsigned>(byte(at + 1) << 8U);
}

std::unexpected<Error> broken(int number) {
  return fail(Code::Unavailable, std::generic_category().message(number));
}

// Until it can be read or written.
Status wait(int fd, short events, int& slices, const std::stop_token& stop) {
  while (slices-- > 0) {
    if (stop.stop_requested()) return fail(Code::Cancelled, "stopped");
    pollfd p{.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&p, 1, kSliceMillis);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return broken(errno);
  }
  return fail(Code::Unavailable, "it does not answer");
}

Result<UniqueFd> connect_to(const sockaddr* address, socklen_t size, int& slices,
                            const std::stop_token& stop) {
  UniqueFd fd(socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return broken(errno);
  if (::connect(fd.get(), address, size) == 0) return fd;
  if (errno != EINPROGRESS) return broken(errno);
  TG_CHECK(wait(fd.get(), POLLOUT, slices, stop));
  int number = 0;
  socklen_t length = sizeof number;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &number, &length) != 0) return broken(errno);
  if (number != 0) return broken(number);
  return fd;
}

Result<UniqueFd> connect_to(const Config& config, int& slices, const std::stop_token& stop) {
  if (config.host.starts_with('/')) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    if (config.host.size() >= sizeof address.sun_path) return broken(ENAMETOOLONG);
    std::ranges::copy(config.host, address.sun_path);
    return connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address, slices, stop);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int rc =
      getaddrinfo(config.host.c_str(), std::to_string(config.port).c_str(), &hints, &found);
  if (rc != 0) return fail(Code::Unavailable, gai_strerror(rc));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, &freeaddrinfo);
  Result<UniqueFd> fd = fail(Code::Unavailable, "the host has no address");
  for (const addrinfo* a = found; a != nullptr && !fd; a = a->ai_next)
    fd = connect_to(a->ai_addr, a->ai_addrlen, slices, stop);
  return fd;
}

Result<std::string> receive(int fd, std::size_t size, int& slices, const std::stop_token& stop) {
  std::string out(size, '\0');
  for (std::size_t at = 0; at < size;) {
    TG_CHECK(wait(fd, POLLIN, slices, stop));
    const ssize_t n = recv(fd, out.data() + at, size - at, 0);
    if (n == 0) return fail(Code::Unavailable, "it ended the connection without a greeting");
    if (n < 0 && errno != EAGAIN && errno != EINTR) return broken(errno);
    if (n > 0) at += static_cast<std::size_t>(n);
  }
  return out;
}

}  // namespace

Result<Greeting> parse_greeting(std::string_view packet) {
  if (packet.size() >= 3 && packet[0] == kError) {
    std::string_view why = packet.substr(3);
    if (why.starts_with('#')) why.remove_prefix(std::min<std::size_t>(why.size(), 6));  // SQLSTATE
    return Greeting{.refused = static_cast<int>(low16(packet, 1)), .why = std::string(why)};
  }
  const std::size_t version_end = packet.find('\0', 1);
  if (!packet.starts_with(kProtocol) || version_end == std::string_view::npos ||
      packet.size() < version_end + 1 + kSalt + 2) {
    return fail(Code::Unavailable, "what answers is no MySQL server");
  }
  return Greeting{.offers_tls = (low16(packet, version_end + 1 + kSalt) & kTls) != 0, .why = {}};
}

Result<Greeting> read_greeting(const Config& config, int seconds, const std::stop_token& stop) {
  int slices = seconds * 1000 / kSliceMillis;
  TG_TRY(const UniqueFd fd, connect_to(config, slices, stop));
  TG_TRY(const std::string header, receive(fd.get(), 4, slices, stop));
  const std::size_t size =
      low16(header, 0) | (static_cast<std::size_t>(static_cast<unsigned char>(header[2])) << 16U);
  if (size > kMaxPacket) return parse_greeting({});
  TG_TRY(const std::string packet, receive(fd.get(), size, slices, stop));
  return parse_greeting(packet);
}

}  // namespace tidegate::engine::mysql
