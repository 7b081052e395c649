// Claims: out of the queue, under a lock of its own.
#include <algorithm>
#include <map>
#include <set>

#include "control/store/postgres/loader.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::Run;

namespace {

// Something due was locked by another transaction: it is looked for again then.
constexpr Millis kLockedRetry{20};

// A queued run that may start: its job does not hold it (rules::is_held), its job and destination
// have nothing running that excludes it, and no earlier run of the job waits. Parameters: $1 run
// ids that are left out, $2 run ids chosen already, $3 exclusive keys chosen already.
#define TG_ELIGIBLE                                                                                \
  " FROM run_queue q JOIN sync_jobs j ON j.id = q.job_id LEFT JOIN connections d ON d.id = "       \
  "q.destination_id CROSS JOIN clock CROSS JOIN LATERAL (SELECT NOT j.enabled OR (j.pause_since "  \
  "IS NOT NULL AND coalesce(j.pause_until > clock.at, true)) AS holds) h WHERE (q.not_before <= "  \
  "clock.at OR q.sort_at > clock.ahead) AND NOT (q.by_schedule AND h.holds) AND q.run_id <> ALL "  \
  "($1) AND q.run_id <> ALL ($2) AND NOT EXISTS (SELECT 1 FROM job_execution_locks l WHERE "       \
  "l.job_id = q.job_id AND NOT (l.allow_overlap AND q.allow_overlap)) AND NOT EXISTS (SELECT 1 "   \
  "FROM run_queue p WHERE p.job_id = q.job_id AND (p.sort_at, p.run_id) < (q.sort_at, q.run_id) "  \
  "AND (p.not_before <= clock.at OR p.sort_at > clock.ahead) AND NOT (p.by_schedule AND h.holds) " \
  "AND NOT (p.allow_overlap AND q.allow_overlap) AND p.run_id <> ALL ($1)) AND NOT EXISTS "        \
  "(SELECT 1 FROM job_execution_locks l WHERE l.exclusive_key <> '' AND l.exclusive_key = "        \
  "d.exclusive_key) AND coalesce(d.exclusive_key, '') <> ALL ($3) "
#define TG_CLOCK                                                                             \
  "WITH clock AS MATERIALIZED (SELECT at, at + $4 * interval '1 millisecond' AS ahead FROM " \
  "(SELECT tidegate_now() AS at) t) "

struct Chosen {
  RunId id;
  std::string exclusive_key;
};

// The choice of one claim, as it grows.
struct Choice {
  std::vector<RunId> left_out, chosen;
  std::vector<std::string> keys;

  template <class... More>
  Query ask(std::string sql, const More&... more) const {
    return query(std::move(sql), left_out, chosen, keys, rules::kAheadOfClock.count(), more...);
  }
  // Locks the runs' jobs, and with them the runs; what somebody else has locked is passed over. A
  // run may have left the queue since the statement began: that shows in its row.
  Query pick(std::size_t max) const {
    return ask(TG_CLOCK "SELECT q.run_id, d.exclusive_key" TG_ELIGIBLE
                        "ORDER BY q.sort_at, q.run_id LIMIT $5 FOR UPDATE OF j SKIP LOCKED",
               max);
  }
  Query any_eligible() const { return ask(TG_CLOCK "SELECT 1" TG_ELIGIBLE "LIMIT 1"); }
};

// When the next run's time comes, or a pause ends that holds some.
Query next_start() {
  return query(
      "WITH clock AS MATERIALIZED (SELECT tidegate_now() AS at) SELECT least((SELECT "
      "min(not_before) FROM run_queue WHERE not_before > (SELECT at FROM clock)), (SELECT "
      "min(pause_until) FROM sync_jobs j WHERE pause_until > (SELECT at FROM clock) AND EXISTS "
      "(SELECT 1 FROM run_queue q WHERE q.job_id = j.id AND q.by_schedule)))");
}

// Fills the choice up to `max`. One exclusive key may have several of the runs picked at once; only
// the first counts, and the next look passes over that key.
Result<std::vector<Chosen>> fill(Session& db, Choice& choice, std::size_t max, const Rows* rows) {
  std::vector<Chosen> found;
  std::optional<Rows> more;
  for (;;) {
    bool twice = false;
    for (const Row row : *rows) {
      std::string key = row.text(1);
      if (!key.empty()) {
        if (std::ranges::find(choice.keys, key) != choice.keys.end()) {
          twice = true;
          continue;
        }
        choice.keys.push_back(key);
      }
      found.push_back({RunId(row.text(0)), std::move(key)});
      choice.chosen.push_back(found.back().id);
    }
    if (!twice || choice.chosen.size() >= max) return found;
    TG_TRY(auto picked, db.run({choice.pick(max - choice.chosen.size())}));
    more.emplace(std::move(picked.front()));
    rows = &*more;
  }
}

// Loads what was chosen, and chooses again in place of what cannot be read.
Result<std::vector<ClaimedRun>> load(Tx& tx, Choice& choice, std::size_t max, const Rows& first,
                                     const ClaimParams& params, BadRows& bad) {
  std::vector<ClaimedRun> out;
  std::map<JobId, Fence> fences;  // a job that may overlap has several runs here
  TG_TRY(auto chosen, fill(tx.db, choice, max, &first));
  RunLoader loader;
  while (!chosen.empty()) {
    TG_TRY(const auto rows, tx.db.run({load_runs(column(chosen, &Chosen::id))}));
    TG_CHECK(loader.learn_connections(tx.db, rows[0]));
    std::map<RunId, Row> by_id;
    for (const Row row : rows[0]) by_id.emplace(RunId(row.text(0)), row);
    const std::size_t known = choice.left_out.size();
    out.reserve(out.size() + chosen.size());
    for (Chosen& c : chosen) {
      const auto row = by_id.find(c.id);
      if (row == by_id.end()) continue;
      auto loaded = loader.load(row->second);
      if (!loaded) {
        bad.skip("run", c.id.str(), loaded.error());
        choice.left_out.push_back(c.id);
        std::erase(choice.chosen, c.id);
        std::erase(choice.keys, c.exclusive_key);
        continue;
      }
      ClaimedRun& claimed = loaded->run;
      if (claimed.run.state != model::RunState::Queued) continue;
      Fence& fence = fences.try_emplace(claimed.run.job, loaded->fence).first->second;
      fence = rules::next_fence(fence, tx.now);
      claimed.job.last_run_at = tx.now;
      rules::begin_attempt(claimed.run, params.owner, fence, std::move(c.exclusive_key), tx.now);
      out.push_back(std::move(claimed));
    }
    if (choice.left_out.size() == known) break;
    TG_TRY(const auto again, tx.db.run({choice.pick(max - choice.chosen.size())}));
    TG_TRY(chosen, fill(tx.db, choice, max, &again.front()));
  }
  return out;
}

#define TG_LOCK_COLUMNS                                                                          \
  "(run_id, job_id, owner, fence, acquired_at, expires_at, exclusive_key, allow_overlap, "       \
  "cancel_requested) SELECT run_id, job_id, $9, fence, $10, $11, exclusive_key, allow_overlap, " \
  "false FROM i WHERE NOT EXISTS (SELECT 1 FROM job_execution_locks l WHERE l.job_id = "         \
  "i.job_id AND NOT (l.allow_overlap AND i.allow_overlap)) AND "

// Takes each run whose lock can be had. Under the lock of its job only an exclusive key may be
// gone: of two claimers of one key the unique index lets one through. (A row that says what to do
// on a conflict costs twice as much to insert, so only those with a key do. IS TRUE keeps the
// planner from a join without a hash.) The ids of those taken.
Query start_runs(const std::vector<ClaimedRun>& claimed, const OwnerId& owner, Instant now,
                 Instant expires) {
  const auto of_run = [&](auto&& part) {
    return column(claimed, [&](const ClaimedRun& c) { return std::invoke(part, c.run); });
  };
  return query(
      "WITH i AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) AS i(run_id, "
      "job_id, fence, attempt, started_at, exclusive_key, detail, allow_overlap)), unkeyed AS "
      "(INSERT INTO job_execution_locks " TG_LOCK_COLUMNS
      "exclusive_key = '' RETURNING run_id, job_id, fence), keyed AS (INSERT INTO "
      "job_execution_locks " TG_LOCK_COLUMNS
      "exclusive_key <> '' ORDER BY exclusive_key ON CONFLICT DO NOTHING RETURNING run_id, job_id, "
      "fence), taken AS MATERIALIZED (SELECT * FROM unkeyed UNION ALL SELECT * FROM keyed), gone "
      "AS (DELETE FROM run_queue WHERE run_id = ANY (ARRAY(SELECT run_id FROM taken))), started AS "
      "(UPDATE sync_runs r SET state = 'running', attempt = i.attempt, started_at = i.started_at, "
      "owner = $9, fence = i.fence, error_kind = '', error = '', exclusive_key = i.exclusive_key, "
      "detail = NULLIF(i.detail, '')::json FROM i WHERE r.id = i.run_id AND (i.run_id IN (SELECT "
      "run_id FROM taken)) IS TRUE), fenced AS (UPDATE sync_jobs j SET fence = m.fence, "
      "last_run_at = $10 FROM (SELECT job_id, max(fence) AS fence FROM taken GROUP BY job_id) m "
      "WHERE j.id = m.job_id) SELECT run_id FROM taken",
      of_run(&Run::id), of_run(&Run::job), of_run(&Run::fence), of_run(&Run::attempt),
      of_run(&Run::started_at), of_run(&Run::exclusive_key), of_run(sql::run_detail),
      column(claimed, [](const ClaimedRun& c) { return rules::allows_overlap(c.job.spec); }), owner,
      now, expires);
}

}  // namespace

// Under the locks of the chosen runs and jobs nothing that was judged can change, but exclusive
// keys, which start_runs leaves to their unique index.
Result<QueueStore::Claim> PostgresStore::take_runs(Tx& tx, const ClaimParams& params) {
  Claim claim;
  Choice choice;
  std::vector<Query> looks{next_start()};
  if (params.max > 0) looks.push_back(choice.pick(params.max));
  TG_TRY(const auto rows, tx.start(std::move(looks)));
  claim.next = rows[0].front().maybe_time(0);
  if (params.max == 0) return claim;
  TG_TRY(auto runs, load(tx, choice, params.max, rows[1], params, bad_rows_));
  std::vector<Query> writes;
  if (runs.size() < params.max) writes.push_back(choice.any_eligible());
  if (!runs.empty()) {
    writes.push_back(start_runs(runs, params.owner, tx.now, tx.now + params.lease_ttl));
  }
  TG_TRY(const auto done, tx.commit(std::move(writes)));
  // Passed over because another transaction had it locked.
  if (runs.size() < params.max && !done[0].empty()) claim.next = tx.now + kLockedRetry;
  if (runs.empty()) return claim;
  std::set<RunId> taken;
  for (const Row row : done.back()) taken.insert(RunId(row.text(0)));
  for (ClaimedRun& run : runs) {
    if (!taken.contains(run.run.id)) continue;
    tx.note(ChangeKind::Run, run.run.id.str());
    claim.runs.push_back(std::move(run));
  }
  return claim;
}

Result<QueueStore::Claim> PostgresStore::claim_runs(const ClaimParams& params) {
  return db_.write([&](Tx& tx) { return take_runs(tx, params); });
}

}  // namespace tidegate::store::postgres
