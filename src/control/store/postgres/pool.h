#pragma once
// A bounded set of connections. Broken ones are thrown away; while the server cannot be reached,
// attempts come with growing, jittered pauses and whoever asks in between gets the last error at
// once.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "control/store/postgres/session.h"

namespace tidegate::store::postgres {

// Exponential with jitter: between half of and the whole step.
class Backoff {
 public:
  explicit Backoff(Rng& rng) : rng_(rng) {}
  Millis next();
  void reset() { step_ = kFirst; }

 private:
  static constexpr Millis kFirst{50}, kMost{5'000};
  Rng& rng_;
  Millis step_{kFirst};
};

// Thread-safe.
class Pool {
 public:
  // REQUIRES: target and rng outlive the pool.
  Pool(const Target& target, const Timeouts& timeouts, std::string schema, std::size_t size,
       Rng& rng);

  // Returns its connection to the pool when it is destroyed.
  class Lease {
   public:
    Lease(Pool& pool, std::unique_ptr<Session> c, bool slow)
        : pool_(&pool), connection_(std::move(c)), slow_(slow) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (connection_) pool_->give_back(std::move(connection_), slow_);
    }
    Session& operator*() const { return *connection_; }
    Session* operator->() const { return connection_.get(); }

   private:
    Pool* pool_;
    std::unique_ptr<Session> connection_;
    bool slow_;
  };

  // Lists and searches may take long: they get half of the connections at the most, so that neither
  // a lease nor a slot waits for one.
  enum class Use : std::uint8_t { Quick, Slow };
  Result<Lease> acquire(Use use);

 private:
  using Steady = std::chrono::steady_clock;
  void give_back(std::unique_ptr<Session> connection, bool slow);
  bool free(bool slow) const;  // REQUIRES: the mutex
  Result<std::unique_ptr<Session>> open();
  std::unexpected<Error> exhausted() const;

  const Target& target_;
  const Timeouts timeouts_;
  const std::string schema_;
  const std::size_t size_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<Session>> idle_;
  std::size_t used_ = 0, slow_ = 0;
  Backoff backoff_;
  Steady::time_point retry_at_{};
  Error last_error_;
};

}  // namespace tidegate::store::postgres
