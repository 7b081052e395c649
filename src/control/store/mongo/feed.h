#pragma once
// Changes of this and other processes for watch(): a change stream where the server has them, else
// counters that are looked at every second.

#include <array>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>

#include "control/store/change_hub.h"
#include "control/store/mongo/tx.h"

namespace tidegate::store::mongo {

// Thread-safe.
class Feed {
 public:
  // REQUIRES: pool, hub and rng outlive this.
  Feed(Pool& pool, ChangeHub& hub, Rng& rng, std::string self, bool streams, Millis poll_interval)
      : pool_(pool),
        hub_(hub),
        rng_(rng),
        self_(std::move(self)),
        streams_(streams),
        poll_interval_(poll_interval) {}
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // Of this process's own writes: at once, and only here. `conn` outside of a transaction.
  void tell(Conn& conn, std::span<const Change> changes);
  // Begins to listen to the others, once. What they write after this has returned is told of,
  // unless the server is away.
  void start();

 private:
  struct Stream;
  using Counters = std::array<std::int64_t, 5>;  // by ChangeKind

  void follow(const std::stop_token& stop, std::unique_ptr<Stream> stream);
  std::unique_ptr<Stream> open_stream(std::optional<Bson>& token, Error& error);
  bool next(Stream& stream, std::optional<Bson>& token, const std::stop_token& stop);
  bool deliver(const bson_t& event);
  void tell_all();  // anything may have changed
  void poll(const std::stop_token& stop, std::optional<Counters> seen);
  std::optional<Counters> foreign_changes();
  bool wait(const std::stop_token& stop, Millis span) const;

  Pool& pool_;
  ChangeHub& hub_;
  Rng& rng_;
  const std::string self_;
  const bool streams_;
  const Millis poll_interval_;
  std::mutex own_mutex_;
  Counters own_{};  // raised by this process; guarded by own_mutex_
  std::mutex thread_mutex_;
  std::jthread thread_;
};

}  // namespace tidegate::store::mongo
