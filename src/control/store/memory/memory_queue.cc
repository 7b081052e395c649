#include <algorithm>

#include "control/store/memory/memory_state.h"

namespace tidegate::store {

using model::Run;
using model::RunState;

namespace {

Instant queue_order(const Run& run) { return run.scheduled_for.value_or(run.created_at); }

}  // namespace

// ---- leader lease

Result<std::optional<LeaderLease>> MemoryStore::acquire_leader(const OwnerId& owner, Millis ttl) {
  const std::scoped_lock lock(mutex_);
  const BootInstant now = clock_.boot_now();
  if (leader_.owner != owner) {
    if (!leader_.owner.empty() && leader_.until > now) return std::nullopt;
    leader_.owner = owner;
    leader_.fence = rules::next_fence(leader_.fence, clock_.now());
    leader_.acquired_at = clock_.now();
  }
  leader_.until = now + ttl;
  return LeaderLease{owner, leader_.fence, ttl};
}

bool MemoryStore::is_leader(const LeaderLease& lease) const {
  return leader_.owner == lease.owner && leader_.fence == lease.fence;
}

Status MemoryStore::renew_leader(const LeaderLease& lease) {
  const std::scoped_lock lock(mutex_);
  if (!is_leader(lease)) return rules::leader_fenced();
  leader_.until = clock_.boot_now() + lease.ttl;
  return {};
}

Status MemoryStore::release_leader(const LeaderLease& lease) {
  const std::scoped_lock lock(mutex_);
  if (is_leader(lease)) leader_.owner = OwnerId();
  return {};
}

// ---- planning

Result<QueueStore::Due> MemoryStore::due_jobs(Instant now, std::size_t limit) {
  const std::scoped_lock lock(mutex_);
  Due due;
  std::vector<const JobRow*> rows;
  for (const auto& [id, row] : jobs_) {
    if (row.deleted || !row.job.next_slot) continue;
    if (*row.job.next_slot <= now) {
      rows.push_back(&row);
    } else if (!due.next || *row.job.next_slot < *due.next) {
      due.next = row.job.next_slot;
    }
  }
  std::ranges::sort(rows, {},
                    [](const JobRow* r) { return std::pair{*r->job.next_slot, r->job.id}; });
  if (rows.size() > limit) rows.resize(limit);
  for (const JobRow* row : rows) {
    PlanView view{row->job, {}};
    for (const auto& [at, id] : row->runs) {
      if (row->active.contains(id)) view.active.push_back(runs_.at(id).run);
    }
    due.jobs.push_back(std::move(view));
  }
  return due;
}

RunRow& MemoryStore::insert_run(JobRow& row, const NewRun& added, Instant now) {
  RunRow& run_row = runs_[added.id];
  run_row.run = rules::new_run(row.job.id, row.job.workspace, row.job.revision, added, now);
  if (added.slot) row.by_slot[*added.slot] = added.id;
  row.runs.emplace(now, added.id);
  row.active.insert(added.id);
  queued_.emplace(queue_order(run_row.run), added.id);
  return run_row;
}

bool MemoryStore::slot_known(const JobRow& row, Instant slot) const {
  if (row.by_slot.contains(slot)) return true;
  auto it = row.records.upper_bound(slot);
  return it != row.records.begin() && std::prev(it)->second.last >= slot;
}

void MemoryStore::add_record(JobRow& row, model::SlotRecord record) {
  record.job = row.job.id;
  if (!row.records.empty()) {
    model::SlotRecord& newest = row.records.rbegin()->second;
    const auto between = row.by_slot.upper_bound(newest.last);
    if (rules::extends(newest, record) &&
        (between == row.by_slot.end() || between->first >= record.first)) {
      newest.last = record.last;
      newest.count += record.count;
      return;
    }
  }
  row.records[record.first] = std::move(record);
}

bool MemoryStore::step_applies(const JobRow& row, const PlanStep& step) const {
  if (row.deleted ||
      std::ranges::any_of(step.runs, [&](const NewRun& run) { return runs_.contains(run.id); })) {
    return false;
  }
  std::map<RunId, RunState> active;
  for (const RunId& id : row.active) active.emplace(id, runs_.at(id).run.state);
  return rules::step_applies(step, row.job.revision, row.job.next_slot, active);
}

void MemoryStore::left_active(JobRow& row, const Run& run) {
  row.active.erase(run.id);
  rules::account(row.job, run);
}

void MemoryStore::supersede(JobRow& row, const RunId& id, std::string_view why, Write& write) {
  const auto it = runs_.find(id);
  if (it == runs_.end() || it->second.run.state != RunState::Queued) return;
  queued_.erase({queue_order(it->second.run), id});
  rules::supersede(it->second.run, why, clock_.now());
  left_active(row, it->second.run);
  write.note(ChangeKind::Run, id.str());
}

void MemoryStore::apply(JobRow& row, const PlanStep& step, Write& write) {
  const Instant now = clock_.now();
  for (const RunId& id : step.supersede) supersede(row, id, rules::kReplacedBySlot, write);
  for (const RunId& id : step.cancel) {
    const auto it = runs_.find(id);
    if (it == runs_.end() || it->second.run.state != RunState::Running) continue;
    it->second.run.cancel_requested = true;
    write.note(ChangeKind::Run, id.str());
  }
  for (const NewRun& run : step.runs) {
    insert_run(row, run, now);
    write.note(ChangeKind::Run, run.id.str());
  }
  for (const auto& record : step.records) add_record(row, record);
  row.job.next_slot = step.next_slot;
  if (step.clear_pause) row.job.pause.reset();
}

Result<std::vector<PlanResult>> MemoryStore::apply_plan(const LeaderLease& lease,
                                                        std::span<const PlanStep> steps) {
  Write write(*this);
  if (!is_leader(lease)) return rules::leader_fenced();
  std::vector<PlanResult> results;
  for (const PlanStep& step : steps) {
    const auto it = jobs_.find(step.job);
    if (it == jobs_.end() || !step_applies(it->second, step)) {
      results.push_back(PlanResult::Stale);
      continue;
    }
    std::set<Instant> known = rules::slots_of(step);
    std::erase_if(known, [&](Instant slot) { return !slot_known(it->second, slot); });
    PlanStep fresh = step;
    rules::drop_known_slots(fresh, known);
    apply(it->second, fresh, write);
    results.push_back(PlanResult::Applied);
  }
  return results;
}

// ---- execution

// Queued, and its job does not let it start.
bool MemoryStore::is_held(const Run& run) const {
  const model::SyncJob& job = jobs_.at(run.job).job;
  return run.state == RunState::Queued &&
         rules::is_held(job.spec.enabled, job.pause, run.trigger, clock_.now());
}

bool MemoryStore::may_start(const Run& run) const {
  if (is_held(run)) return false;
  const JobRow& row = jobs_.at(run.job);
  const auto overlaps = [&](const Run& r) {
    return rules::allows_overlap(row.revisions.at(r.job_revision));
  };
  const auto& key =
      connections_.at(row.revisions.at(run.job_revision).destination_id).exclusive_key;
  return std::ranges::none_of(running_, [&](const RunId& id) {
    const Run& other = runs_.at(id).run;
    if (!key.empty() && other.exclusive_key == key) return true;
    return other.job == run.job && !(overlaps(run) && overlaps(other));
  });
}

ClaimedRun MemoryStore::claimed(const Run& run) const {
  const JobRow& row = jobs_.at(run.job);
  const model::JobSpec& spec = row.revisions.at(run.job_revision);
  const auto connection = [&](const ConnectionId& id) {
    return std::make_shared<const model::Connection>(connections_.at(id));
  };
  return {.run = run,
          .spec = std::make_shared<const model::JobSpec>(spec),
          .source = connection(spec.source_id),
          .destination = connection(spec.destination_id),
          .reset_epoch = row.job.reset_epoch,
          .known_state = row.job.known_state};
}

Result<QueueStore::Claim> MemoryStore::claim_runs(const ClaimParams& params) {
  Write write(*this);
  Claim claim;
  const Instant now = clock_.now();
  const auto order = queued_;
  for (const auto& [at, id] : order) {
    RunRow& row = runs_.at(id);
    const bool stepped_back =
        row.run.scheduled_for.value_or(row.run.created_at) > now + rules::kAheadOfClock;
    if (row.run.not_before > now && !stepped_back) {
      if (!claim.next || row.run.not_before < *claim.next) claim.next = row.run.not_before;
      continue;
    }
    JobRow& job = jobs_.at(row.run.job);
    // One that is over holds nothing, and may stay with a job that is disabled.
    if (const auto& pause = job.job.pause;
        is_held(row.run) && pause && pause->until && *pause->until > now) {
      claim.next = std::min(claim.next.value_or(*pause->until), *pause->until);
    }
    if (claim.runs.size() >= params.max || !may_start(row.run)) continue;
    job.fence = rules::next_fence(job.fence, now);
    job.job.last_run_at = now;
    const auto& destination =
        connections_.at(job.revisions.at(row.run.job_revision).destination_id);
    rules::begin_attempt(row.run, params.owner, job.fence, destination.exclusive_key, now);
    row.lease_until = clock_.boot_now() + params.lease_ttl;
    queued_.erase({at, id});
    running_.insert(id);
    claim.runs.push_back(claimed(row.run));
    write.note(ChangeKind::Run, id.str());
  }
  return claim;
}

bool MemoryStore::held(const HeldRun& held) const {
  const auto it = runs_.find(held.run);
  return it != runs_.end() && it->second.run.state == RunState::Running &&
         it->second.run.fence == held.fence;
}

Result<std::vector<RenewOutcome>> MemoryStore::renew_runs(const OwnerId& owner, Millis lease_ttl,
                                                          std::span<const Renewal> renewals) {
  Write write(*this);
  std::vector<RenewOutcome> outcomes;
  for (const Renewal& r : renewals) {
    if (!held(r.held) || runs_.at(r.held.run).run.owner != owner) {
      outcomes.push_back({.run = r.held.run, .held = false});
      continue;
    }
    RunRow& row = runs_.at(r.held.run);
    row.lease_until = clock_.boot_now() + lease_ttl;
    if (!r.progress.empty()) row.run.progress = r.progress;
    if (!r.committed.empty()) {
      row.run.lost_in_row = 0;
      rules::keep_states(jobs_.at(row.run.job).job, r.committed);
    }
    outcomes.push_back({r.held.run, true, row.run.cancel_requested});
    if (!r.progress.empty()) write.note(ChangeKind::Run, r.held.run.str());
  }
  return outcomes;
}

Status MemoryStore::finish(const AttemptEnd& end, Write& write) {
  const auto it = runs_.find(end.held.run);
  if (it != runs_.end() && rules::is_repeat(it->second.run, end)) return {};
  if (!held(end.held)) return rules::run_fenced(end.held.run);
  Run& run = it->second.run;
  TG_CHECK(rules::check_move(run.state, end.next));
  JobRow& row = jobs_.at(run.job);
  rules::end_attempt(run, end, clock_.now());
  row.fence = rules::fence_after(row.fence, end);
  rules::keep_states(row.job, end.committed);
  running_.erase(run.id);
  if (run.state == RunState::Queued) {
    queued_.emplace(queue_order(run), run.id);
  } else {
    left_active(row, run);
  }
  write.note(ChangeKind::Run, run.id.str());
  return {};
}

Result<std::vector<Status>> MemoryStore::finish_attempts(std::span<const AttemptEnd> ends) {
  Write write(*this);
  std::vector<Status> results;
  for (const AttemptEnd& end : ends) results.push_back(finish(end, write));
  return results;
}

// ---- orphans

Result<std::vector<ClaimedRun>> MemoryStore::expired_runs(std::size_t limit) {
  const std::scoped_lock lock(mutex_);
  std::vector<ClaimedRun> found;
  const BootInstant now = clock_.boot_now();
  for (const RunId& id : running_) {
    if (found.size() >= limit) break;
    if (runs_.at(id).lease_until <= now) found.push_back(claimed(runs_.at(id).run));
  }
  return found;
}

Result<std::size_t> MemoryStore::release_orphans(const LeaderLease& lease,
                                                 std::span<const OrphanDecision> decisions) {
  Write write(*this);
  if (!is_leader(lease)) return rules::leader_fenced();
  std::size_t released = 0;
  for (const OrphanDecision& d : decisions) {
    if (!held(d.held) || runs_.at(d.held.run).lease_until > clock_.boot_now()) continue;
    AttemptEnd end = d.end;
    end.held = d.held;
    TG_CHECK(finish(end, write));
    ++released;
  }
  return released;
}

// ---- triggers by people

Result<Created<RunId>> MemoryStore::trigger_run(const TriggerRun& trigger) {
  Write write(*this);
  TG_TRY(const auto earlier, replay(trigger.once));
  if (earlier) return Created<RunId>{RunId(*earlier), true};
  if (runs_.contains(trigger.run)) return Created<RunId>{trigger.run, true};
  JobRow* row = find_job(trigger.workspace, trigger.job);
  if (row == nullptr) return rules::job_not_found(trigger.job);
  if (!rules::allows_overlap(row->job.spec)) {
    for (const auto& [at, id] : row->runs) {
      if (row->active.contains(id) && !is_held(runs_.at(id).run)) return rules::run_active(id);
    }
    // A partial one does not do the work of what is held.
    if (trigger.only_entities.empty()) {
      for (const RunId& id : std::set<RunId>(row->active)) {
        supersede(*row, id, rules::kReplacedByHand, write);
      }
    }
  }
  const Instant now = clock_.now();
  Run& run = insert_run(*row, {trigger.run, std::nullopt, trigger.trigger, now}, now).run;
  run.triggered_by = trigger.triggered_by;
  run.only_entities = trigger.only_entities;
  run.take_over = trigger.take_over;
  remember(trigger.once, trigger.run.str());
  write.note(ChangeKind::Run, trigger.run.str());
  return Created<RunId>{trigger.run};
}

// REQUIRES: queued or running.
void MemoryStore::cancel_run(RunRow& row, Write& write) {
  row.run.cancel_requested = true;
  if (row.run.state == RunState::Queued) {
    queued_.erase({queue_order(row.run), row.run.id});
    rules::cancel_queued(row.run, clock_.now());
    left_active(jobs_.at(row.run.job), row.run);
  }
  write.note(ChangeKind::Run, row.run.id.str());
}

Result<Run> MemoryStore::request_cancel(const WorkspaceId& ws, const RunId& id,
                                        const std::optional<Idempotency>& once) {
  Write write(*this);
  RunRow* row = find_run(ws, id);
  if (row == nullptr) return rules::run_not_found(id);
  TG_TRY(const auto earlier, replay(once));
  if (earlier) return row->run;
  if (model::is_terminal(row->run.state)) return rules::run_ended(row->run);
  cancel_run(*row, write);
  remember(once, id.str());
  return row->run;
}

}  // namespace tidegate::store
