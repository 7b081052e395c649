#include "control/launch/courier.h"

#include <fmt/format.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

namespace tidegate::launch {
namespace {

// What goes with the descriptors.
struct Message {
  std::uint64_t id = 0;
  pid_t pid = -1;
  std::size_t request_written = 0;
};

constexpr std::size_t kDescriptors = 5;
using Descriptors = std::array<int, kDescriptors>;

struct Envelope {
  Message message;
  iovec body{&message, sizeof message};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(Descriptors))> control{};
  msghdr header{};

  Envelope() {
    header.msg_iov = &body;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  Envelope(const Envelope&) = delete;
  Envelope& operator=(const Envelope&) = delete;
};

Error out_of_descriptors() {
  return {Code::Unavailable,
          "no room for the descriptors of a child: raise the limit of open files",
          {},
          {}};
}

}  // namespace

void own_descriptors(std::initializer_list<int> keep) {
  if (unshare(CLONE_FILES) != 0) return;
  std::vector<unsigned> kept(keep.begin(), keep.end());
  std::ranges::sort(kept);
  unsigned from = STDERR_FILENO + 1;
  for (const unsigned fd : kept) {
    if (fd > from) syscall(SYS_close_range, from, fd - 1, 0);
    from = std::max(from, fd + 1);
  }
  syscall(SYS_close_range, from, ~0U, 0);
}

void end_unheard(pid_t pid) {
  if (pid <= 1) return;
  kill(-pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

Status Courier::open() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(Code::Unavailable, fmt::format("socketpair: {}", std::strerror(errno)));
  }
  sender_ = UniqueFd(ends[0]);
  receiver_ = UniqueFd(ends[1]);
  return {};
}

Status Courier::send(LaunchId id, const Child& child) const {
  Envelope envelope;
  envelope.message = {static_cast<std::uint64_t>(id), child.pid, child.request_written};
  const Descriptors fds = {child.pidfd.get(), child.request.get(), child.events.get(),
                           child.out.get(), child.err.get()};
  cmsghdr* rights = CMSG_FIRSTHDR(&envelope.header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(rights), fds.data(), sizeof fds);
  while (sendmsg(sender_.get(), &envelope.header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return fail(out_of_descriptors());
  }
  return {};
}

std::optional<Courier::Delivery> Courier::receive() const {
  Envelope envelope;
  ssize_t n = 0;
  do {
    n = recvmsg(receiver_.get(), &envelope.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(Message)) return std::nullopt;
  Descriptors fds;
  fds.fill(-1);
  if (const cmsghdr* rights = CMSG_FIRSTHDR(&envelope.header); rights != nullptr) {
    // A table without room gets those that fit.
    std::memcpy(fds.data(), CMSG_DATA(rights),
                std::min<std::size_t>(sizeof fds, rights->cmsg_len - CMSG_LEN(0)));
  }
  Child child;
  child.pid = envelope.message.pid;
  child.request_written = envelope.message.request_written;
  child.pidfd = UniqueFd(fds[0]);
  child.request = UniqueFd(fds[1]);
  child.events = UniqueFd(fds[2]);
  child.out = UniqueFd(fds[3]);
  child.err = UniqueFd(fds[4]);
  const LaunchId id{envelope.message.id};
  if (child.err) return Delivery{id, std::move(child)};
  end_unheard(child.pid);
  return Delivery{id, fail(out_of_descriptors())};
}

}  // namespace tidegate::launch
