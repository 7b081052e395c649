#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {
namespace {

// What one removal frees at the most, so that no slot waits for it.
constexpr std::int64_t kBatchBytes = 8 << 20;

// Ended runs older than the limit, by workspace because that is how they are indexed by time; and
// those beyond the newest `kept` of each job. Oldest first, with the size of their logs.
Query surplus_runs(Instant oldest, std::int64_t kept, std::size_t batch) {
  return query(
      "WITH RECURSIVE spaces AS ((SELECT workspace_id AS id FROM sync_runs ORDER BY 1 LIMIT 1) "
      "UNION ALL SELECT (SELECT min(workspace_id) FROM sync_runs WHERE workspace_id > spaces.id) "
      "FROM spaces WHERE spaces.id IS NOT NULL), old AS (SELECT r.* FROM spaces, LATERAL (SELECT "
      "id, created_at FROM sync_runs WHERE workspace_id = spaces.id AND created_at < $1 AND "
      "finished_at < $1 ORDER BY created_at, id LIMIT $3) r LIMIT $3), surplus AS (SELECT r.* FROM "
      "(SELECT id FROM sync_jobs WHERE runs_kept > $2 LIMIT $3) j, LATERAL (SELECT * FROM (SELECT "
      "id, created_at FROM sync_runs WHERE job_id = j.id AND finished_at IS NOT NULL ORDER BY "
      "created_at DESC, id DESC OFFSET $2) beyond ORDER BY created_at, id LIMIT $3) r LIMIT $3) "
      "SELECT id, coalesce((SELECT max(total_bytes) FROM run_logs l WHERE l.run_id = found.id), 0) "
      "FROM (SELECT * FROM old UNION SELECT * FROM surplus) found ORDER BY created_at, id LIMIT $3",
      oldest, kept, batch);
}

// As many as have logs of kBatchBytes together, at least one.
std::vector<RunId> within_bytes(const Rows& found) {
  std::vector<RunId> ids;
  std::int64_t bytes = 0;
  for (const Row row : found) {
    bytes += row.integer(1);
    if (!ids.empty() && bytes > kBatchBytes) break;
    ids.emplace_back(row.text(0));
  }
  return ids;
}

Result<std::size_t> remove_runs(Tx& tx, const std::vector<RunId>& ids) {
  if (ids.empty()) return std::size_t{0};
  TG_TRY(
      const auto rows,
      tx.db.run({lock_jobs_of(ids),
                 query("WITH gone AS (DELETE FROM sync_runs WHERE id = ANY ($1) AND finished_at "
                       "IS NOT NULL RETURNING id, job_id), logs AS (DELETE FROM run_logs l USING "
                       "gone WHERE l.run_id = gone.id), fewer AS (UPDATE sync_jobs j SET "
                       "runs_kept = runs_kept - n FROM (SELECT job_id, count(*) AS n FROM gone "
                       "GROUP BY job_id) g WHERE j.id = g.job_id) SELECT count(*) FROM gone",
                       ids)}));
  return static_cast<std::size_t>(rows[1].front().integer(0));
}

Query next_jobs(const JobRound& round) {
  return query("SELECT id FROM sync_jobs WHERE id > $1 ORDER BY id LIMIT $2", round.after(),
               JobRound::kStretch);
}

// Slot records (beyond the newest of each of `jobs`, and old ones), keys, workers, and jobs deleted
// that nothing refers to any more; $1 is what may still be removed.
class SmallThings {
 public:
  SmallThings(const Retention& retention, Instant now, const std::vector<JobId>& jobs)
      : retention_(retention), now_(now), jobs_(jobs) {}

  Result<std::size_t> remove(Tx& tx, std::size_t budget) {
    budget_ = budget;
    TG_CHECK(step(tx,
                  "DELETE FROM slot_records WHERE (job_id, first_slot) IN (SELECT job_id, "
                  "first_slot FROM slot_records WHERE last_slot < $2 ORDER BY last_slot LIMIT "
                  "$1 FOR UPDATE SKIP LOCKED)",
                  now_ - retention_.max_age));
    TG_CHECK(step(tx,
                  "DELETE FROM slot_records WHERE ctid = ANY (ARRAY(SELECT b.place FROM "
                  "unnest($3) AS j(id), LATERAL (SELECT place FROM (SELECT ctid AS place, "
                  "first_slot FROM slot_records s WHERE s.job_id = j.id ORDER BY first_slot DESC "
                  "OFFSET $2) beyond ORDER BY first_slot) b LIMIT $1))",
                  retention_.runs_per_job, jobs_));
    TG_CHECK(step(tx,
                  "DELETE FROM idempotency_keys WHERE (scope, key) IN (SELECT scope, key FROM "
                  "idempotency_keys WHERE created_at <= $2 LIMIT $1)",
                  now_ - rules::kIdempotencyKept));
    TG_CHECK(step(tx,
                  "DELETE FROM workers WHERE id IN (SELECT id FROM workers WHERE seen_at <= $2 "
                  "LIMIT $1)",
                  now_ - rules::kSilentWorkersKept));
    TG_CHECK(step(tx,
                  "WITH gone AS (DELETE FROM sync_jobs WHERE id IN (SELECT id FROM sync_jobs j "
                  "WHERE deleted_at <= $2 AND NOT EXISTS (SELECT 1 FROM sync_runs WHERE job_id "
                  "= j.id) AND NOT EXISTS (SELECT 1 FROM slot_records WHERE job_id = j.id) "
                  "LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id), revisions AS (DELETE FROM "
                  "job_revisions r USING gone WHERE r.job_id = gone.id), states AS (DELETE FROM "
                  "job_states s USING gone WHERE s.job_id = gone.id) SELECT id FROM gone",
                  now_));
    return removed_;
  }

 private:
  template <class... Args>
  Status step(Tx& tx, const char* sql, const Args&... args) {
    if (removed_ >= budget_) return {};
    TG_TRY(const auto rows, tx.db.exec(sql, budget_ - removed_, args...));
    removed_ += static_cast<std::size_t>(rows.changed());
    return {};
  }

  const Retention& retention_;
  const Instant now_;
  const std::vector<JobId>& jobs_;
  std::size_t budget_ = 0, removed_ = 0;
};

}  // namespace

// The search holds nothing; the removal, bounded by the batch, holds the jobs' rows.
Result<std::size_t> PostgresStore::prune(const Retention& retention, Instant now) {
  std::vector<JobId> jobs;
  TG_TRY(const auto runs,
         db_.read(
             [&](Session& db) -> Result<std::vector<RunId>> {
               TG_TRY(const auto found,
                      db.run({surplus_runs(now - retention.max_age, retention.runs_per_job,
                                           retention.batch),
                              next_jobs(pruned_)}));
               jobs = column(found[1], [](const Row& row) { return JobId(row.text(0)); });
               return within_bytes(found[0]);
             },
             Pool::Use::Slow));
  pruned_.found(jobs);
  return db_.write_simply([&](Tx& tx) -> Result<std::size_t> {
    TG_TRY(std::size_t removed, remove_runs(tx, runs));
    if (removed < retention.batch) {
      TG_TRY(const auto small,
             SmallThings(retention, now, jobs).remove(tx, retention.batch - removed));
      removed += small;
    }
    return removed;
  });
}

}  // namespace tidegate::store::postgres
