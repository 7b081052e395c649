#pragma once
// Holds the scheduler lease and, while it does, turns due slots into runs and orphans into new
// attempts. Steps over Store and Clock: no thread, no sleep.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/store/store.h"
#include "control/worker/options.h"

namespace tidegate::worker {

struct PlannerHealth {
  bool ready = false;
  std::string reason;  // why not
  bool leading = false;
};

struct PlannerStats {
  std::uint64_t runs_planned = 0;
  std::uint64_t orphans_released = 0;
  std::uint64_t leases_lost = 0;
};

// step() and release() from one thread; the others from any.
class LeaderLoop {
 public:
  // REQUIRES: everything outlives this.
  LeaderLoop(store::Store& store, const Clock& clock, Rng& rng, OwnerId owner,
             const WorkerOptions& options);

  Millis step();
  // Hands the lease over at once, if this holds it.
  void release();

  bool leading() const;  // holds a lease that it may still trust
  PlannerHealth health() const;
  PlannerStats stats() const;

 private:
  struct Offset {
    Millis by{0};     // the store's wall clock − the boot clock
    Millis slack{0};  // how far off that may be
  };

  bool hold_lease();
  bool acquire();
  bool renew();
  void lose(std::string_view why);
  bool trusted() const { return lease_ && clock_.boot_now() < trusted_until_; }

  Millis plan_due();
  struct Round {
    std::size_t jobs = 0, applied = 0;
    std::optional<Instant> next;
    bool more = false;  // a full batch, or a job that has more due slots
  };
  Result<Round> plan_round(Instant now);
  std::vector<store::PlanStep> make_steps(const std::vector<store::PlanView>& jobs, Instant now);
  bool is_set_aside(const model::SyncJob& job) const;
  void set_aside(const model::SyncJob& job, const Error& why);
  bool differ(const Offset& a, const Offset& b) const;
  // `wall`: the answer of the store, which was asked at `asked`.
  bool clock_is_steady(Instant wall, BootInstant asked);

  void reap_orphans();
  void on_store(const Status& status, std::string_view doing);
  Millis until(BootInstant when) const;
  void publish(Millis wait);

  store::Store& store_;
  const Clock& clock_;
  Rng& rng_;
  const OwnerId owner_;
  const WorkerOptions& options_;

  std::optional<store::LeaderLease> lease_;
  BootInstant renew_at_, trusted_until_, reap_at_, plan_at_;
  std::optional<BootInstant> failing_since_;  // the store's errors
  std::string failing_why_;
  std::optional<Offset> offset_, new_offset_;
  BootInstant new_offset_since_;
  bool suspended_ = false;  // the clock is not trusted
  // Due jobs whose schedule cannot be read: they keep their slots and are tried again then.
  struct SetAside {
    std::int64_t revision = 0;
    BootInstant until;
  };
  std::map<JobId, SetAside> set_aside_;

  mutable std::mutex mutex_;
  struct Shared {
    BootInstant stepped_at, wake_at, trusted_until;
    bool leading = false, suspended = false;
    std::optional<BootInstant> failing_since;
    std::string failing_why;
    PlannerStats stats;
  } shared_;  // guarded by mutex_
  PlannerStats stats_;
};

}  // namespace tidegate::worker
