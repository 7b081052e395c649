#include "control/store/contract/tcp_proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>
#include <vector>

namespace tidegate::store::contract {
namespace {

constexpr std::size_t kBegin = 1 << 20;

sockaddr_in loopback(int port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  return at;
}

UniqueFd tcp_socket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

}  // namespace

TcpProxy::TcpProxy(int server_port)
    : server_port_(server_port), listener_(tcp_socket()), wake_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in at = loopback(0);
  socklen_t length = sizeof at;
  if (!listener_ || !wake_ ||
      bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      listen(listener_.get(), 64) != 0 ||
      getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&at), &length) != 0) {
    throw std::runtime_error("no port for a proxy");
  }
  port_ = ntohs(at.sin_port);
  thread_ = std::thread([this] { loop(); });
}

TcpProxy::~TcpProxy() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

void TcpProxy::judge(Link& link) {
  if (link.lost || !swallow_ || !link.begin.contains(marker_)) return;
  link.lost = true;
  ++swallowed_;
}

void TcpProxy::swallow(const std::string& marker) {
  const std::scoped_lock lock(mutex_);
  swallow_ = true;
  marker_ = marker;
  swallowed_ = 0;
  for (Link& link : links_) judge(link);
}

void TcpProxy::pass() {
  {
    const std::scoped_lock lock(mutex_);
    swallow_ = false;
    for (Link& link : links_) link.ended = link.ended || link.lost;
  }
  eventfd_write(wake_.get(), 1);
}

// REQUIRES of the rest: on the thread, under the mutex.

void TcpProxy::accept_one() {
  Link link;
  link.client = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  link.server = tcp_socket();
  const sockaddr_in to = loopback(server_port_);
  if (!link.client || !link.server ||
      connect(link.server.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    return;
  }
  judge(link);
  links_.push_back(std::move(link));
}

void TcpProxy::copy(Link& link, bool upwards) {
  char piece[16 << 10];
  const int from = upwards ? link.client.get() : link.server.get();
  const int to = upwards ? link.server.get() : link.client.get();
  const ssize_t n = recv(from, piece, sizeof piece, 0);
  if (n <= 0) {
    link.ended = true;
    return;
  }
  const auto size = static_cast<std::size_t>(n);
  if (upwards && link.begin.size() < kBegin) {
    link.begin.append(piece, size);
    judge(link);
  }
  for (std::size_t sent = 0; !link.lost && sent < size;) {
    const ssize_t part = send(to, piece + sent, size - sent, MSG_NOSIGNAL);
    if (part <= 0) {
      link.ended = true;
      return;
    }
    sent += static_cast<std::size_t>(part);
  }
}

void TcpProxy::loop() {
  for (;;) {
    std::vector<pollfd> fds;
    {
      const std::scoped_lock lock(mutex_);
      if (stop_) return;
      std::erase_if(links_, [](const Link& l) { return l.ended; });
      fds = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      for (const Link& link : links_) {
        fds.push_back({link.client.get(), POLLIN, 0});
        fds.push_back({link.server.get(), POLLIN, 0});
      }
    }
    poll(fds.data(), fds.size(), -1);
    const std::scoped_lock lock(mutex_);
    if (fds[0].revents != 0) {
      eventfd_t n = 0;
      eventfd_read(wake_.get(), &n);
    }
    std::size_t i = 2;
    for (Link& link : links_) {
      if (fds[i].revents != 0) copy(link, true);
      if (fds[i + 1].revents != 0 && !link.ended) copy(link, false);
      i += 2;
    }
    if (fds[1].revents != 0) accept_one();
  }
}

}  // namespace tidegate::store::contract
