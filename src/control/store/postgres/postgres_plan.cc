#include <map>
#include <set>

#include "control/store/postgres/keys.h"
#include "control/store/postgres/ledger.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::Run;
using model::RunState;

// ---- leader lease

Result<std::optional<LeaderLease>> PostgresStore::acquire_leader(const OwnerId& owner, Millis ttl) {
  using Answer = std::optional<LeaderLease>;
  return db_.read([&](Session& db) -> Result<Answer> {
    // Looks first: a conflict locks the row even where nothing is changed, and every standby asks
    // all the time.
    TG_TRY(const auto rows,
           db.exec("INSERT INTO worker_locks AS held SELECT 'scheduler', $1, (extract(epoch FROM "
                   "at) * 1000)::bigint, at, at, at + $2 * interval '1 millisecond' FROM (SELECT "
                   "tidegate_now() AS at OFFSET 0) clock WHERE NOT EXISTS (SELECT 1 FROM "
                   "worker_locks WHERE id = 'scheduler' AND owner NOT IN ('', $1) AND expires_at > "
                   "at) ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, fence = CASE WHEN "
                   "held.owner = excluded.owner THEN held.fence ELSE greatest(held.fence + 1, "
                   "excluded.fence) END, acquired_at = CASE WHEN held.owner = excluded.owner THEN "
                   "held.acquired_at ELSE excluded.acquired_at END, renewed_at = "
                   "excluded.renewed_at, expires_at = excluded.expires_at WHERE held.owner IN ('', "
                   "excluded.owner) OR held.expires_at <= excluded.renewed_at RETURNING fence",
                   owner, ttl.count()));
    if (rows.empty()) return Answer();
    return LeaderLease{owner, Fence{rows.front().integer(0)}, ttl};
  });
}

Status PostgresStore::renew_leader(const LeaderLease& lease) {
  return db_.read([&](Session& db) -> Status {
    TG_TRY(const auto rows,
           db.exec("UPDATE worker_locks SET renewed_at = at, expires_at = at + $3 * interval '1 "
                   "millisecond' FROM (SELECT tidegate_now() AS at OFFSET 0) clock WHERE id = "
                   "'scheduler' AND owner = $1 AND fence = $2",
                   lease.owner, lease.fence, lease.ttl.count()));
    if (rows.changed() == 0) return rules::leader_fenced();
    return {};
  });
}

Status PostgresStore::release_leader(const LeaderLease& lease) {
  return db_.read([&](Session& db) -> Status {
    TG_TRY(const auto rows,
           db.exec("UPDATE worker_locks SET owner = '', expires_at = tidegate_now() WHERE id = "
                   "'scheduler' AND owner = $1 AND fence = $2",
                   lease.owner, lease.fence));
    return {};
  });
}

// ---- planning

namespace {

// The job that a look at due jobs goes on behind.
struct DueAfter {
  Instant slot = Instant::min();
  JobId job;
};

// Due jobs, their active runs, the next slot to come.
std::vector<Query> due_queries(Instant now, std::size_t limit, const DueAfter& after) {
  static const std::string kDue =
      " WHERE next_slot <= $1 AND (next_slot, id) > ($3, $4) ORDER BY next_slot, id LIMIT $2";
  return {
      query(TG_WHOLE_JOBS + kDue, now, limit, after.slot, after.job),
      query("SELECT " TG_LIVE_RUN_COLUMNS
            " FROM readable_runs WHERE id IN (WITH due AS MATERIALIZED (SELECT id FROM sync_jobs" +
                kDue +
                ") SELECT run_id FROM run_queue JOIN due ON job_id = due.id UNION ALL SELECT "
                "run_id FROM job_execution_locks JOIN due ON job_id = due.id) ORDER BY "
                "created_at, id",
            now, limit, after.slot, after.job),
      query("SELECT min(next_slot) FROM sync_jobs WHERE next_slot > $1", now)};
}

}  // namespace

// Rows that cannot be read take no place of others: reads on until enough are found.
Result<QueueStore::Due> PostgresStore::due_jobs(Instant now, std::size_t limit) {
  return db_.read([&](Session& db) -> Result<Due> {
    Due due;
    DueAfter after;
    for (;;) {
      const std::size_t wanted = limit - due.jobs.size();
      TG_TRY(const auto rows, db.snapshot(due_queries(now, wanted, after)));
      due.next = rows[2].front().maybe_time(0);
      std::map<JobId, std::vector<Run>> active;
      std::set<JobId> unreadable;
      for (const Row row : rows[1]) {
        if (auto run = live_run_from(row)) {
          active[run->job].push_back(std::move(*run));
        } else {
          bad_rows_.skip("run", row.text(0), run.error());
          unreadable.insert(JobId(row.text(2)));
        }
      }
      for (const Row row : rows[0]) {
        after = {row.time(3), JobId(row.text(0))};
        if (unreadable.contains(after.job)) continue;
        if (auto head = whole_job_from(row)) {
          due.jobs.push_back({std::move(head->job), std::move(active[after.job])});
        } else {
          bad_rows_.skip("job", after.job.str(), head.error());
        }
      }
      const auto read = static_cast<std::size_t>(rows[0].size());
      if (read < wanted || due.jobs.size() >= limit) return due;
    }
  });
}

namespace {

using sql::PlannedJob;
using PlannedJobs = std::map<JobId, PlannedJob>;

// Locks the jobs.
Query planned_jobs(const std::vector<JobId>& ids) {
  return query("SELECT " TG_PLANNED_COLUMNS
               " FROM sync_jobs WHERE id = ANY ($1) AND deleted_at IS NULL ORDER BY id FOR UPDATE",
               ids);
}

PlannedJobs planned_from(const Rows& rows) {
  PlannedJobs jobs;
  for (const Row r : rows) jobs[JobId(r.text(0))] = sql::planned_from(r);
  return jobs;
}

AddedRun added(Run run, const PlannedJob& job) {
  return {std::move(run), job.allow_overlap, job.source, job.destination};
}

// The steps of one transaction: all is looked up in one flight, judged here, and written in
// another. REQUIRES: at most one step for each job.
class Planning {
 public:
  explicit Planning(std::span<const PlanStep> steps) {
    for (const PlanStep& step : steps) {
      jobs_.push_back(step.job);
      for (const NewRun& run : step.runs) runs_.push_back(run.id);
      for (const Instant slot : rules::slots_of(step)) slots_.emplace(step.job, slot);
      for (const auto& record : step.records) {
        firsts_.insert({{step.job, record.first}, {step.job, record.last}});
      }
    }
  }

  std::vector<Query> looks() const {
    return {planned_jobs(jobs_),
            query("SELECT job_id, run_id, false FROM run_queue WHERE job_id = ANY ($1) UNION ALL "
                  "SELECT job_id, run_id, true FROM job_execution_locks WHERE job_id = ANY ($1)",
                  jobs_),
            query("SELECT id FROM sync_runs WHERE id = ANY ($1)", runs_), known_slots(slots_),
            RecordWriter::look(firsts_)};
  }
  Status learn(std::span<const Rows> rows) {
    planned_ = planned_from(rows[0]);
    for (const Row r : rows[1]) {
      active_[JobId(r.text(0))][RunId(r.text(1))] =
          r.flag(2) ? RunState::Running : RunState::Queued;
    }
    for (const Row r : rows[2]) existing_.insert(RunId(r.text(0)));
    known_ = slots_from(rows[3]);
    return records_.learn(rows[4]);
  }

  PlanResult judge(const PlanStep& step, Tx& tx) {
    const auto job = planned_.find(step.job);
    const bool exists = std::ranges::any_of(
        step.runs, [&](const NewRun& run) { return existing_.contains(run.id); });
    if (job == planned_.end() || exists ||
        !rules::step_applies(step, job->second.revision, job->second.next_slot,
                             active_[step.job])) {
      return PlanResult::Stale;
    }
    PlanStep fresh = step;
    std::set<Instant> known;
    for (const auto& [id, slot] : known_) {
      if (id == step.job) known.insert(slot);
    }
    rules::drop_known_slots(fresh, known);
    apply(fresh, job->second, tx);
    return PlanResult::Applied;
  }

  std::vector<Query> writes() const {
    auto queries = records_.writes();
    if (!added_.empty()) queries.push_back(insert_runs(added_));
    if (!cancelled_.empty()) {
      queries.push_back(request_cancels(cancelled_));
    }
    queries.push_back(query(
        "UPDATE sync_jobs j SET next_slot = i.next_slot, runs_kept = runs_kept + i.runs, "
        "pause_note "
        "= CASE WHEN i.resume THEN NULL ELSE pause_note END, pause_until = CASE WHEN i.resume THEN "
        "NULL ELSE pause_until END, pause_since = CASE WHEN i.resume THEN NULL ELSE pause_since "
        "END, pause_by = CASE WHEN i.resume THEN NULL ELSE pause_by END FROM unnest($1, $2, $3, "
        "$4) AS i(id, next_slot, runs, resume) WHERE j.id = i.id",
        column(moved_, &PlanStep::job), column(moved_, &PlanStep::next_slot),
        column(moved_, [](const PlanStep& s) { return s.runs.size(); }),
        column(moved_, &PlanStep::clear_pause)));
    return queries;
  }
  const std::vector<RunId>& superseded() const { return superseded_; }

 private:
  void apply(const PlanStep& step, const PlannedJob& job, Tx& tx) {
    const auto& active = active_[step.job];
    for (const RunId& id : step.supersede) {
      if (active.contains(id)) superseded_.push_back(id);
    }
    for (const RunId& id : step.cancel) {
      if (!active.contains(id)) continue;
      cancelled_.push_back(id);
      tx.note(ChangeKind::Run, id.str());
    }
    for (const NewRun& run : step.runs) {
      added_.push_back(
          added(rules::new_run(step.job, job.workspace, job.revision, run, tx.now), job));
      if (run.slot) records_.add_run(step.job, *run.slot);
      tx.note(ChangeKind::Run, run.id.str());
    }
    for (const auto& record : step.records) records_.add(step.job, record);
    moved_.push_back(step);
  }

  std::vector<JobId> jobs_;
  std::vector<RunId> runs_;
  Slots slots_, firsts_;
  PlannedJobs planned_;
  std::map<JobId, std::map<RunId, RunState>> active_;
  std::set<RunId> existing_;
  Slots known_;
  RecordWriter records_;
  std::vector<AddedRun> added_;
  std::vector<RunId> superseded_, cancelled_;
  std::vector<PlanStep> moved_;
};

Status supersede_runs(Tx& tx, const std::vector<RunId>& ids, std::string_view why) {
  if (ids.empty()) return {};
  TG_TRY(const auto rows,
         tx.db.run({lock_jobs_of(ids),
                    query("SELECT " TG_LIVE_RUN_COLUMNS " FROM readable_runs WHERE id = ANY ($1)",
                          ids)}));
  TG_TRY(auto runs, live_runs_from(rows[1]));
  std::vector<JobNews> news;
  for (Run& run : runs) {
    rules::supersede(run, why, tx.now);
    news.push_back({.job = run.job, .lesson = rules::lesson_of(run)});
    tx.note(ChangeKind::Run, run.id.str());
  }
  std::vector<Query> queries = tell_jobs(news);
  queries.push_back(update_runs(column(runs, [](const Run& r) { return &r; })));
  queries.push_back(query("DELETE FROM run_queue WHERE run_id = ANY ($1)", ids));
  TG_TRY(const auto done, tx.db.run(queries));
  return {};
}

// The longest beginning that has no job twice.
std::size_t distinct(std::span<const PlanStep> steps) {
  std::set<JobId> seen;
  std::size_t n = 0;
  while (n < steps.size() && seen.insert(steps[n].job).second) ++n;
  return n;
}

}  // namespace

Result<std::vector<PlanResult>> PostgresStore::apply_steps(Tx& tx,
                                                           std::span<const PlanStep> steps) {
  Planning planning(steps);
  TG_TRY(const auto rows, tx.db.run(planning.looks()));
  TG_CHECK(planning.learn(rows));
  std::vector<PlanResult> results;
  for (const PlanStep& step : steps) results.push_back(planning.judge(step, tx));
  TG_CHECK(supersede_runs(tx, planning.superseded(), rules::kReplacedBySlot));
  TG_TRY(const auto done, tx.db.run(planning.writes()));
  return results;
}

Result<std::vector<PlanResult>> PostgresStore::apply_plan(const LeaderLease& lease,
                                                          std::span<const PlanStep> steps) {
  return db_.write([&](Tx& tx) -> Result<std::vector<PlanResult>> {
    TG_TRY(const auto leader, tx.start({hold_leader(lease)}));
    if (leader[0].empty()) return rules::leader_fenced();
    std::vector<PlanResult> results;
    while (results.size() < steps.size()) {
      const auto rest = steps.subspan(results.size());
      TG_TRY(const auto some, apply_steps(tx, rest.first(distinct(rest))));
      results.insert(results.end(), some.begin(), some.end());
    }
    return results;
  });
}

// ---- triggers by people

Result<Created<RunId>> PostgresStore::trigger_run(const TriggerRun& trigger) {
  return db_.write([&](Tx& tx) -> Result<Created<RunId>> {
    TG_TRY(const auto looks, tx.start({planned_jobs({trigger.job}),
                                       query("SELECT 1 FROM sync_runs WHERE id = $1", trigger.run),
                                       active_runs({trigger.job})}));
    TG_TRY(const auto earlier, replay(tx, trigger.once));
    if (earlier) return Created<RunId>{RunId(*earlier), true};
    if (!looks[1].empty()) return Created<RunId>{trigger.run, true};
    const auto jobs = planned_from(looks[0]);
    const auto found = jobs.find(trigger.job);
    if (found == jobs.end() ||
        (!trigger.workspace.empty() && found->second.workspace != trigger.workspace)) {
      return rules::job_not_found(trigger.job);
    }
    const PlannedJob& job = found->second;
    if (!job.allow_overlap) {
      TG_TRY(const auto active, live_runs_from(looks[2]));
      TG_CHECK(rules::check_room(job.enabled, job.pause, active, tx.now));
      // A partial run does not do the work of what is held.
      if (trigger.only_entities.empty()) {
        TG_CHECK(supersede_runs(tx, column(active, &Run::id), rules::kReplacedByHand));
      }
    }
    Run run = rules::new_run(trigger.job, job.workspace, job.revision,
                             {trigger.run, {}, trigger.trigger, tx.now}, tx.now);
    run.triggered_by = trigger.triggered_by;
    run.only_entities = trigger.only_entities;
    run.take_over = trigger.take_over;
    TG_CHECK(remember(tx, trigger.once, trigger.run.str()));
    tx.note(ChangeKind::Run, trigger.run.str());
    TG_TRY(const auto done,
           tx.commit({insert_runs({added(std::move(run), job)}),
                      query("UPDATE sync_jobs SET runs_kept = runs_kept + 1 WHERE id = $1",
                            trigger.job)}));
    return Created<RunId>{trigger.run};
  });
}

Result<Run> PostgresStore::request_cancel(const WorkspaceId& ws, const RunId& id,
                                          const std::optional<Idempotency>& once) {
  return db_.write([&](Tx& tx) -> Result<Run> {
    TG_TRY(const auto jobs, tx.start({lock_jobs_of({id})}));
    TG_TRY(auto run, find_run(tx.db, id));
    if (!run || jobs[0].empty() || (!ws.empty() && run->workspace != ws)) {
      return rules::run_not_found(id);
    }
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return std::move(*run);
    if (model::is_terminal(run->state)) return rules::run_ended(*run);
    TG_CHECK(cancel_run(tx, *run));
    TG_CHECK(remember(tx, once, id.str()));
    return std::move(*run);
  });
}

}  // namespace tidegate::store::postgres
