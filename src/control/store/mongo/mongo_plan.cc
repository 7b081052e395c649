#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "control/store/mongo/keys.h"
#include "control/store/mongo/ledger.h"
#include "control/store/mongo/mongo_state.h"
#include "control/store/mongo/query.h"

namespace tidegate::store::mongo {

using model::Run;
using model::RunState;

// ---- leader lease

namespace {

bj::object scheduler() { return {{"_id", "scheduler"}}; }

bj::object held_by(const LeaderLease& lease) {
  return {{"_id", "scheduler"}, {"owner", lease.owner.str()}, {"fence", value(lease.fence)}};
}

}  // namespace

Result<std::optional<LeaderLease>> MongoStore::acquire_leader(const OwnerId& owner, Millis ttl) {
  using Answer = std::optional<LeaderLease>;
  return write_one([&](Tx& tx) -> Result<Answer> {
    TG_TRY(auto found, tx.db.find_one(coll::kLocks, {.filter = scheduler()}));
    const OwnerId holder(found ? text_of(*found, "owner") : "");
    const bool expired = holder.empty() || time_of(*found, "expiresAt") <= tx.now;
    if (holder != owner && !expired) return Answer();
    bj::object next = found.value_or(scheduler());
    Fence fence{number_of(next, "fence")};
    if (holder != owner) {
      fence = rules::next_fence(fence, tx.now);
      next["acquiredAt"] = date(tx.now);
    } else {
      next["acquiredAt"] = date(time_of(next, "acquiredAt"));
    }
    next["owner"] = owner.str();
    next["fence"] = value(fence);
    next["renewedAt"] = date(tx.now);
    next["expiresAt"] = date(tx.now + ttl);
    // A renewal or another candidate came first: look again.
    const Status taken =
        found ? tx.put(coll::kLocks, next, number_of(*found, "seq")) : tx.add(coll::kLocks, next);
    if (!taken && taken.error().reason == kDuplicate) tx.db.lost_race();
    TG_CHECK(taken);
    return LeaderLease{owner, fence, ttl};
  });
}

Status MongoStore::renew_leader(const LeaderLease& lease) {
  return write_one([&](Tx& tx) -> Status {
    TG_TRY(const auto matched,
           tx.db.update(coll::kLocks, held_by(lease),
                        {{"$set", bj::object{{"renewedAt", date(tx.now)},
                                             {"expiresAt", date(tx.now + lease.ttl)}}},
                         {"$inc", bj::object{{"seq", 1}}}}));
    if (matched == 0) return rules::leader_fenced();
    return {};
  });
}

Status MongoStore::release_leader(const LeaderLease& lease) {
  return write_one([&](Tx& tx) -> Status {
    TG_CHECK(tx.db.update(coll::kLocks, held_by(lease),
                          {{"$set", bj::object{{"owner", ""}, {"expiresAt", date(tx.now)}}},
                           {"$inc", bj::object{{"seq", 1}}}}));
    return {};
  });
}

// Written, not only read: a transaction of a leader that was replaced meanwhile conflicts.
Status MongoStore::check_leader(Tx& tx, const LeaderLease& lease) const {
  TG_TRY(const auto matched,
         tx.db.update(coll::kLocks, held_by(lease), {{"$inc", bj::object{{"seq", 1}}}}));
  if (matched == 0) return rules::leader_fenced();
  return {};
}

// ---- planning

namespace {

// The due job that a look goes on behind.
struct DueAfter {
  Instant slot;
  JobId job;
};

bj::object due_filter(Instant now, const std::optional<DueAfter>& after) {
  bj::object filter{{"live", true}, {"nextSlot", bj::object{{"$lte", date(now)}}}};
  if (after)
    require(filter,
            beyond("nextSlot", date(after->slot), "_id", bj::string(after->job.str()), true));
  return filter;
}

// Adds the queued and running runs of the jobs found. Without all its runs a job cannot be judged:
// one with an unreadable run is left out.
Status add_active(Conn& conn, BadRows& bad_rows, std::vector<PlanView>& jobs) {
  if (jobs.empty()) return {};
  std::map<std::string, PlanView*> places;
  for (PlanView& view : jobs) places[view.job.id.str()] = &view;
  std::set<std::string> unreadable;
  const bj::object active{
      {"jobId", any_of(places, [](const auto& p) { return bj::value(p.first); })},
      {"state", bj::object{{"$in", bj::array{"queued", "running"}}}}};
  TG_CHECK(conn.each(coll::kRuns, {.filter = active, .sort = {{"createdAt", 1}, {"_id", 1}}},
                     [&](bj::object o) -> Result<bool> {
                       const std::string id = text_of(o, "_id"), job = text_of(o, "jobId");
                       if (auto row = run_from(std::move(o))) {
                         places.at(job)->active.push_back(std::move(row->run));
                       } else if (bad_rows.skip("run", id, row.error())) {
                         unreadable.insert(job);
                       } else {
                         return fail(row.error());
                       }
                       return true;
                     }));
  std::erase_if(jobs, [&](const PlanView& v) { return unreadable.contains(v.job.id.str()); });
  return {};
}

// At most `limit` due jobs behind `after`, which moves on; whether there may be more.
Result<bool> look_on(Conn& conn, BadRows& bad_rows, Instant now, std::size_t limit,
                     std::optional<DueAfter>& after, std::vector<PlanView>& out) {
  std::vector<PlanView> jobs;
  std::size_t read = 0;
  TG_CHECK(conn.each(
      coll::kJobs,
      {.filter = due_filter(now, after), .sort = {{"nextSlot", 1}, {"_id", 1}}, .limit = limit},
      [&](bj::object o) -> Result<bool> {
        ++read;
        after = {time_of(o, "nextSlot"), JobId(text_of(o, "_id"))};
        if (auto row = job_from(std::move(o))) {
          jobs.push_back({.job = std::move(row->job), .active = {}});
        } else if (!bad_rows.skip("job", after->job.str(), row.error())) {
          return fail(row.error());
        }
        return true;
      }));
  TG_CHECK(add_active(conn, bad_rows, jobs));
  std::ranges::move(jobs, std::back_inserter(out));
  return read == limit;
}

}  // namespace

// Rows that cannot be read take no place of others: reads on until enough are found.
Result<QueueStore::Due> MongoStore::due_jobs(Instant now, std::size_t limit) {
  Conn conn(*pool_);
  Due due;
  std::optional<DueAfter> after;
  for (bool more = true; more && due.jobs.size() < limit;) {
    TG_TRY(more, look_on(conn, bad_rows_, now, limit - due.jobs.size(), after, due.jobs));
  }
  TG_TRY(const auto next,
         conn.find_one(coll::kJobs,
                       {.filter = {{"live", true}, {"nextSlot", bj::object{{"$gt", date(now)}}}},
                        .sort = {{"nextSlot", 1}},
                        .projection = {{"nextSlot", 1}}}));
  if (next) due.next = time_of(*next, "nextSlot");
  return due;
}

namespace {

using Active = std::map<RunId, RunRow>;

// True when the step was decided on what is still so, and names no slot twice.
Result<bool> step_applies(Conn& db, const JobRow& row, const PlanStep& step, const Active& active) {
  if (!step.runs.empty()) {
    const auto id = [](const NewRun& r) { return bj::value(r.id.str()); };
    TG_TRY(const bool known, db.exists(coll::kRuns, {{"_id", any_of(step.runs, id)}}));
    if (known) return false;
  }
  std::map<RunId, RunState> states;
  for (const auto& [id, run] : active) states.emplace(id, run.run.state);
  return rules::step_applies(step, row.job.revision, row.job.next_slot, states);
}

Status supersede(Tx& tx, RunRow& row, std::string_view why) {
  rules::supersede(row.run, why, tx.now);
  return save_run(tx, row);
}

// Ends the superseded runs, from which `job` learns, and asks others to stop.
Status make_room(Tx& tx, const PlanStep& step, Active& active, model::SyncJob& job) {
  for (const RunId& id : step.supersede) {
    const auto it = active.find(id);
    if (it == active.end()) continue;
    TG_CHECK(supersede(tx, it->second, rules::kReplacedBySlot));
    rules::account(job, it->second.run);
  }
  for (const RunId& id : step.cancel) {
    const auto it = active.find(id);
    if (it == active.end()) continue;
    it->second.run.cancel_requested = true;
    TG_CHECK(save_run(tx, it->second));
  }
  return {};
}

Status add_runs(Tx& tx, const JobRow& row, const PlanStep& step) {
  const model::SyncJob& job = row.job;
  for (const NewRun& added : step.runs) {
    const Run run = rules::new_run(job.id, job.workspace, job.revision, added, tx.now);
    const Status status = add_run(tx, run, job.spec);
    // Without transactions: another leader planned this slot at the same moment.
    if (!status && status.error().reason == kDuplicate) tx.db.lost_race();
    TG_CHECK(status);
  }
  return {};
}

bj::object fence_plan(const LeaderLease& lease) {
  return {{"$set", bj::object{{"planFence", value(lease.fence)}}},
          {"$inc", bj::object{{"seq", 1}}}};
}

// What a step changes of its job. `learned` is the job after the runs that the step ended.
bj::object job_change(const LeaderLease& lease, const PlanStep& step, const model::SyncJob& job,
                      const model::SyncJob& learned) {
  bj::object set{{"planFence", value(lease.fence)}}, unset;
  if (step.next_slot) {
    set["nextSlot"] = date(*step.next_slot);
  } else {
    unset["nextSlot"] = 1;
  }
  if (step.clear_pause) unset["pause"] = 1;
  if (learned.last_error != job.last_error) set["lastError"] = learned.last_error.value_or("");
  bj::object change{
      {"$set", std::move(set)},
      {"$inc", bj::object{{"seq", 1},
                          {"runsKept", std::ssize(step.runs)},
                          {"runCount", learned.run_count - job.run_count},
                          {"failures", learned.consecutive_failures - job.consecutive_failures}}}};
  if (!unset.empty()) change["$unset"] = std::move(unset);
  return change;
}

}  // namespace

// The run comes before the job that moves on: where there is no transaction and the process dies in
// between, the next leader finds the slot known and only moves the job. `planFence` keeps out a
// leader that was replaced.
Result<PlanResult> MongoStore::apply_step(Tx& tx, const LeaderLease& lease, const PlanStep& step) {
  TG_TRY(const auto row, find_live_job(tx.db, WorkspaceId(), step.job));
  if (!row || row->plan_fence > lease.fence) return PlanResult::Stale;
  const bj::object which{{"_id", step.job.str()},
                         {"live", true},
                         {"revision", step.expected_revision},
                         {"nextSlot", date_or_null(step.expected_next_slot)},
                         {"planFence", bj::object{{"$lte", value(lease.fence)}}}};
  if (!replicated_) {
    // Before the first write that counts: of a leader that was replaced since, nothing is left.
    TG_TRY(const auto mine, tx.db.update(coll::kJobs, which, fence_plan(lease)));
    if (mine == 0) return PlanResult::Stale;
  }
  TG_TRY(auto rows, active_runs(tx.db, step.job));
  Active active;
  for (RunRow& r : rows) active.emplace(r.run.id, std::move(r));
  TG_TRY(const bool applies, step_applies(tx.db, *row, step, active));
  if (!applies) return PlanResult::Stale;
  TG_TRY(const auto known, known_slots(tx.db, step.job, rules::slots_of(step)));
  PlanStep fresh = step;
  rules::drop_known_slots(fresh, known);
  model::SyncJob learned = row->job;
  TG_CHECK(make_room(tx, fresh, active, learned));
  TG_CHECK(add_runs(tx, *row, fresh));
  for (const auto& record : fresh.records) TG_CHECK(add_record(tx, step.job, record));
  TG_TRY(const auto matched,
         tx.db.update(coll::kJobs, which, job_change(lease, fresh, row->job, learned)));
  return matched > 0 ? PlanResult::Applied : PlanResult::Stale;
}

Result<std::vector<PlanResult>> MongoStore::apply_plan(const LeaderLease& lease,
                                                       std::span<const PlanStep> steps) {
  return write([&](Tx& tx) -> Result<std::vector<PlanResult>> {
    TG_CHECK(check_leader(tx, lease));
    std::vector<PlanResult> results;
    for (const PlanStep& step : steps) {
      TG_TRY(const PlanResult result, apply_step(tx, lease, step));
      results.push_back(result);
    }
    return results;
  });
}

// ---- triggers by people

namespace {

// What gives way to the run that a person starts: what is held, unless the new one is partial and
// does not do its work. Anything else that is active is a conflict.
Result<std::vector<RunRow>> held_runs(Tx& tx, const model::SyncJob& job,
                                      const TriggerRun& trigger) {
  if (rules::allows_overlap(job.spec)) return std::vector<RunRow>();
  TG_TRY(auto rows, active_runs(tx.db, job.id));
  std::vector<Run> active;
  for (const RunRow& row : rows) active.push_back(row.run);
  TG_CHECK(rules::check_room(job.spec.enabled, job.pause, active, tx.now));
  if (!trigger.only_entities.empty()) rows.clear();
  return rows;
}

}  // namespace

Result<Created<RunId>> MongoStore::trigger_run(const TriggerRun& trigger) {
  return write([&](Tx& tx) -> Result<Created<RunId>> {
    TG_TRY(const auto earlier, replay(tx, trigger.once));
    if (earlier) return Created<RunId>{RunId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists(coll::kRuns, {{"_id", trigger.run.str()}}));
    if (known) return Created<RunId>{trigger.run, true};
    TG_TRY(const auto row, find_live_job(tx.db, trigger.workspace, trigger.job));
    if (!row) return rules::job_not_found(trigger.job);
    const model::SyncJob& job = row->job;
    TG_TRY(auto held, held_runs(tx, job, trigger));
    Run run = rules::new_run(job.id, job.workspace, job.revision,
                             {trigger.run, {}, trigger.trigger, tx.now}, tx.now);
    run.triggered_by = trigger.triggered_by;
    run.only_entities = trigger.only_entities;
    run.take_over = trigger.take_over;
    TG_CHECK(add_run(tx, run, row->job.spec));
    TG_TRY(const auto matched,
           tx.db.update(coll::kJobs, {{"_id", trigger.job.str()}, {"seq", row->seq}},
                        {{"$inc", bj::object{{"seq", 1}, {"runsKept", 1}}}}));
    if (matched == 0) {
      // Somebody else did something with the job since it was looked at: take it back and look
      // again. A transaction is undone anyway.
      TG_CHECK(
          tx.db.erase(coll::kRuns, {{"_id", trigger.run.str()}, {"state", "queued"}, {"seq", 1}}));
      tx.db.lost_race();
      return lost_race();
    }
    TG_CHECK(remember(tx, trigger.once, trigger.run.str()));
    // Last: without a transaction, one that is claimed in this moment stays beside the new one.
    for (RunRow& r : held) {
      TG_CHECK(supersede(tx, r, rules::kReplacedByHand));
      TG_CHECK(change_progress(tx, job.id, [&](JobRow& j) { rules::account(j.job, r.run); }));
    }
    return Created<RunId>{trigger.run};
  });
}

Result<Run> MongoStore::request_cancel(const WorkspaceId& ws, const RunId& id,
                                       const std::optional<Idempotency>& once) {
  return write([&](Tx& tx) -> Result<Run> {
    TG_TRY(auto row, find_run(tx.db, id));
    if (!row || (!ws.empty() && row->run.workspace != ws)) return rules::run_not_found(id);
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return std::move(row->run);
    if (model::is_terminal(row->run.state)) return rules::run_ended(row->run);
    TG_CHECK(cancel_run(tx, *row));
    if (model::is_terminal(row->run.state)) {
      TG_CHECK(change_progress(tx, row->run.job,
                               [&](JobRow& job) { rules::account(job.job, row->run); }));
    }
    TG_CHECK(remember(tx, once, id.str()));
    return std::move(row->run);
  });
}

}  // namespace tidegate::store::mongo
