// Runs while they are held: renewal, the end of an attempt, orphans.
#include <map>
#include <set>

#include "control/store/postgres/attempts.h"
#include "control/store/postgres/ledger.h"
#include "control/store/postgres/loader.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::Run;

namespace {

// ---- renewal

// Prolongs those that are still held by this owner under that fence. Locks them in the order of
// their ids first, as whoever ends attempts does.
Query prolong(const OwnerId& owner, Millis ttl, std::span<const Renewal> renewals) {
  return query(
      "UPDATE job_execution_locks l SET expires_at = h.at + $4 * interval '1 millisecond' FROM "
      "(SELECT x.run_id, tidegate_now() AS at FROM job_execution_locks x JOIN unnest($2, $3) AS "
      "i(run_id, fence) ON i.run_id = x.run_id AND i.fence = x.fence WHERE x.owner = $1 ORDER BY "
      "x.run_id FOR UPDATE OF x) h WHERE l.run_id = h.run_id RETURNING l.run_id, "
      "l.cancel_requested",
      owner, column(renewals, [](const Renewal& r) { return r.held.run; }),
      column(renewals, [](const Renewal& r) { return r.held.fence; }), ttl.count());
}

std::vector<RenewOutcome> outcomes(std::span<const Renewal> renewals, const Rows& held,
                                   HeldRuns& kept) {
  std::map<RunId, bool> cancel_requested;
  for (const Row row : held) cancel_requested[RunId(row.text(0))] = row.flag(1);
  std::vector<RenewOutcome> out;
  for (const Renewal& r : renewals) {
    const auto it = cancel_requested.find(r.held.run);
    const bool is_held = it != cancel_requested.end();
    if (is_held && it->second) kept.forget(r.held.run);
    out.push_back({.run = r.held.run, .held = is_held, .cancel_requested = is_held && it->second});
  }
  return out;
}

// Renewals that carry something to write: progress and states.
class News {
 public:
  explicit News(std::span<const Renewal> renewals) : renewals_(renewals) {
    for (const Renewal& r : renewals) {
      if (r.progress.empty() && r.committed.empty()) continue;
      ids_.push_back(r.held.run);
      if (!r.committed.empty()) committing_.push_back(r.held.run);
    }
  }
  bool empty() const { return ids_.empty(); }
  // A reset of the job forgets states: it comes before or after the whole of this.
  Query lock_jobs() const { return lock_jobs_of(committing_); }
  std::vector<Query> looks() const {
    return {query("SELECT " TG_LIVE_RUN_COLUMNS " FROM readable_runs WHERE id = ANY ($1)", ids_),
            JobStates::look(committing_)};
  }

  // What cannot be read loses its news, not its lease, and holds up no other.
  std::vector<Query> writes(std::span<const Rows> jobs_and_looks,
                            const std::vector<RenewOutcome>& held, Tx& tx, HeldRuns& kept,
                            BadRows& bad) const {
    JobStates states;
    states.learn(jobs_and_looks[0], jobs_and_looks[3]);
    std::map<RunId, Result<Run>> runs;
    for (const Row row : jobs_and_looks[2]) {
      runs.emplace(RunId(row.text(0)), live_run_from(row));
    }
    std::vector<Run> changed;
    for (std::size_t i = 0; i < held.size(); ++i) {
      const Renewal& renewal = renewals_[i];
      const auto run = runs.find(renewal.held.run);
      if (!held[i].held || run == runs.end()) continue;
      const Status told = [&]() -> Status {
        TG_TRY(Run next, run->second);
        if (!renewal.progress.empty()) next.progress = renewal.progress;
        if (!renewal.committed.empty()) {
          next.lost_in_row = 0;
          TG_CHECK(states.keep(next.job, renewal.committed));
        }
        kept.forget(next.id);
        changed.push_back(std::move(next));
        return {};
      }();
      if (!told) {
        bad.skip("run", run->first.str(), told.error());
      } else if (!renewal.progress.empty()) {
        tx.note(ChangeKind::Run, run->first.str());
      }
    }
    std::vector<Query> queries = states.writes();
    queries.push_back(update_runs(column(changed, [](const Run& r) { return &r; })));
    return queries;
  }

 private:
  std::span<const Renewal> renewals_;
  std::vector<RunId> ids_, committing_;
};

}  // namespace

Result<std::vector<RenewOutcome>> PostgresStore::renew_runs(const OwnerId& owner, Millis lease_ttl,
                                                            std::span<const Renewal> renewals) {
  const News news(renewals);
  if (news.empty()) {  // one statement, one round trip
    return db_.read([&](Session& db) -> Result<std::vector<RenewOutcome>> {
      TG_TRY(const auto held, db.run({prolong(owner, lease_ttl, renewals)}));
      return outcomes(renewals, held[0], held_);
    });
  }
  return db_.write([&](Tx& tx) -> Result<std::vector<RenewOutcome>> {
    std::vector<Query> queries{news.lock_jobs(), prolong(owner, lease_ttl, renewals)};
    for (auto& q : news.looks()) queries.push_back(std::move(q));
    TG_TRY(const auto rows, tx.start(std::move(queries)));
    auto out = outcomes(renewals, rows[1], held_);
    TG_TRY(const auto done, tx.commit(news.writes(rows, out, tx, held_, bad_rows_)));
    return out;
  });
}

// ---- the end of an attempt

Result<std::vector<Status>> PostgresStore::finish_attempts(std::span<const AttemptEnd> ends) {
  return db_.write([&](Tx& tx) -> Result<std::vector<Status>> {
    std::vector<RunId> committing;
    for (const AttemptEnd& end : ends) {
      if (!end.committed.empty()) committing.push_back(end.held.run);
    }
    Attempts attempts(column(ends, &AttemptEnd::held), std::move(committing), &held_);
    TG_TRY(const auto rows, tx.start(attempts.looks()));
    attempts.learn(rows);
    std::vector<Status> results;
    for (const AttemptEnd& end : ends) results.push_back(attempts.end(end, tx));
    TG_TRY(const auto done, tx.commit(attempts.writes()));
    return results;
  });
}

// ---- orphans

Result<std::vector<ClaimedRun>> PostgresStore::expired_runs(std::size_t limit) {
  return db_.read([&](Session& db) -> Result<std::vector<ClaimedRun>> {
    TG_TRY(const auto rows, db.run({load_expired(limit)}));
    RunLoader loader(specs_);
    TG_CHECK(loader.learn(db, rows[0]));
    std::vector<ClaimedRun> expired;
    for (const Row row : rows[0]) {
      if (auto loaded = loader.load(row)) {
        expired.push_back(std::move(*loaded));
      } else {
        bad_rows_.skip("run", row.text(0), loaded.error());
      }
    }
    return expired;
  });
}

Result<std::size_t> PostgresStore::release_orphans(const LeaderLease& lease,
                                                   std::span<const OrphanDecision> decisions) {
  return db_.write([&](Tx& tx) -> Result<std::size_t> {
    const auto runs = column(decisions, [](const OrphanDecision& d) { return d.held.run; });
    Attempts attempts(column(decisions, &OrphanDecision::held), runs);
    auto queries = attempts.looks();
    queries.insert(queries.begin(), hold_leader(lease));
    TG_TRY(const auto rows, tx.start(std::move(queries)));
    if (rows[0].empty()) return rules::leader_fenced();
    attempts.learn(std::span(rows).subspan(1));
    std::size_t released = 0;
    for (const OrphanDecision& d : decisions) {
      if (!attempts.is_held(d.held.run)) continue;
      AttemptEnd end = d.end;
      end.held = d.held;
      TG_CHECK(attempts.end(end, tx));
      ++released;
    }
    TG_TRY(const auto done, tx.commit(attempts.writes()));
    return released;
  });
}

}  // namespace tidegate::store::postgres
