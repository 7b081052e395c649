#include <algorithm>
#include <set>

#include "control/store/sqlite/ledger.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {
namespace {

using Ids = std::vector<std::string>;

// What one removal frees at the most, so that no slot waits for it.
constexpr std::int64_t kBatchBytes = 8 << 20;

// Ended runs older than the limit, by workspace because that is how they are indexed by time.
Status old_runs(Db& db, Instant oldest, std::size_t batch, std::set<std::string>& found) {
  std::string workspace;
  for (;;) {
    TG_TRY(const bool more,
           db.first(
               "SELECT workspace_id FROM sync_runs WHERE workspace_id > ? ORDER BY "
               "workspace_id LIMIT 1",
               [&](const Row& r) { workspace = r.text(0); }, workspace));
    if (!more || found.size() >= batch) return {};
    TG_CHECK(db.each(
        "SELECT id FROM sync_runs WHERE workspace_id = ?1 AND created_at < ?2 AND "
        "finished_at < ?2 ORDER BY created_at LIMIT ?3",
        [&](const Row& r) { found.insert(r.text(0)); }, workspace, oldest, batch - found.size()));
  }
}

// The oldest ended runs of a job. By slot, and by row where there is none: both follow the creation
// and have an index, so that no more is read than is found.
Status oldest_runs(Db& db, const std::string& job, std::int64_t limit,
                   std::set<std::string>& found) {
  return db.each(
      "SELECT id FROM (SELECT * FROM (SELECT id, created_at FROM sync_runs WHERE job_id = ?1 AND "
      "scheduled_for IS NULL AND state NOT IN ('queued', 'running') ORDER BY rowid LIMIT ?2) UNION "
      "ALL SELECT * FROM (SELECT id, created_at FROM sync_runs WHERE job_id = ?1 AND scheduled_for "
      "IS NOT NULL AND state NOT IN ('queued', 'running') ORDER BY scheduled_for LIMIT ?2)) ORDER "
      "BY created_at, id LIMIT ?2",
      [&](const Row& r) { found.insert(r.text(0)); }, job, limit);
}

// Ended runs beyond the newest `kept` of each job.
Status surplus_runs(Db& db, std::int64_t kept, std::size_t batch, std::set<std::string>& found) {
  std::vector<std::pair<std::string, std::int64_t>> jobs;
  TG_CHECK(db.each(
      "SELECT id, surplus FROM (SELECT id, runs_kept - ?1 - (SELECT count(*) FROM sync_runs WHERE "
      "job_id = j.id AND state IN ('queued', 'running')) AS surplus FROM sync_jobs j WHERE "
      "runs_kept > ?1) WHERE surplus > 0 LIMIT ?2",
      [&](const Row& r) { jobs.emplace_back(r.text(0), r.integer(1)); }, kept, batch));
  for (const auto& [job, surplus] : jobs) {
    if (found.size() >= batch) return {};
    const auto room = static_cast<std::int64_t>(batch - found.size());
    TG_CHECK(oldest_runs(db, job, std::min(surplus, room), found));
  }
  return {};
}

// Jobs with more slot records than `kept`. Counted as they come and go: counting them here would
// read every record of every job, at every look.
Result<Ids> jobs_with_surplus_records(Db& db, std::int64_t kept, std::size_t batch) {
  Ids jobs;
  TG_CHECK(db.each(
      "SELECT id FROM sync_jobs WHERE records_kept > ? LIMIT ?",
      [&](const Row& r) { jobs.push_back(r.text(0)); }, kept, batch));
  return jobs;
}

// As many of the runs as have logs of kBatchBytes together, at least one.
Result<std::size_t> remove_runs(Db& db, const std::set<std::string>& ids) {
  std::size_t removed = 0;
  std::int64_t bytes = 0;
  for (const auto& id : ids) {
    TG_CHECK(db.maybe(
        "SELECT total_bytes FROM run_logs WHERE run_id = ? ORDER BY first_seq DESC LIMIT 1",
        [&](const Row& r) { bytes += r.integer(0); }, id));
    if (removed > 0 && bytes > kBatchBytes) break;
    std::string job;
    TG_TRY(const bool gone, db.first(
                                "DELETE FROM sync_runs WHERE id = ? AND state NOT IN ('queued', "
                                "'running') RETURNING job_id",
                                [&](const Row& r) { job = r.text(0); }, id));
    if (!gone) continue;
    TG_CHECK(db.exec("DELETE FROM run_logs WHERE run_id = ?", id));
    TG_CHECK(db.exec("UPDATE sync_jobs SET runs_kept = runs_kept - 1 WHERE id = ?", job));
    ++removed;
  }
  return removed;
}

// Slot records, keys and workers. Old ones are found by their index where they are removed.
Result<std::size_t> remove_small(Tx& tx, const Ids& surplus, const Retention& retention,
                                 Instant now, std::size_t budget) {
  std::size_t removed = 0;
  const auto remove_up_to = [&](std::size_t limit, std::string_view sql,
                                const auto&... args) -> Status {
    limit = std::min(limit, budget - removed);
    if (limit == 0) return {};
    TG_TRY(const int n, tx.db.run(sql, args..., limit));
    removed += static_cast<std::size_t>(n);
    return {};
  };
  const auto remove = [&](std::string_view sql, const auto&... args) {
    return remove_up_to(budget, sql, args...);
  };
  TG_CHECK(
      remove("DELETE FROM slot_records WHERE (job_id, first_slot) IN (SELECT job_id, first_slot "
             "FROM slot_records WHERE last_slot < ? ORDER BY last_slot LIMIT ?)",
             now - retention.max_age));
  for (const auto& job : surplus) {
    std::int64_t count = 0;  // asked again: another process may have removed some
    TG_CHECK(tx.db.maybe(
        "SELECT records_kept - ? FROM sync_jobs WHERE id = ?",
        [&](const Row& r) { count = r.integer(0); }, retention.runs_per_job, job));
    if (count <= 0) continue;
    TG_CHECK(
        remove_up_to(static_cast<std::size_t>(count),
                     "DELETE FROM slot_records WHERE job_id = ?1 AND first_slot IN (SELECT "
                     "first_slot FROM slot_records WHERE job_id = ?1 ORDER BY first_slot LIMIT ?2)",
                     job));
  }
  TG_CHECK(
      remove("DELETE FROM idempotency_keys WHERE (scope, key) IN (SELECT scope, key FROM "
             "idempotency_keys WHERE created_at <= ? LIMIT ?)",
             now - rules::kIdempotencyKept));
  TG_CHECK(
      remove("DELETE FROM workers WHERE id IN (SELECT id FROM workers WHERE seen_at <= ? LIMIT ?)",
             now - rules::kSilentWorkersKept));
  return removed;
}

Result<std::size_t> remove_deleted_jobs(Db& db, std::size_t budget) {
  Ids jobs;
  TG_CHECK(db.each(
      "SELECT id FROM sync_jobs j WHERE deleted_at IS NOT NULL AND NOT EXISTS (SELECT 1 "
      "FROM sync_runs WHERE job_id = j.id) AND NOT EXISTS (SELECT 1 FROM slot_records "
      "WHERE job_id = j.id) LIMIT ?",
      [&](const Row& r) { jobs.push_back(r.text(0)); }, budget));
  for (const auto& job : jobs) {
    TG_CHECK(db.exec("DELETE FROM job_revisions WHERE job_id = ?", job));
    TG_CHECK(db.exec("DELETE FROM job_states WHERE job_id = ?", job));
    TG_CHECK(db.exec("DELETE FROM sync_jobs WHERE id = ?", job));
  }
  return jobs.size();
}

}  // namespace

// The search runs beside the writers; only the removal, bounded by the batch, takes the lock.
Result<std::size_t> SqliteStore::prune(const Retention& retention, Instant now) {
  std::set<std::string> runs;
  Ids surplus;
  TG_TRY(const bool small_work, readers_.snapshot([&](Db& db) -> Result<bool> {
    TG_CHECK(old_runs(db, now - retention.max_age, retention.batch, runs));
    TG_CHECK(surplus_runs(db, retention.runs_per_job, retention.batch, runs));
    TG_TRY(surplus, jobs_with_surplus_records(db, retention.runs_per_job, retention.batch));
    if (!surplus.empty()) return true;
    return db.exists(
        "SELECT 1 FROM slot_records WHERE last_slot < ?1 UNION ALL SELECT 1 FROM "
        "idempotency_keys WHERE created_at <= ?2 UNION ALL SELECT 1 FROM workers WHERE seen_at <= "
        "?3 "
        "UNION ALL SELECT 1 FROM sync_jobs WHERE deleted_at IS NOT NULL",
        now - retention.max_age, now - rules::kIdempotencyKept, now - rules::kSilentWorkersKept);
  }));
  if (runs.empty() && !small_work) return std::size_t{0};
  return writer_.run([&](Tx& tx) -> Result<std::size_t> {
    TG_TRY(std::size_t removed, remove_runs(tx.db, runs));
    if (removed < retention.batch) {
      TG_TRY(const auto small,
             remove_small(tx, surplus, retention, now, retention.batch - removed));
      removed += small;
    }
    if (removed < retention.batch) {
      TG_TRY(const auto jobs, remove_deleted_jobs(tx.db, retention.batch - removed));
      removed += jobs;
    }
    return removed;
  });
}

}  // namespace tidegate::store::sqlite
