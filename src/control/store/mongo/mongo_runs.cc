#include <algorithm>
#include <map>
#include <set>

#include "control/store/mongo/ledger.h"
#include "control/store/mongo/mongo_state.h"

namespace tidegate::store::mongo {

using model::ConnectionKind;
using model::RunState;

namespace {

constexpr std::size_t kJudgedAtOnce = 64;

// What a queued or running run excludes, as its document shows it.
struct Lane {
  RunId run;
  JobId job;
  ConnectionId destination;
  bool allow_overlap = false;
  std::string exclusive_key;
  bool by_schedule = false;
};

bj::object lane_fields() {
  return {{"jobId", 1},
          {"spec.destination", 1},
          {"spec.overlap", 1},
          {"exclusiveKey", 1},
          {"trigger", 1}};
}

Lane lane_from(const bj::object& o) {
  Lane lane{
      .run = RunId(text_of(o, "_id")),
      .job = JobId(text_of(o, "jobId")),
      .destination = {},
      .exclusive_key = text_of(o, "exclusiveKey"),
      .by_schedule = text_of(o, "trigger") == "schedule" || text_of(o, "trigger") == "catchup"};
  if (const auto* spec = o.if_contains("spec"); spec != nullptr && spec->is_object()) {
    lane.destination = ConnectionId(text_of(spec->get_object(), "destination"));
    lane.allow_overlap = text_of(spec->get_object(), "overlap") ==
                         model::kOverlapNames[static_cast<std::size_t>(model::Overlap::Allow)];
  }
  return lane;
}

// Chooses the runs of one claim: what runs already and what was chosen before excludes.
class Chooser {
 public:
  static Result<Chooser> open(Conn& db) {
    Chooser chooser;
    TG_CHECK(db.each(coll::kRuns, {.filter = {{"state", "running"}}, .projection = lane_fields()},
                     [&](const bj::object& o) {
                       chooser.take(lane_from(o));
                       return true;
                     }));
    TG_CHECK(db.each(coll::kDestinations,
                     {.filter = {{"exclusiveKey", bj::object{{"$exists", true}}}},
                      .projection = {{"exclusiveKey", 1}}},
                     [&](const bj::object& o) {
                       chooser.keys_[ConnectionId(text_of(o, "_id"))] = text_of(o, "exclusiveKey");
                       return true;
                     }));
    return chooser;
  }

  bool admit(Lane lane) {
    if (const auto it = keys_.find(lane.destination); it != keys_.end()) {
      lane.exclusive_key = it->second;
    }
    if (alone_.contains(lane.job) || (!lane.allow_overlap && busy_.contains(lane.job)) ||
        (!lane.exclusive_key.empty() && busy_keys_.contains(lane.exclusive_key))) {
      return false;
    }
    take(lane);
    return true;
  }

 private:
  void take(const Lane& lane) {
    busy_.insert(lane.job);
    if (!lane.allow_overlap) alone_.insert(lane.job);
    if (!lane.exclusive_key.empty()) busy_keys_.insert(lane.exclusive_key);
  }

  std::map<ConnectionId, std::string> keys_;
  std::set<JobId> busy_, alone_;
  std::set<std::string> busy_keys_;
};

// Those of the lanes' jobs that hold what their schedule made: rules::is_held.
Result<std::set<JobId>> holding_jobs(Conn& db, const std::vector<Lane>& lanes, Instant now) {
  std::set<JobId> jobs, holding;
  for (const Lane& lane : lanes) {
    if (lane.by_schedule) jobs.insert(lane.job);
  }
  if (jobs.empty()) return holding;
  const bj::object over{{"pause.until", bj::object{{"$lte", date(now)}}}};
  const bj::object paused{{"pause", bj::object{{"$exists", true}}}, {"$nor", bj::array{over}}};
  TG_CHECK(
      db.each(coll::kJobs,
              {.filter = {{"_id", any_of(jobs, [](const JobId& j) { return bj::value(j.str()); })},
                          {"$or", bj::array{bj::object{{"spec.enabled", false}}, paused}}},
               .projection = {{"_id", 1}}},
              [&](const bj::object& o) {
                holding.insert(JobId(text_of(o, "_id")));
                return true;
              }));
  return holding;
}

Result<std::vector<RunId>> choose(Conn& db, Instant now, std::size_t max,
                                  const std::set<RunId>& left_out) {
  std::vector<RunId> chosen;
  const bj::object due{
      {"state", "queued"},
      {"$or",
       bj::array{bj::object{{"notBefore", bj::object{{"$lte", date(now)}}}},
                 bj::object{{"sortAt", bj::object{{"$gt", date(now + rules::kAheadOfClock)}}}}}}};
  // Most claims find nothing.
  TG_TRY(const bool some, db.exists(coll::kRuns, due));
  if (!some) return chosen;
  TG_TRY(Chooser chooser, Chooser::open(db));
  std::vector<Lane> lanes;
  const auto judge = [&]() -> Status {
    TG_TRY(const auto holding, holding_jobs(db, lanes, now));
    for (Lane& lane : lanes) {
      if (chosen.size() >= max) break;
      if (left_out.contains(lane.run) || (lane.by_schedule && holding.contains(lane.job))) continue;
      const RunId id = lane.run;
      if (chooser.admit(std::move(lane))) chosen.push_back(id);
    }
    lanes.clear();
    return {};
  };
  TG_CHECK(
      db.each(coll::kRuns,
              {.filter = due, .sort = {{"sortAt", 1}, {"_id", 1}}, .projection = lane_fields()},
              [&](const bj::object& o) -> Result<bool> {
                lanes.push_back(lane_from(o));
                if (lanes.size() >= kJudgedAtOnce) TG_CHECK(judge());
                return chosen.size() < max;
              }));
  TG_CHECK(judge());
  return chosen;
}

// The end of a pause that holds some.
Result<std::optional<Instant>> next_end_of_pause(Conn& db, Instant now) {
  std::optional<Instant> end;
  TG_CHECK(db.each(coll::kJobs,
                   {.filter = {{"pause", bj::object{{"$exists", true}}},
                               {"pause.until", bj::object{{"$gt", date(now)}}}},
                    .sort = {{"pause.until", 1}},
                    .projection = {{"pause.until", 1}}},
                   [&](const bj::object& o) -> Result<bool> {
                     TG_TRY(const bool some, db.exists(coll::kRuns, {{"jobId", text_of(o, "_id")},
                                                                     {"state", "queued"}}));
                     const auto* pause = o.if_contains("pause");
                     if (some && pause != nullptr && pause->is_object()) {
                       end = time_of(pause->get_object(), "until");
                     }
                     return !end;
                   }));
  return end;
}

Result<std::optional<Instant>> next_start(Conn& db, Instant now) {
  TG_TRY(const auto found,
         db.find_one(coll::kRuns, {.filter = {{"state", "queued"},
                                              {"notBefore", bj::object{{"$gt", date(now)}}}},
                                   .sort = {{"notBefore", 1}},
                                   .projection = {{"notBefore", 1}}}));
  TG_TRY(auto next, next_end_of_pause(db, now));
  if (!found) return next;
  const Instant start = time_of(*found, "notBefore");
  return next ? std::min(*next, start) : start;
}

Result<std::shared_ptr<const model::Connection>> connection_of(Conn& db, ConnectionKind kind,
                                                               const ConnectionId& id) {
  TG_TRY(auto found, find_connection(db, kind, id));
  if (found) return std::make_shared<const model::Connection>(std::move(*found));
  return fail(Code::Internal, "a run refers to the connection '" + id.str() +
                                  "', which the store does not hold; this is a defect");
}

// All that its worker needs of a run.
Result<ClaimedRun> load(Conn& db, const JobRow& row, const RunRow& run) {
  if (!run.spec) {
    return fail(Code::Internal, "the run '" + run.run.id.str() + "' has no spec; this is a defect");
  }
  ClaimedRun out;
  out.run = run.run;
  out.spec = std::make_shared<const model::JobSpec>(*run.spec);
  out.reset_epoch = row.job.reset_epoch;
  out.known_state = row.job.known_state;
  TG_TRY(out.source, connection_of(db, ConnectionKind::Source, run.spec->source_id));
  TG_TRY(out.destination, connection_of(db, ConnectionKind::Destination, run.spec->destination_id));
  return out;
}

Result<JobRow> job_of(Conn& db, const RunRow& run) {
  TG_TRY(auto row, find_job(db, run.run.job));
  if (row) return std::move(*row);
  return fail(Code::Internal, "a run refers to the job '" + run.run.job.str() +
                                  "', which the store does not hold; this is a defect");
}

// Something runs already that the run may not run beside.
Result<bool> is_blocked(Conn& db, const RunRow& run, const std::string& exclusive_key) {
  bj::object others{{"jobId", run.run.job.str()}, {"state", "running"}};
  if (rules::allows_overlap(*run.spec)) others["lane"] = bj::object{{"$exists", true}};
  TG_TRY(const bool busy_job, db.exists(coll::kRuns, others));
  if (busy_job || exclusive_key.empty()) return busy_job;
  return db.exists(coll::kRuns, {{"exclusiveKey", exclusive_key}});
}

}  // namespace

// Takes one run that was queued when it was looked for; nullopt when it cannot start any more.
// The job comes first: should the process die in between, a fence is left out, nothing else.
Result<std::optional<ClaimedRun>> MongoStore::start(const ClaimParams& params, const RunId& id) {
  using Answer = std::optional<ClaimedRun>;
  return write([&](Tx& tx) -> Result<Answer> {
    TG_TRY(auto run, find_run(tx.db, id));
    if (!run || run->run.state != RunState::Queued) return Answer();
    TG_TRY(auto row, job_of(tx.db, *run));
    const model::SyncJob& job = row.job;
    if (rules::is_held(job.spec.enabled, job.pause, run->run.trigger, tx.now)) return Answer();
    TG_TRY(ClaimedRun out, load(tx.db, row, *run));
    TG_TRY(const bool blocked, is_blocked(tx.db, *run, out.destination->exclusive_key));
    if (blocked) return Answer();
    row.fence = rules::next_fence(row.fence, tx.now);
    TG_TRY(const auto matched,
           tx.db.update(
               coll::kJobs, {{"_id", row.job.id.str()}, {"seq", row.seq}},
               {{"$set", bj::object{{"fence", value(row.fence)}, {"lastRunAt", date(tx.now)}}},
                {"$inc", bj::object{{"seq", 1}}}}));
    if (matched == 0) {
      tx.db.lost_race();
      return lost_race();
    }
    rules::begin_attempt(run->run, params.owner, row.fence, out.destination->exclusive_key, tx.now);
    run->lease_until = tx.now + params.lease_ttl;
    if (Status saved = save_run(tx, *run); !saved) {
      // Another run took the lane or the exclusive key.
      if (saved.error().reason == kDuplicate) return Answer();
      return fail(saved.error());
    }
    out.run = run->run;
    return out;
  });
}

Result<QueueStore::Claim> MongoStore::claim_runs(const ClaimParams& params) {
  Claim claim;
  std::set<RunId> left_out;  // taken by others since, or not readable
  TG_TRY(const Instant at, now());
  while (claim.runs.size() < params.max) {
    std::vector<RunId> chosen;
    {
      Conn conn(*pool_);
      TG_TRY(chosen, choose(conn, at, params.max - claim.runs.size(), left_out));
    }
    if (chosen.empty()) break;
    for (const RunId& id : chosen) {
      auto started = start(params, id);
      if (started && *started) {
        claim.runs.push_back(std::move(**started));
        continue;
      }
      left_out.insert(id);
      if (started || bad_rows_.skip("run", id.str(), started.error())) continue;
      // What was taken before is this worker's.
      if (claim.runs.empty()) return fail(started.error());
      return claim;
    }
  }
  Conn conn(*pool_);
  auto next = next_start(conn, at);
  if (next) claim.next = *next;
  if (!next && claim.runs.empty()) return fail(next.error());
  return claim;
}

// ---- renewal

namespace {

bj::object held_run(const OwnerId& owner, const HeldRun& held) {
  return {{"_id", held.run.str()},
          {"state", "running"},
          {"owner", owner.str()},
          {"fence", value(held.fence)}};
}

bj::object renewal_of(const Renewal& renewal, Instant until, std::string_view self) {
  bj::object set{{"expiresAt", date(until)}};
  if (!renewal.progress.empty()) set["progress"] = progress_document(renewal.progress, self);
  if (!renewal.committed.empty()) set["lost"] = 0;
  return {{"$set", std::move(set)}, {"$inc", bj::object{{"seq", 1}}}};
}

}  // namespace

// One command, before anything is read that could fail at one of them. What is held after it was
// held by it, as nobody is given the same fence again.
Result<MongoStore::Prolonged> MongoStore::prolong(const OwnerId& owner, Millis lease_ttl,
                                                  std::span<const Renewal> renewals) {
  return write_one([&](Tx& tx) -> Result<Prolonged> {
    bj::array updates;
    std::map<RunId, std::int64_t> fences;
    for (const Renewal& r : renewals) {
      updates.push_back(bj::object{{"q", held_run(owner, r.held)},
                                   {"u", renewal_of(r, tx.now + lease_ttl, self_)}});
      fences[r.held.run] = value(r.held.fence);
    }
    TG_CHECK(tx.db.run_write(
        {{"update", coll::kRuns}, {"updates", std::move(updates)}, {"ordered", false}}));
    Prolonged held;
    const auto id = [](const Renewal& r) { return bj::value(r.held.run.str()); };
    TG_CHECK(tx.db.each(
        coll::kRuns,
        {.filter = {{"_id", any_of(renewals, id)}, {"state", "running"}, {"owner", owner.str()}},
         .projection = {{"cancel", 1}, {"fence", 1}, {"jobId", 1}}},
        [&](const bj::object& o) {
          const RunId run(text_of(o, "_id"));
          if (number_of(o, "fence") == fences[run]) {
            held[run] = {.job = JobId(text_of(o, "jobId")), .cancel = flag_of(o, "cancel")};
          }
          return true;
        }));
    for (const Renewal& r : renewals) {
      if (!r.progress.empty() && held.contains(r.held.run)) {
        tx.note(ChangeKind::Run, r.held.run.str());
      }
    }
    return held;
  });
}

// Whether the run is still held, under which its job learns the states.
Result<bool> MongoStore::keep_committed(const OwnerId& owner, const Renewal& renewal,
                                        const JobId& job) {
  return write([&](Tx& tx) -> Result<bool> {
    TG_TRY(const auto matched, tx.db.update(coll::kRuns, held_run(owner, renewal.held),
                                            {{"$inc", bj::object{{"seq", 1}}}}));
    if (matched == 0) return false;
    TG_CHECK(change_progress(tx, job,
                             [&](JobRow& row) { rules::keep_states(row.job, renewal.committed); }));
    return true;
  });
}

// Leases first: a job that cannot be read loses the news of its states, not its run's lease, and
// holds up no other.
Result<std::vector<RenewOutcome>> MongoStore::renew_runs(const OwnerId& owner, Millis lease_ttl,
                                                         std::span<const Renewal> renewals) {
  std::vector<RenewOutcome> outcomes;
  if (renewals.empty()) return outcomes;
  TG_TRY(const auto prolonged, prolong(owner, lease_ttl, renewals));
  for (const Renewal& r : renewals) {
    const auto it = prolonged.find(r.held.run);
    const bool held = it != prolonged.end();
    outcomes.push_back({r.held.run, held, held && it->second.cancel});
    if (!held || r.committed.empty()) continue;
    const auto kept = keep_committed(owner, r, it->second.job);
    if (kept) {
      outcomes.back().held = *kept;
    } else if (!bad_rows_.skip("job", it->second.job.str(), kept.error())) {
      return fail(kept.error());
    }
  }
  return outcomes;
}

// ---- the end of an attempt

// Fenced unless the run is held under that fence (and its lease is as it was, where that is given);
// success for a repetition.
Status MongoStore::finish(Tx& tx, const AttemptEnd& end, std::optional<Instant> lease_until) {
  TG_TRY(auto row, find_run(tx.db, end.held.run));
  if (row && rules::is_repeat(row->run, end)) return {};
  if (!row || row->run.state != RunState::Running || row->run.fence != end.held.fence ||
      (lease_until && row->lease_until > *lease_until)) {
    return rules::run_fenced(end.held.run);
  }
  TG_CHECK(rules::check_move(row->run.state, end.next));
  rules::end_attempt(row->run, end, tx.now);
  TG_CHECK(save_run(tx, *row));
  return change_progress(tx, row->run.job, [&](JobRow& job) {
    rules::keep_states(job.job, end.committed);
    job.fence = rules::fence_after(job.fence, end);
    if (model::is_terminal(row->run.state)) rules::account(job.job, row->run);
  });
}

Result<std::vector<Status>> MongoStore::finish_attempts(std::span<const AttemptEnd> ends) {
  std::vector<Status> results;
  for (const AttemptEnd& end : ends) {
    Status status = write([&](Tx& tx) { return finish(tx, end, std::nullopt); });
    // A refusal, and a document that cannot be read, are this attempt's answer; when the store is
    // away, the caller repeats them all.
    if (!status && status.error().code == Code::Unavailable) return fail(status.error());
    results.push_back(std::move(status));
  }
  return results;
}

// ---- orphans

// What cannot be read takes no place of others.
Result<std::vector<ClaimedRun>> MongoStore::expired_runs(std::size_t limit) {
  TG_TRY(const Instant at, now());
  Conn conn(*pool_);
  std::vector<ClaimedRun> expired;
  if (limit == 0) return expired;
  const bj::object over{{"state", "running"}, {"expiresAt", bj::object{{"$lte", date(at)}}}};
  TG_CHECK(conn.each(coll::kRuns, {.filter = over}, [&](bj::object o) -> Result<bool> {
    const std::string id = text_of(o, "_id");
    auto loaded = [&]() -> Result<ClaimedRun> {
      TG_TRY(const RunRow run, run_from(std::move(o)));
      TG_TRY(const JobRow row, job_of(conn, run));
      return load(conn, row, run);
    }();
    if (loaded) {
      expired.push_back(std::move(*loaded));
    } else if (!bad_rows_.skip("run", id, loaded.error())) {
      return fail(loaded.error());
    }
    return expired.size() < limit;
  }));
  return expired;
}

Result<std::size_t> MongoStore::release_orphans(const LeaderLease& lease,
                                                std::span<const OrphanDecision> decisions) {
  return write([&](Tx& tx) -> Result<std::size_t> {
    TG_CHECK(check_leader(tx, lease));
    std::size_t released = 0;
    for (const OrphanDecision& d : decisions) {
      AttemptEnd end = d.end;
      end.held = d.held;
      const Status status = finish(tx, end, tx.now);
      if (!status && status.error().code == Code::Fenced) continue;  // renewed, or ended by itself
      TG_CHECK(status);
      ++released;
    }
    return released;
  });
}

}  // namespace tidegate::store::mongo
