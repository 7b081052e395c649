#pragma once
// The change feed: tells other processes of this one's commits and hears of theirs, over one
// connection with its own thread. NOTIFY in every transaction would serialize all commits and halve
// the throughput, so commits only leave a note here; notes go out together, every 5 ms at the most.

#include <array>
#include <condition_variable>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>

#include "control/store/change_hub.h"
#include "control/store/postgres/pool.h"

namespace tidegate::store::postgres {

// Thread-safe.
class Feed {
 public:
  // `self` names this process: what it sent comes back and is not told again. REQUIRES: target, hub
  // and rng outlive the feed.
  Feed(const Target& target, const Timeouts& timeouts, std::string channel, std::string self,
       ChangeHub& hub, Rng& rng);
  ~Feed();

  // After a commit; never blocks.
  void tell(std::span<const Change> changes);
  // Returns once others' changes arrive, or when that could not be had within the time to connect;
  // then a hint for everything follows as soon as they do.
  void listen();

 private:
  static constexpr std::size_t kKinds = 5;
  using Notes = std::array<std::set<std::string>, kKinds>;

  void note(ChangeKind kind, const std::string& id);  // REQUIRES: the mutex
  void loop(const std::stop_token& stop);
  // Connects when there is something to do; false: wait for so long.
  bool connect(Millis& wait);
  Status serve(const std::stop_token& stop);
  Status send();
  void hear(std::string_view payload);
  void publish_anything();
  void wake();
  void sleep(Millis most, int socket);  // until woken, or the socket can be read
  bool has_notes();

  const Target& target_;
  const Timeouts timeouts_;
  const std::string channel_, self_;
  ChangeHub& hub_;
  Backoff backoff_;
  int wake_fd_;
  std::optional<Session> connection_;  // of the thread
  std::chrono::steady_clock::time_point last_sent_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  Notes notes_;
  bool wanted_ = false, listening_ = false;
  int failures_ = 0;
  bool missed_ = false;  // somebody subscribed, or was subscribed, while nobody listened
  std::jthread thread_;
};

}  // namespace tidegate::store::postgres
