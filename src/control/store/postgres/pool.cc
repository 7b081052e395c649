#include "control/store/postgres/pool.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidegate::store::postgres {
namespace {

// After the server had its chance to end a long statement itself.
constexpr Millis kAnswerMargin{5'000};

}  // namespace

Millis Backoff::next() {
  const Millis step = step_;
  step_ = std::min(step_ * 2, kMost);
  const auto half = static_cast<std::uint64_t>(step.count() / 2);
  return step / 2 + Millis(static_cast<std::int64_t>(rng_.below(half + 1)));
}

Pool::Pool(const Target& target, const Timeouts& timeouts, std::string schema, std::size_t size,
           Rng& rng)
    : target_(target),
      timeouts_(timeouts),
      schema_(std::move(schema)),
      size_(std::max<std::size_t>(size, 2)),
      backoff_(rng) {}

bool Pool::free(bool slow) const {
  return used_ < size_ && (!slow || slow_ < std::max<std::size_t>(size_ / 2, 1));
}

std::unexpected<Error> Pool::exhausted() const {
  return fail(Code::Unavailable,
              fmt::format("all {} connections of this server to {} are in use; try again, or raise "
                          "the pool's size",
                          size_, target_.name()),
              "store_busy");
}

Result<Pool::Lease> Pool::acquire(Use use) {
  const bool slow = use == Use::Slow;
  const Millis answer = slow ? timeouts_.statement + kAnswerMargin : timeouts_.answer;
  const auto lend = [&](std::unique_ptr<Session> connection) {
    connection->answer_within(answer);
    return Lease(*this, std::move(connection), slow);
  };
  std::unique_lock lock(mutex_);
  if (!freed_.wait_for(lock, timeouts_.lock, [&] { return free(slow); })) return exhausted();
  ++used_;
  slow_ += slow ? 1 : 0;
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->usable()) return lend(std::move(connection));
  }
  lock.unlock();
  auto opened = open();
  if (opened) return lend(std::move(*opened));
  give_back(nullptr, slow);
  return fail(std::move(opened.error()));
}

Result<std::unique_ptr<Session>> Pool::open() {
  {
    const std::scoped_lock lock(mutex_);
    if (Steady::now() < retry_at_) return fail(last_error_);
  }
  auto opened = Session::open(target_, timeouts_, schema_);
  const std::scoped_lock lock(mutex_);
  if (opened) {
    backoff_.reset();
    retry_at_ = {};
    return std::make_unique<Session>(std::move(*opened));
  }
  retry_at_ = Steady::now() + backoff_.next();
  // A password or a database may be put right while this process runs: to the callers the store is
  // away, not wrong.
  last_error_ = std::move(opened.error());
  last_error_.code = Code::Unavailable;
  return fail(last_error_);
}

void Pool::give_back(std::unique_ptr<Session> connection, bool slow) {
  const bool keep = connection && connection->usable();
  std::vector<std::unique_ptr<Session>> suspect;
  {
    const std::scoped_lock lock(mutex_);
    --used_;
    slow_ -= slow ? 1 : 0;
    if (keep) {
      idle_.push_back(std::move(connection));
    } else if (connection && connection->broken()) {
      // What killed one has mostly killed all, and each would cost its caller the whole time-out.
      suspect.swap(idle_);
    }
  }
  // Both kinds wait on one condition.
  freed_.notify_all();
}

}  // namespace tidegate::store::postgres
