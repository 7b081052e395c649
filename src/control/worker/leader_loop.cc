#include "control/worker/leader_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "control/plan/attempt.h"
#include "control/plan/plan.h"

namespace tidegate::worker {
namespace {

constexpr int kMaxRounds = 20;  // of planning between two looks at the lease
constexpr Millis kMaxRoundTime{500};
constexpr std::size_t kOrphansAtOnce = 200;
constexpr Millis kStuckJob{200};  // a round that changed nothing is not repeated at once
constexpr Millis kUnreadableSchedule{600'000};

Millis distance(Millis a, Millis b) { return a > b ? a - b : b - a; }

}  // namespace

LeaderLoop::LeaderLoop(store::Store& store, const Clock& clock, Rng& rng, OwnerId owner,
                       const WorkerOptions& options)
    : store_(store), clock_(clock), rng_(rng), owner_(std::move(owner)), options_(options) {
  if (options_.store_was_away) reap_at_ = clock_.boot_now() + options_.run_ttl;
  publish(kAtOnce);
}

Millis LeaderLoop::step() {
  Millis wait = options_.standby_poll;
  if (!hold_lease()) {
    if (lease_) wait = options_.retry_store;  // not trusted any more, not known to be lost either
  } else {
    if (clock_.boot_now() >= reap_at_) reap_orphans();
    wait = std::min({plan_due(), until(renew_at_), until(reap_at_), options_.reread});
  }
  wait = std::max(wait, kAtOnce);
  publish(wait);
  return wait;
}

void LeaderLoop::release() {
  if (!lease_) return;
  on_store(store_.release_leader(*lease_), "release the leader lease");
  lease_.reset();
  log::info("leadership handed over", {{"owner", owner_.str()}});
  publish(options_.standby_poll);
}

// ---- lease

bool LeaderLoop::hold_lease() {
  if (!lease_) return acquire();
  if (clock_.boot_now() < renew_at_) return trusted();
  return renew();
}

bool LeaderLoop::acquire() {
  const BootInstant sent = clock_.boot_now();
  auto lease = store_.acquire_leader(owner_, options_.leader_ttl);
  on_store(lease ? Status() : fail(lease.error()), "ask for the leader lease");
  if (!lease || !*lease) return false;
  lease_ = **lease;
  trusted_until_ = sent + options_.leader_ttl - options_.lease_margin;
  renew_at_ = sent + options_.leader_renew;
  reap_at_ = std::max(reap_at_, sent);
  offset_.reset();
  new_offset_.reset();
  suspended_ = false;
  log::info("this server leads now", {{"owner", owner_.str()}, {"fence", value(lease_->fence)}});
  return trusted();
}

bool LeaderLoop::renew() {
  const BootInstant sent = clock_.boot_now();
  const Status status = store_.renew_leader(*lease_);
  if (!status && status.error().code == Code::Fenced) {
    lose(status.error().message);
    return false;
  }
  on_store(status, "renew the leader lease");
  if (status) {
    trusted_until_ = sent + options_.leader_ttl - options_.lease_margin;
    renew_at_ = sent + options_.leader_renew;
  } else {
    renew_at_ = sent + options_.retry_store;
  }
  return trusted();
}

void LeaderLoop::lose(std::string_view why) {
  ++stats_.leases_lost;
  lease_.reset();
  log::warn("this server does not lead any more: nothing is planned by it",
            {{"owner", owner_.str()}, {"why", why}});
}

// ---- planning

Millis LeaderLoop::plan_due() {
  const BootInstant began = clock_.boot_now();
  if (began < plan_at_) return plan_at_ - began;
  for (int n = 0; n < kMaxRounds && clock_.boot_now() - began < kMaxRoundTime; ++n) {
    const BootInstant asked = clock_.boot_now();
    auto now = store_.now();
    on_store(now ? Status() : fail(now.error()), "read the store's clock");
    if (!now) return options_.retry_store;
    if (!clock_is_steady(*now, asked)) return options_.leader_renew;
    auto round = plan_round(*now);
    if (!round) {
      if (round.error().code == Code::Fenced) {
        lose(round.error().message);
        return options_.standby_poll;
      }
      return options_.retry_store;
    }
    if (round->jobs > 0 && round->applied == 0) return kStuckJob;
    if (!round->more) return round->next ? *round->next - *now : options_.reread;
  }
  return kAtOnce;
}

Result<LeaderLoop::Round> LeaderLoop::plan_round(Instant now) {
  std::erase_if(set_aside_, [&](const auto& job) { return job.second.until <= clock_.boot_now(); });
  // Those that are set aside stay due, and must not take the places of others.
  const std::size_t batch = options_.plan_batch + set_aside_.size();
  auto due = store_.due_jobs(now, batch);
  on_store(due ? Status() : fail(due.error()), "read due jobs");
  if (!due) return fail(due.error());
  const std::vector<store::PlanStep> steps = make_steps(due->jobs, now);
  Round round{.jobs = steps.size(), .next = due->next, .more = due->jobs.size() >= batch};
  if (steps.empty()) return round;
  // Reading and planning took time: the lease may have run out meanwhile.
  if (!trusted()) return fail(Code::Unavailable, "the leader lease ran out");
  auto results = store_.apply_plan(*lease_, steps);
  if (!results) {
    if (results.error().code != Code::Fenced) on_store(fail(results.error()), "write the plan");
    return fail(results.error());
  }
  for (std::size_t i = 0; i < steps.size() && i < results->size(); ++i) {
    if ((*results)[i] != store::PlanResult::Applied) {
      round.more = true;  // the job changed meanwhile: read it again
      continue;
    }
    ++round.applied;
    stats_.runs_planned += steps[i].runs.size();
    const auto& next = steps[i].next_slot;
    if (!next) continue;
    round.more = round.more || *next <= now;
    round.next = round.next ? std::min(*round.next, *next) : *next;
  }
  return round;
}

std::vector<store::PlanStep> LeaderLoop::make_steps(const std::vector<store::PlanView>& jobs,
                                                    Instant now) {
  std::vector<store::PlanStep> steps;
  steps.reserve(jobs.size());
  const plan::NewRunId new_run = [this] { return new_id<RunId>(clock_, rng_); };
  for (const store::PlanView& view : jobs) {
    if (is_set_aside(view.job)) continue;
    auto step = plan::plan(view, now, options_.plan_limits, new_run);
    if (!step) {
      set_aside(view.job, step.error());
    } else if (*step) {
      steps.push_back(std::move(**step));
    }
  }
  return steps;
}

bool LeaderLoop::is_set_aside(const model::SyncJob& job) const {
  const auto it = set_aside_.find(job.id);
  return it != set_aside_.end() && it->second.revision == job.revision;
}

// Validated when it was saved; a zone may have vanished from the machine's database since. Its
// slots stay due, so that each gets its outcome once the schedule can be read again.
void LeaderLoop::set_aside(const model::SyncJob& job, const Error& why) {
  set_aside_[job.id] = {job.revision, clock_.boot_now() + kUnreadableSchedule};
  log::error("a job's schedule cannot be read; nothing of it is planned until it can",
             {{"job", job.id.str()}, {"error", describe(why)}});
}

bool LeaderLoop::differ(const Offset& a, const Offset& b) const {
  return distance(a.by, b.by) > options_.max_drift + a.slack + b.slack;
}

bool LeaderLoop::clock_is_steady(Instant wall, BootInstant asked) {
  const BootInstant boot = clock_.boot_now();
  // The store read its clock at some time between the question and the answer.
  const Millis slack = (boot - asked) / 2;
  const Offset offset{wall.time_since_epoch() - (asked + slack).time_since_epoch(), slack};
  if (!offset_ || !differ(offset, *offset_)) {
    if (suspended_) log::info("the clock is back; planning goes on");
    offset_ = offset;  // follows a slow correction
    new_offset_.reset();
    suspended_ = false;
    return true;
  }
  if (!new_offset_ || differ(offset, *new_offset_)) {
    new_offset_ = offset;
    new_offset_since_ = boot;
    log::warn("the wall clock was stepped; planning waits until it holds",
              {{"byMs", (offset.by - offset_->by).count()}});
  }
  suspended_ = boot - new_offset_since_ < options_.drift_confirm;
  if (!suspended_) {
    log::warn("the stepped clock is confirmed; planning goes on");
    offset_ = offset;
    new_offset_.reset();
  }
  return !suspended_;
}

// ---- orphans

void LeaderLoop::reap_orphans() {
  const BootInstant next = reap_at_ = clock_.boot_now() + options_.orphan_poll;
  auto expired = store_.expired_runs(kOrphansAtOnce);
  on_store(expired ? Status() : fail(expired.error()), "look for orphaned runs");
  if (!expired || expired->empty()) return;
  // Put off: this was the first answer after an outage.
  if (reap_at_ != next || !trusted()) return;
  std::vector<store::OrphanDecision> decisions;
  for (const store::ClaimedRun& run : *expired) decisions.push_back(plan::on_orphan(run.run));
  auto released = store_.release_orphans(*lease_, decisions);
  if (!released) {
    if (released.error().code == Code::Fenced) return lose(released.error().message);
    return on_store(fail(released.error()), "release orphaned runs");
  }
  stats_.orphans_released += *released;
  if (*released > 0) {
    log::warn("runs whose worker is gone start again",
              {{"runs", static_cast<std::int64_t>(*released)}});
  }
  if (expired->size() == kOrphansAtOnce) reap_at_ = clock_.boot_now();
}

// ---- health

// After an outage nobody could renew: the leases of live workers have run out too, so the reaper
// gives them one full time to live.
void LeaderLoop::on_store(const Status& status, std::string_view doing) {
  const BootInstant now = clock_.boot_now();
  if (status) {
    if (failing_since_ && now - *failing_since_ >= options_.run_renew) {
      reap_at_ = now + options_.run_ttl;
    }
    // Runs that ended meanwhile are written first: else they would seem to overlap what is due.
    if (failing_since_ && now - *failing_since_ >= options_.retry_store) {
      plan_at_ = now + 2 * options_.retry_store;
    }
    if (failing_since_) log::info("the store answers again", {{"doing", doing}});
    failing_since_.reset();
    return;
  }
  if (!failing_since_) {
    failing_since_ = now;
    log::warn("the store failed", {{"doing", doing}, {"error", describe(status.error())}});
  }
  failing_why_ = fmt::format("cannot {}: {}", doing, status.error().message);
}

Millis LeaderLoop::until(BootInstant when) const { return when - clock_.boot_now(); }

void LeaderLoop::publish(Millis wait) {
  const std::lock_guard lock(mutex_);
  const BootInstant now = clock_.boot_now();
  shared_ = {.stepped_at = now,
             .wake_at = now + wait,
             .trusted_until = trusted_until_,
             .leading = lease_.has_value(),
             .suspended = suspended_,
             .failing_since = failing_since_,
             .failing_why = failing_why_,
             .stats = stats_};
}

bool LeaderLoop::leading() const {
  const std::lock_guard lock(mutex_);
  return shared_.leading && clock_.boot_now() < shared_.trusted_until;
}

PlannerStats LeaderLoop::stats() const {
  const std::lock_guard lock(mutex_);
  return shared_.stats;
}

PlannerHealth LeaderLoop::health() const {
  const std::lock_guard lock(mutex_);
  const BootInstant now = clock_.boot_now();
  PlannerHealth health{.leading = shared_.leading && now < shared_.trusted_until};
  if (now - shared_.wake_at > options_.frozen_after) {
    health.reason =
        fmt::format("the planner gave no sign of life for {}",
                    format_duration(std::chrono::round<Seconds>(now - shared_.stepped_at)));
  } else if (shared_.failing_since && now - *shared_.failing_since > options_.frozen_after) {
    health.reason = shared_.failing_why;
  } else if (shared_.suspended) {
    health.reason = "the wall clock was stepped; planning waits until it holds";
  } else {
    health.ready = true;
  }
  return health;
}

}  // namespace tidegate::worker
