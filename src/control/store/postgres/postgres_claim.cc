// Claims: out of the queue, under a lock of its own.
#include "control/store/postgres/loader.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

namespace {

// Something due was not taken: another transaction had it locked, or one exclusive key stood for
// several. It is looked for again then.
constexpr Millis kAgain{20};

// A queued run that may start: its job does not hold it (rules::is_held), its job and destination
// have nothing running that excludes it, and no earlier run of the job waits. Parameters: $1 run
// ids that are left out, $2 rules::kAheadOfClock.
#define TG_ELIGIBLE                                                                                \
  " FROM run_queue q JOIN sync_jobs j ON j.id = q.job_id LEFT JOIN connections d ON d.id = "       \
  "q.destination_id CROSS JOIN clock CROSS JOIN LATERAL (SELECT NOT j.enabled OR (j.pause_since "  \
  "IS NOT NULL AND coalesce(j.pause_until > clock.at, true)) AS holds) h WHERE (q.not_before <= "  \
  "clock.at OR q.sort_at > clock.ahead) AND NOT (q.by_schedule AND h.holds) AND q.run_id <> ALL "  \
  "($1) AND NOT EXISTS (SELECT 1 FROM job_execution_locks l WHERE l.job_id = q.job_id AND NOT "    \
  "(l.allow_overlap AND q.allow_overlap)) AND NOT EXISTS (SELECT 1 FROM run_queue p WHERE "        \
  "p.job_id = q.job_id AND (p.sort_at, p.run_id) < (q.sort_at, q.run_id) AND (p.not_before <= "    \
  "clock.at OR p.sort_at > clock.ahead) AND NOT (p.by_schedule AND h.holds) AND NOT "              \
  "(p.allow_overlap AND q.allow_overlap) AND p.run_id <> ALL ($1)) AND (coalesce(d.exclusive_key," \
  " '') = '' OR NOT EXISTS (SELECT 1 FROM job_execution_locks l WHERE l.exclusive_key <> '' AND "  \
  "l.exclusive_key = d.exclusive_key)) "
#define TG_CLOCK                                                                             \
  "WITH clock AS MATERIALIZED (SELECT at, at + $2 * interval '1 millisecond' AS ahead FROM " \
  "(SELECT tidegate_now() AS at) t) "

#define TG_ADD_LOCKS                                                                               \
  "INSERT INTO job_execution_locks (run_id, job_id, owner, fence, acquired_at, expires_at, "       \
  "exclusive_key, allow_overlap, cancel_requested) SELECT run_id, job_id, $4, fence, at, at + $5 " \
  "* interval '1 millisecond', exclusive_key, allow_overlap, false FROM fenced WHERE "
#define TG_TAKEN "(f.exclusive_key = '' OR (f.run_id IN (SELECT run_id FROM keyed)) IS TRUE)"

// One statement: chooses under the locks of the jobs, passing over what somebody else has locked;
// adds the lock of each run, which is all that begins its attempt (readable_runs); takes it out of
// the queue; reads what executing it needs. Of two claimers of one exclusive key the unique index
// lets one through. (A row that says what to do on a conflict costs twice as much to insert, so
// only those with a key do. IS TRUE keeps the planner from a join without a hash.) Several runs of
// one job, which may overlap, get growing fences.
// A run may have left the queue between the statement's snapshot and the lock of its job; its row
// of the queue, told by its place, is gone then: the last column counts those that were there.
Query take(const std::vector<RunId>& left_out, const ClaimParams& params) {
  return query(
      TG_CLOCK
      ", picked AS MATERIALIZED (SELECT q.run_id, q.ctid AS place, q.job_id, q.sort_at, "
      "q.allow_overlap, coalesce(d.exclusive_key, '') AS exclusive_key, clock.at, j.reset_epoch, "
      "greatest(j.fence, CASE WHEN q.allow_overlap THEN (SELECT max(l.fence) "
      "FROM job_execution_locks l WHERE l.job_id = q.job_id) END) AS newest" TG_ELIGIBLE
      "ORDER BY q.sort_at, q.run_id LIMIT $3 FOR UPDATE OF j SKIP LOCKED), fenced AS MATERIALIZED "
      "(SELECT *, greatest(newest + 1, (extract(epoch FROM at) * 1000)::bigint) + CASE WHEN "
      "allow_overlap THEN (SELECT count(*) FROM picked p WHERE p.job_id = picked.job_id AND "
      "(p.sort_at, p.run_id) < (picked.sort_at, picked.run_id)) ELSE 0 END AS fence FROM picked), "
      "unkeyed AS "
      "(" TG_ADD_LOCKS "exclusive_key = ''), keyed AS (" TG_ADD_LOCKS
      "exclusive_key <> '' ORDER BY exclusive_key, sort_at, run_id ON CONFLICT DO NOTHING "
      "RETURNING run_id), gone AS (DELETE FROM run_queue q USING fenced f WHERE q.ctid = f.place "
      "AND q.run_id = f.run_id AND " TG_TAKEN
      " RETURNING 1) SELECT r.*, s.states, f.reset_epoch, f.run_id, f.fence, "
      "f.exclusive_key, f.at, (SELECT count(*) FROM gone) FROM fenced f LEFT JOIN LATERAL "
      "(SELECT " TG_LOADED_RUN_COLUMNS("NULL::timestamptz") " FROM sync_runs WHERE id = f.run_id) r "
      "ON true LEFT JOIN job_states s ON s.job_id = f.job_id WHERE " TG_TAKEN,
      left_out, rules::kAheadOfClock.count(), params.max, params.owner, params.lease_ttl.count());
}

Query any_eligible(const std::vector<RunId>& left_out) {
  return query(TG_CLOCK "SELECT 1" TG_ELIGIBLE "LIMIT 1", left_out, rules::kAheadOfClock.count());
}

// When the next run's time comes, or a pause ends that holds some.
Query next_start() {
  return query(
      "WITH clock AS MATERIALIZED (SELECT tidegate_now() AS at) SELECT least((SELECT "
      "min(not_before) FROM run_queue WHERE not_before > (SELECT at FROM clock)), (SELECT "
      "min(pause_until) FROM sync_jobs j WHERE pause_until > (SELECT at FROM clock) AND EXISTS "
      "(SELECT 1 FROM run_queue q WHERE q.job_id = j.id AND q.by_schedule)))");
}

// Those that could be read; the others are left out from now on.
Result<std::vector<ClaimedRun>> read_taken(Session& db, const Rows& rows, const OwnerId& owner,
                                           std::vector<RunId>& left_out, SpecCache& specs,
                                           BadRows& bad) {
  RunLoader loader(specs);
  TG_CHECK(loader.learn(db, rows));
  std::vector<ClaimedRun> runs;
  runs.reserve(static_cast<std::size_t>(rows.size()));
  for (const Row row : rows) {
    const Row more = row.from(kLoadedColumns);
    auto loaded = loader.load(row);
    if (!loaded) {
      bad.skip("run", more.text(0), loaded.error());
      left_out.emplace_back(more.text(0));
      continue;
    }
    rules::begin_attempt(loaded->run, owner, Fence{more.integer(1)}, more.text(2), more.time(3));
    runs.push_back(std::move(*loaded));
  }
  return runs;
}

std::int64_t left_queue(const Rows& taken) {
  return taken.empty() ? 0 : taken.front().from(kLoadedColumns).integer(4);
}

}  // namespace

Result<QueueStore::Claim> PostgresStore::claim_runs(const ClaimParams& params) {
  // One after the other: a second claim would look at all that the first has locked.
  const std::scoped_lock one(claiming_);
  return db_.write([&](Tx& tx) -> Result<Claim> {
    Claim claim;
    std::vector<RunId> left_out;
    for (;;) {
      std::vector<Query> queries{next_start()};
      if (params.max > 0) queries.push_back(take(left_out, params));
      TG_TRY(const auto rows, tx.start(std::move(queries)));
      claim.next = rows[0].front().maybe_time(0);
      if (params.max == 0) return claim;
      const std::size_t known = left_out.size();
      TG_TRY(claim.runs, read_taken(tx.db, rows[1], params.owner, left_out, specs_, bad_rows_));
      if (left_out.size() == known && left_queue(rows[1]) == rows[1].size()) break;
      TG_CHECK(tx.db.script("ROLLBACK"));
    }
    std::vector<Query> more;
    if (claim.runs.size() < params.max) more.push_back(any_eligible(left_out));
    TG_TRY(const auto done,
           claim.runs.empty() ? tx.give_up(std::move(more)) : tx.commit(std::move(more)));
    if (claim.runs.size() < params.max && !done[0].empty()) claim.next = tx.now + kAgain;
    for (const ClaimedRun& run : claim.runs) {
      tx.note(ChangeKind::Run, run.run.id.str());
      held_.keep(run.run);
    }
    return claim;
  });
}

}  // namespace tidegate::store::postgres
