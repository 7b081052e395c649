#include "control/store/postgres/feed.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"

namespace tidegate::store::postgres {
namespace {

constexpr Millis kBetweenSends{5};
// A connection that a middlebox keeps open without passing anything on is found out by asking.
constexpr Millis kAskAfter{15'000};
constexpr Millis kAnswer{5'000};
constexpr std::size_t kMostPayload = 7900;  // PostgreSQL takes less than 8000 bytes
constexpr std::size_t kMostIds = 500;

}  // namespace

Feed::Feed(const Target& target, const Timeouts& timeouts, std::string channel, std::string self,
           ChangeHub& hub, Rng& rng)
    : target_(target),
      timeouts_{.connect = timeouts.connect, .answer = std::min(timeouts.answer, kAnswer)},
      channel_(std::move(channel)),
      self_(std::move(self)),
      hub_(hub),
      backoff_(rng),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this](const std::stop_token& stop) { loop(stop); }) {}

Feed::~Feed() {
  thread_.request_stop();
  wake();
  thread_.join();
  close(wake_fd_);
}

void Feed::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(wake_fd_, &one, sizeof one);
}

void Feed::sleep(Millis most, int socket) {
  pollfd fds[2] = {{wake_fd_, POLLIN, 0}, {socket, POLLIN, 0}};
  poll(fds, socket < 0 ? 1 : 2, static_cast<int>(most.count()));
  std::uint64_t n = 0;
  [[maybe_unused]] const auto got = read(wake_fd_, &n, sizeof n);
}

void Feed::tell(std::span<const Change> changes) {
  if (changes.empty()) return;
  bool first = false;
  {
    const std::scoped_lock lock(mutex_);
    first = std::ranges::all_of(notes_, [](const auto& ids) { return ids.empty(); });
    for (const Change& c : changes) note(c.kind, c.id);
  }
  if (first) wake();
}

void Feed::note(ChangeKind kind, const std::string& id) {
  auto& ids = notes_[static_cast<std::size_t>(kind)];
  // An id with a line break would end its line; and more than fit are told as "anything".
  if (id.empty() || ids.size() >= kMostIds || id.contains('\n')) ids = {""};
  if (!ids.contains("")) ids.insert(id);
}

void Feed::listen() {
  std::unique_lock lock(mutex_);
  wanted_ = true;
  const int before = failures_;
  wake();
  changed_.wait_for(lock, timeouts_.connect, [&] { return listening_ || failures_ > before; });
  if (!listening_) missed_ = true;
}

bool Feed::has_notes() {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(notes_, [](const auto& ids) { return !ids.empty(); });
}

void Feed::publish_anything() {
  std::vector<Change> all;
  for (std::size_t k = 0; k < kKinds; ++k) all.push_back({static_cast<ChangeKind>(k), ""});
  hub_.publish(all);
}

// ---- the thread

void Feed::loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Millis wait{3'600'000};
    if (!connect(wait)) {
      sleep(wait, -1);
      continue;
    }
    const Status ended = serve(stop);
    connection_.reset();
    const std::scoped_lock lock(mutex_);
    if (listening_ && !ended) missed_ = true;
    listening_ = false;
    if (!ended) {
      log::warn("the change feed of the store was cut and is opened again",
                {{"error", ended.error().message}});
    }
  }
}

bool Feed::connect(Millis& wait) {
  {
    const std::scoped_lock lock(mutex_);
    if (!wanted_ && std::ranges::all_of(notes_, [](const auto& ids) { return ids.empty(); })) {
      return false;
    }
  }
  auto opened = Session::open(target_, timeouts_, "");
  Status ready = opened ? Status() : Status(fail(opened.error()));
  // A notification is a hint: it does not wait for the disk.
  if (ready) {
    ready = opened->script(fmt::format("LISTEN {}; SET synchronous_commit = off", channel_));
  }
  bool missed = false;
  {
    const std::scoped_lock lock(mutex_);
    listening_ = ready.has_value();
    failures_ += ready ? 0 : 1;
    missed = ready && std::exchange(missed_, false);
  }
  changed_.notify_all();
  if (!ready) {
    wait = backoff_.next();
    return false;
  }
  backoff_.reset();
  connection_ = std::move(*opened);
  // Whatever changed while nobody listened.
  if (missed) publish_anything();
  return true;
}

Status Feed::serve(const std::stop_token& stop) {
  using Steady = std::chrono::steady_clock;
  auto heard = Steady::now();
  for (;;) {
    TG_CHECK(connection_->notifications([this](std::string_view payload) { hear(payload); }));
    Millis wait = kAskAfter;
    if (has_notes()) {
      wait = std::chrono::ceil<Millis>(last_sent_ + kBetweenSends - Steady::now());
      if (wait <= Millis(0) || stop.stop_requested()) {
        TG_CHECK(send());
        heard = Steady::now();
        continue;
      }
    } else if (Steady::now() - heard >= kAskAfter) {
      TG_TRY(const auto alive, connection_->exec("SELECT 1"));
      heard = Steady::now();
      continue;
    }
    if (stop.stop_requested()) return {};
    sleep(wait, connection_->socket());
  }
}

Status Feed::send() {
  Notes notes;
  {
    const std::scoped_lock lock(mutex_);
    notes = std::exchange(notes_, {});
  }
  const auto text = [&] {
    std::string out = self_;
    for (std::size_t k = 0; k < kKinds; ++k) {
      for (const auto& id : notes[k]) out += fmt::format("\n{}{}", k, id);
    }
    return out;
  };
  std::string payload = text();
  if (payload.size() > kMostPayload) {
    for (auto& ids : notes) {
      if (!ids.empty()) ids = {""};
    }
    payload = text();
  }
  last_sent_ = std::chrono::steady_clock::now();
  const auto sent = connection_->exec("SELECT pg_notify($1, $2)", channel_, payload);
  if (sent) return {};
  // Told again by the next connection, should they have arrived nevertheless.
  const std::scoped_lock lock(mutex_);
  for (std::size_t k = 0; k < kKinds; ++k) {
    for (const auto& id : notes[k]) note(static_cast<ChangeKind>(k), id);
  }
  return fail(sent.error());
}

// The first line names the sender, each other one a kind and an id.
void Feed::hear(std::string_view payload) {
  std::vector<Change> changes;
  std::size_t end = payload.find('\n');
  if (payload.substr(0, end) == self_) return;
  while (end != std::string_view::npos) {
    const std::size_t begin = end + 1;
    end = payload.find('\n', begin);
    const auto line = payload.substr(begin, end == std::string_view::npos ? end : end - begin);
    if (line.empty() || line[0] < '0' || line[0] >= static_cast<char>('0' + kKinds)) continue;
    changes.push_back({static_cast<ChangeKind>(line[0] - '0'), std::string(line.substr(1))});
  }
  hub_.publish(changes);
}

}  // namespace tidegate::store::postgres
