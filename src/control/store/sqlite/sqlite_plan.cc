#include <map>
#include <set>

#include "control/store/sqlite/keys.h"
#include "control/store/sqlite/ledger.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {

using model::Run;
using model::RunState;

// ---- leader lease

Result<std::optional<LeaderLease>> SqliteStore::acquire_leader(const OwnerId& owner, Millis ttl) {
  using Answer = std::optional<LeaderLease>;
  return writer_.run([&](Tx& tx) -> Result<Answer> {
    OwnerId holder;
    Fence fence{};
    bool expired = true;
    TG_CHECK(tx.db.maybe(
        "SELECT owner, fence, boot_id, boot_until FROM worker_locks WHERE id = "
        "'scheduler'",
        [&](const Row& r) {
          holder = OwnerId(r.text(0));
          fence = Fence{r.integer(1)};
          // That of a restore has no end, whatever boot it began under.
          expired = holder.empty() || (!rules::is_restore(holder) &&
                                       (r.view(2) != options_.boot_id ||
                                        r.integer(3) <= tx.boot_now.time_since_epoch().count()));
        }));
    if (holder != owner && !expired) return Answer();
    const bool takes_over = holder != owner;
    if (takes_over) fence = rules::next_fence(fence, tx.now);
    TG_CHECK(tx.db.exec(
        "INSERT INTO worker_locks VALUES ('scheduler', ?1, ?2, ?3, ?3, ?4, ?5, ?6) ON CONFLICT "
        "(id) "
        "DO UPDATE SET owner = ?1, fence = ?2, acquired_at = CASE WHEN ?7 THEN ?3 ELSE acquired_at "
        "END, renewed_at = ?3, expires_at = ?4, boot_id = ?5, boot_until = ?6",
        owner, fence, tx.now, tx.now + ttl, options_.boot_id,
        (tx.boot_now + ttl).time_since_epoch().count(), takes_over));
    return LeaderLease{owner, fence, ttl};
  });
}

Status SqliteStore::renew_leader(const LeaderLease& lease) {
  return writer_.run([&](Tx& tx) -> Status {
    TG_TRY(
        const int changed,
        tx.db.run("UPDATE worker_locks SET renewed_at = ?, expires_at = ?, boot_id = ?, "
                  "boot_until = ? WHERE id = 'scheduler' AND owner = ? AND fence = ?",
                  tx.now, tx.now + lease.ttl, options_.boot_id,
                  (tx.boot_now + lease.ttl).time_since_epoch().count(), lease.owner, lease.fence));
    if (changed == 0) return rules::leader_fenced();
    return {};
  });
}

Status SqliteStore::release_leader(const LeaderLease& lease) {
  return writer_.run([&](Tx& tx) -> Status {
    return tx.db.exec(
        "UPDATE worker_locks SET owner = '', expires_at = ? WHERE id = "
        "'scheduler' AND owner = ? AND fence = ?",
        tx.now, lease.owner, lease.fence);
  });
}

// ---- planning

namespace {

Result<PlanView> plan_view(Db& db, Result<JobHead> head) {
  if (!head) return fail(head.error());
  PlanView view{.job = std::move(head->job), .active = {}};
  TG_TRY(view.job.spec, load_spec(db, view.job.id, view.job.revision));
  TG_TRY(view.active, active_runs(db, view.job.id));
  return view;
}

}  // namespace

Result<QueueStore::Due> SqliteStore::due_jobs(Instant now, std::size_t limit) {
  return quick_.snapshot([&](Db& db) -> Result<Due> {
    Due due;
    // Rows that cannot be read take no place of others: read on until enough are found.
    bool enough = limit == 0;
    const auto look = [&](const Row& r) -> Status {
      if (enough) return fail(Code::Cancelled, "");
      const std::string id = r.text(0);
      if (auto view = plan_view(db, job_head_from(r))) {
        due.jobs.push_back(std::move(*view));
      } else if (!bad_rows_.skip("job", id, view.error())) {
        return fail(view.error());
      }
      enough = due.jobs.size() >= limit;
      return {};
    };
    const auto walked = db.each("SELECT " TG_JOB_COLUMNS
                                " FROM sync_jobs WHERE next_slot <= ? ORDER BY next_slot, id",
                                look, now);
    if (!walked && !enough) return fail(walked.error());
    TG_CHECK(db.maybe(
        "SELECT next_slot FROM sync_jobs WHERE next_slot > ? ORDER BY next_slot LIMIT "
        "1",
        [&](const Row& r) { due.next = r.time(0); }, now));
    return due;
  });
}

namespace {

using sql::PlannedJob;

Result<std::optional<PlannedJob>> find_planned(Db& db, const JobId& id) {
  std::optional<PlannedJob> job;
  TG_CHECK(db.maybe(
      "SELECT " TG_PLANNED_COLUMNS " FROM sync_jobs WHERE id = ? AND deleted_at IS NULL",
      [&](const Row& r) { job = sql::planned_from(r); }, id));
  return job;
}

Result<std::map<RunId, RunState>> active_states(Db& db, const JobId& job) {
  std::map<RunId, RunState> active;
  TG_CHECK(db.each(
      "SELECT id, state = 'running' FROM sync_runs WHERE job_id = ? AND state IN ('queued', "
      "'running')",
      [&](const Row& r) {
        active.emplace(RunId(r.text(0)), r.flag(1) ? RunState::Running : RunState::Queued);
      },
      job));
  return active;
}

Result<std::set<Instant>> known_slots(Db& db, const PlanStep& step) {
  std::set<Instant> known;
  for (const Instant slot : rules::slots_of(step)) {
    TG_TRY(const bool is_known, slot_known(db, step.job, slot));
    if (is_known) known.insert(slot);
  }
  return known;
}

Result<bool> step_applies(Db& db, const std::optional<PlannedJob>& job, const PlanStep& step) {
  if (!job) return false;
  for (const NewRun& run : step.runs) {
    TG_TRY(const bool known, db.exists("SELECT 1 FROM sync_runs WHERE id = ?", run.id));
    if (known) return false;
  }
  TG_TRY(const auto active, active_states(db, step.job));
  return rules::step_applies(step, job->revision, job->next_slot, active);
}

Status supersede(Tx& tx, const RunId& id, std::string_view why) {
  TG_TRY(auto run, find_run(tx.db, id));
  if (!run || run->state != RunState::Queued) return {};
  TG_TRY(auto head, find_job_head(tx.db, run->job));
  rules::supersede(*run, why, tx.now);
  rules::account(head->job, *run);
  TG_CHECK(update_run(tx.db, *run));
  tx.note(ChangeKind::Run, id.str());
  return update_job_progress(tx.db, *head);
}

Status ask_to_cancel(Tx& tx, const PlanStep& step) {
  for (const RunId& id : step.cancel) {
    TG_TRY(const int changed,
           tx.db.run("UPDATE sync_runs SET cancel_requested = 1 WHERE id = ? AND "
                     "state = 'running'",
                     id));
    if (changed > 0) tx.note(ChangeKind::Run, id.str());
  }
  return {};
}

Status apply_step(Tx& tx, const PlannedJob& job, const PlanStep& step) {
  for (const RunId& id : step.supersede) TG_CHECK(supersede(tx, id, rules::kReplacedBySlot));
  TG_CHECK(ask_to_cancel(tx, step));
  for (const NewRun& added : step.runs) {
    TG_CHECK(insert_run(tx.db, rules::new_run(step.job, job.workspace, job.revision, added, tx.now),
                        job.allow_overlap, job.source, job.destination));
    tx.note(ChangeKind::Run, added.id.str());
  }
  for (const auto& record : step.records) TG_CHECK(add_record(tx.db, step.job, record));
  return tx.db.exec(
      "UPDATE sync_jobs SET next_slot = ?2, runs_kept = runs_kept + ?3, pause_note = CASE WHEN ?4 "
      "THEN NULL ELSE pause_note END, pause_until = CASE WHEN ?4 THEN NULL ELSE pause_until END, "
      "pause_since = CASE WHEN ?4 THEN NULL ELSE pause_since END, pause_by = CASE WHEN ?4 THEN "
      "NULL "
      "ELSE pause_by END WHERE id = ?1",
      step.job, step.next_slot, step.runs.size(), step.clear_pause);
}

}  // namespace

Result<std::vector<PlanResult>> SqliteStore::apply_plan(const LeaderLease& lease,
                                                        std::span<const PlanStep> steps) {
  return writer_.run([&](Tx& tx) -> Result<std::vector<PlanResult>> {
    TG_CHECK(check_leader(tx.db, lease));
    std::vector<PlanResult> results;
    for (const PlanStep& step : steps) {
      TG_TRY(const auto job, find_planned(tx.db, step.job));
      TG_TRY(const bool applies, step_applies(tx.db, job, step));
      if (applies) {
        TG_TRY(const auto known, known_slots(tx.db, step));
        PlanStep fresh = step;
        rules::drop_known_slots(fresh, known);
        TG_CHECK(apply_step(tx, *job, fresh));
      }
      results.push_back(applies ? PlanResult::Applied : PlanResult::Stale);
    }
    return results;
  });
}

// ---- triggers by people

namespace {

// Makes room for a run that a person starts: what is held gives way to a whole one, which does its
// work, and waits behind a partial one; anything else is a conflict.
Status replace_held(Tx& tx, const JobId& id, const PlannedJob& job, bool whole) {
  TG_TRY(const auto active, active_runs(tx.db, id));
  TG_CHECK(rules::check_room(job.enabled, job.pause, active, tx.now));
  if (!whole) return {};
  for (const Run& run : active) TG_CHECK(supersede(tx, run.id, rules::kReplacedByHand));
  return {};
}

}  // namespace

Result<Created<RunId>> SqliteStore::trigger_run(const TriggerRun& trigger) {
  return writer_.run([&](Tx& tx) -> Result<Created<RunId>> {
    TG_TRY(const auto earlier, replay(tx, trigger.once));
    if (earlier) return Created<RunId>{RunId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists("SELECT 1 FROM sync_runs WHERE id = ?", trigger.run));
    if (known) return Created<RunId>{trigger.run, true};
    TG_TRY(const auto job, find_planned(tx.db, trigger.job));
    if (!job || (!trigger.workspace.empty() && job->workspace != trigger.workspace)) {
      return rules::job_not_found(trigger.job);
    }
    if (!job->allow_overlap) {
      TG_CHECK(replace_held(tx, trigger.job, *job, trigger.only_entities.empty()));
    }
    Run run = rules::new_run(trigger.job, job->workspace, job->revision,
                             {trigger.run, {}, trigger.trigger, tx.now}, tx.now);
    run.triggered_by = trigger.triggered_by;
    run.only_entities = trigger.only_entities;
    run.take_over = trigger.take_over;
    TG_CHECK(insert_run(tx.db, run, job->allow_overlap, job->source, job->destination));
    TG_CHECK(
        tx.db.exec("UPDATE sync_jobs SET runs_kept = runs_kept + 1 WHERE id = ?", trigger.job));
    TG_CHECK(remember(tx, trigger.once, trigger.run.str()));
    tx.note(ChangeKind::Run, trigger.run.str());
    return Created<RunId>{trigger.run};
  });
}

Result<Run> SqliteStore::request_cancel(const WorkspaceId& ws, const RunId& id,
                                        const std::optional<Idempotency>& once) {
  return writer_.run([&](Tx& tx) -> Result<Run> {
    TG_TRY(auto run, find_run(tx.db, id));
    if (!run || (!ws.empty() && run->workspace != ws)) return rules::run_not_found(id);
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return std::move(*run);
    if (model::is_terminal(run->state)) return rules::run_ended(*run);
    TG_TRY(auto head, find_job_head(tx.db, run->job));
    TG_CHECK(cancel_run(tx, *run, *head));
    TG_CHECK(update_job_progress(tx.db, *head));
    TG_CHECK(remember(tx, once, id.str()));
    return std::move(*run);
  });
}

}  // namespace tidegate::store::sqlite
