#pragma once
// One suite for every store (GoogleTest abstract tests). A store's test file writes
//   INSTANTIATE_TEST_SUITE_P(Memory, StoreContract, testing::Values(ContractParam{"memory",
//   make}));
// and links this library whole.

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/time.h"
#include "control/store/store.h"

namespace tidegate::store::contract {

// Stands still until it is moved. Thread-safe. `moved` is told the new wall time: a store whose
// clock is a server's is moved along.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Instant start, std::function<void(Instant)> moved = {})
      : moved_(std::move(moved)), wall_(to_ms(start)) {}
  Instant now() const override { return from_ms(wall_); }
  BootInstant boot_now() const override { return BootInstant(Millis(boot_.load())); }
  void advance(Millis by) {
    boot_ += by.count();
    step_wall(by);
  }
  void step_wall(Millis by) {  // as NTP or an operator does
    wall_ += by.count();
    if (moved_) moved_(now());
  }

 private:
  const std::function<void(Instant)> moved_;
  std::atomic<std::int64_t> wall_;
  std::atomic<std::int64_t> boot_{1'000'000};
};

// One empty store, and a second handle on it as another process would have.
class Harness {
 public:
  virtual ~Harness() = default;
  virtual Store& store() = 0;
  virtual Store& other() = 0;
  virtual ManualClock& clock() = 0;
};

struct ContractParam {
  std::string name;
  std::function<std::unique_ptr<Harness>()> make;
};

class StoreContract : public testing::TestWithParam<ContractParam> {
 protected:
  void SetUp() override;

  Store& store() { return harness_->store(); }
  Store& other() { return harness_->other(); }
  ManualClock& clock() { return harness_->clock(); }
  Instant now() { return clock().now(); }

  // The workspace `default`, with one source and one destination.
  model::Connection connection(const std::string& id, model::ConnectionKind kind) const;
  model::SyncJob job(const std::string& id) const;
  JobId add(const model::SyncJob& job);
  // A leader for the planning helpers; taken once.
  LeaderLease leader();
  // Plans one run for each of `slots`, each in its own step.
  void plan(const JobId& job, std::initializer_list<Instant> slots);
  PlanStep step(const JobId& job);  // reads the job; no effect but a new next_slot one minute on
  RunId trigger(const JobId& job, const std::string& run);
  std::vector<ClaimedRun> claim(const std::string& owner, std::size_t max = 100);
  Status finish(const ClaimedRun& run, model::RunState state);
  model::Run run(const RunId& id);
  model::SyncJob reread(const JobId& id);

  WorkspaceId ws_;
  Instant base_;  // the clock's start, a whole minute

 private:
  std::unique_ptr<Harness> harness_;
  std::optional<LeaderLease> lease_;
};

// Collects changes and lets a test wait for one. A hint of a whole kind counts for every id.
class Listener {
 public:
  ChangeHandler handler();
  bool wait_for(ChangeKind kind, const std::string& id);
  std::vector<Change> take();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Change> seen_;
};

HeldRun held(const ClaimedRun& run);
// An end of `run` in `state`, with the outcome's name and for failures an error.
AttemptEnd end_of(const ClaimedRun& run, model::RunState state);
// A source or destination state as a commit reports it.
protocol::KnownState known(std::int64_t epoch, std::int64_t sequence);

// The value of a Result, or a failed test and an exception that ends it.
template <class T>
T must(Result<T> r) {
  if (!r) throw std::runtime_error(describe(r.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}
inline Code code_of(const Status& s) { return s ? Code{255} : s.error().code; }
template <class T>
Code code_of(const Result<T>& r) {
  return r ? Code{255} : r.error().code;
}
template <class T>
std::string reason_of(const Result<T>& r) {
  return r ? "none" : std::string(r.error().slug());
}

}  // namespace tidegate::store::contract

namespace tidegate::store {
using contract::ContractParam;
using contract::StoreContract;
}  // namespace tidegate::store
