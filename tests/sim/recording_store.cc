#include "tests/sim/recording_store.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidegate::sim {
namespace {

std::string text(const store::HeldRun& held) {
  return fmt::format("run {} under fence {}", held.run.str(), value(held.fence));
}

// Until when the schedule has been planned.
Instant planned_until(const model::SyncJob& job) {
  return job.next_slot ? *job.next_slot - Millis(1) : Instant::max();
}

}  // namespace

void RecordingStore::violation(const std::string& what) {
  report_.violation(fmt::format("at {}: {}", format_duration(passed_()), what));
}

Millis RecordingStore::lease_of(const RunId& run, Fence fence) const {
  const auto at = leases_.find({run, fence});
  return at == leases_.end() ? Millis(-1) : at->second;
}

Millis RecordingStore::lease_of_leader(const OwnerId& owner) const {
  const auto at = leader_leases_.find(owner);
  return at == leader_leases_.end() ? Millis(-1) : at->second;
}

// ---- jobs

std::vector<Era> RecordingStore::eras(const JobId& job) const {
  const auto at = eras_.find(job);
  return at == eras_.end() ? std::vector<Era>{} : at->second;
}

Result<store::Created<JobId>> RecordingStore::create_job(const model::SyncJob& job,
                                                         const Once& once) {
  auto created = FaultyStore::create_job(job, once);
  if (created && !created->replayed) {
    eras_[job.id] = {{job.spec.schedule, job.created_at, Instant::max()}};
  }
  return created;
}

Result<model::SyncJob> RecordingStore::update_job(const UpdateJob& update) {
  const auto before = FaultyStore::get_job(update.workspace, update.id);
  auto after = FaultyStore::update_job(update);
  if (!after || !update.reschedule) return after;
  report_.note("update_job", to_ms(update.at));
  std::vector<Era>& eras = eras_[update.id];
  eras.back().until = std::max(update.at, planned_until(*before));
  eras.push_back({update.spec.schedule, update.at, Instant::max()});
  return after;
}

Status RecordingStore::delete_job(const Ws& ws, const JobId& id, If revision) {
  const auto before = FaultyStore::get_job(ws, id);
  Status done = FaultyStore::delete_job(ws, id, revision);
  if (done && before) eras_[id].back().until = planned_until(*before);
  return done;
}

// ---- the leader

Result<std::optional<store::LeaderLease>> RecordingStore::acquire_leader(const OwnerId& owner,
                                                                         Millis ttl) {
  auto lease = FaultyStore::acquire_leader(owner, ttl);
  if (!lease || !*lease) return lease;
  if ((*lease)->owner != leader_ || (*lease)->fence != leader_fence_) {
    report_.note("leader", value((*lease)->fence));
    if (!leader_.empty() && leader_until_ > passed_()) {
      violation(
          fmt::format("{} leads although the lease of {} is good", owner.str(), leader_.str()));
    }
    if ((*lease)->fence <= leader_fence_) violation("a new leader got no greater fence");
  }
  leader_ = owner;
  leader_fence_ = (*lease)->fence;
  leader_until_ = leader_leases_[owner] = passed_() + ttl;
  return lease;
}

Status RecordingStore::renew_leader(const store::LeaderLease& lease) {
  Status done = FaultyStore::renew_leader(lease);
  if (!done) return done;
  if (!leads(lease)) violation("the lease of a leader was renewed that was replaced");
  leader_until_ = leader_leases_[lease.owner] = passed_() + lease.ttl;
  return done;
}

Status RecordingStore::release_leader(const store::LeaderLease& lease) {
  Status done = FaultyStore::release_leader(lease);
  if (done && leads(lease)) leader_until_ = leader_leases_[lease.owner] = passed_();
  return done;
}

RecordingStore::List<store::PlanResult> RecordingStore::apply_plan(
    const store::LeaderLease& lease, std::span<const store::PlanStep> steps) {
  auto results = FaultyStore::apply_plan(lease, steps);
  if (!results) return results;
  if (!leads(lease)) violation("a leader that was replaced wrote a plan");
  for (const store::PlanStep& step : steps) {
    report_.note(step.job.str(), step.next_slot ? to_ms(*step.next_slot) : 0);
  }
  return results;
}

// ---- attempts

void RecordingStore::begin(const store::ClaimedRun& claimed, const store::ClaimParams& params) {
  const model::Run& run = claimed.run;
  const store::HeldRun held{run.id, run.fence};
  report_.note(run.id.str(), value(run.fence));
  report_.attempts += 1;
  if (run.fence <= fences_[run.job]) {
    violation(fmt::format("{} is not greater than {}, which its job had", text(held),
                          value(fences_[run.job])));
  }
  fences_[run.job] = std::max(fences_[run.job], run.fence);
  const bool allows = claimed.spec->overlap == model::Overlap::Allow;
  for (const auto& [id, other] : running_) {
    const bool same_job = other.job == run.job && !(allows && other.allows_overlap);
    const bool same_key = !run.exclusive_key.empty() && other.key == run.exclusive_key;
    if (id == run.id || same_job || same_key) {
      violation(fmt::format("{} starts while {} executes", text(held), text({id, other.fence})));
    }
  }
  running_[run.id] = {run.job, run.fence, params.owner, run.exclusive_key, allows};
  leases_[{run.id, run.fence}] = passed_() + params.lease_ttl;
}

Result<RecordingStore::Claim> RecordingStore::claim_runs(const store::ClaimParams& params) {
  auto claim = FaultyStore::claim_runs(params);
  if (!claim) return claim;
  if (claim->runs.size() > params.max) violation("more runs were given than were asked for");
  for (const store::ClaimedRun& claimed : claim->runs) begin(claimed, params);
  return claim;
}

bool RecordingStore::holds(const RunId& run, Fence fence) const {
  const auto at = running_.find(run);
  return at != running_.end() && at->second.fence == fence;
}

RecordingStore::List<store::RenewOutcome> RecordingStore::renew_runs(
    const OwnerId& owner, Millis ttl, std::span<const store::Renewal> renewals) {
  auto outcomes = FaultyStore::renew_runs(owner, ttl, renewals);
  if (!outcomes) return outcomes;
  for (std::size_t i = 0; i < outcomes->size() && i < renewals.size(); ++i) {
    const store::HeldRun& held = renewals[i].held;
    const bool owns = holds(held.run, held.fence) && running_.at(held.run).owner == owner;
    if ((*outcomes)[i].held != owns) {
      violation(fmt::format("{}: a renewal was {}", text(held),
                            owns ? "refused to its owner" : "granted to one who lost it"));
    }
    if (owns) leases_[{held.run, held.fence}] = passed_() + ttl;
  }
  return outcomes;
}

void RecordingStore::end(const store::AttemptEnd& end) {
  const auto [run, fence] = end.held;
  report_.note(run.str(), -value(fence));
  if (!holds(run, fence)) {
    const auto last = ended_.find(run);
    if (last == ended_.end() || last->second != std::pair(fence, end.outcome)) {
      violation(
          fmt::format("the end of {} was taken from a worker that had lost it", text(end.held)));
    }
    return;  // a repeated one
  }
  if (end.next == model::RunState::Succeeded && !completed_(run, fence)) {
    violation(fmt::format("{} succeeded without the last commit", text(end.held)));
  }
  running_.erase(run);
  ended_[run] = {fence, end.outcome};
}

RecordingStore::List<Status> RecordingStore::finish_attempts(
    std::span<const store::AttemptEnd> ends) {
  auto statuses = FaultyStore::finish_attempts(ends);
  if (!statuses) return statuses;
  for (std::size_t i = 0; i < statuses->size() && i < ends.size(); ++i) {
    if ((*statuses)[i]) end(ends[i]);
  }
  return statuses;
}

Result<std::size_t> RecordingStore::release_orphans(
    const store::LeaderLease& lease, std::span<const store::OrphanDecision> decisions) {
  auto released = FaultyStore::release_orphans(lease, decisions);
  if (!released) return released;
  if (!leads(lease)) violation("a leader that was replaced released orphans");
  for (const store::OrphanDecision& decision : decisions) {
    const auto [id, fence] = decision.held;
    if (!holds(id, fence)) continue;
    const auto run = FaultyStore::get_run({}, id);
    if (!run || (run->state == model::RunState::Running && run->fence == fence)) continue;
    if (lease_of(id, fence) > passed_()) {
      violation(
          fmt::format("{} was called an orphan although its lease is good", text(decision.held)));
    }
    running_.erase(id);
    ended_[id] = {fence, decision.end.outcome};
  }
  return released;
}

Status RecordingStore::append_log(const store::HeldRun& held,
                                  std::span<const model::RunLogLine> lines, std::size_t max_bytes) {
  Status done = FaultyStore::append_log(held, lines, max_bytes);
  if (done && !holds(held.run, held.fence)) {
    violation(fmt::format("{}: lines were written to its log by one who had lost it", text(held)));
  }
  return done;
}

}  // namespace tidegate::sim
