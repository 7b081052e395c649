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

// Ended runs beyond the newest `kept` of each job.
Status surplus_runs(Db& db, std::int64_t kept, std::size_t batch, std::set<std::string>& found) {
  Ids jobs;
  TG_CHECK(db.each(
      "SELECT id FROM sync_jobs WHERE runs_kept > ? LIMIT ?",
      [&](const Row& r) { jobs.push_back(r.text(0)); }, kept, batch));
  for (const auto& job : jobs) {
    if (found.size() >= batch) return {};
    Ids surplus;
    TG_CHECK(db.each(
        "SELECT id FROM sync_runs WHERE job_id = ? AND state NOT IN ('queued', "
        "'running') ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?",
        [&](const Row& r) { surplus.push_back(r.text(0)); }, job, kept));
    // The oldest come last.
    for (auto it = surplus.rbegin(); it != surplus.rend() && found.size() < batch; ++it) {
      found.insert(*it);
    }
  }
  return {};
}

// A job with more slot records than `kept`, and the newest of those that are too many. It stays so:
// records are only added at the newer end.
struct Surplus {
  std::string job;
  Instant newest;
};

Result<std::vector<Surplus>> surplus_records(Db& db, std::int64_t kept, std::size_t batch) {
  Ids jobs;
  TG_CHECK(db.each(
      "SELECT job_id FROM slot_records GROUP BY job_id HAVING count(*) > ? LIMIT ?",
      [&](const Row& r) { jobs.push_back(r.text(0)); }, kept, batch));
  std::vector<Surplus> found;
  for (auto& job : jobs) {
    Instant newest{};
    TG_TRY(const bool some,
           db.first(
               "SELECT first_slot FROM slot_records WHERE job_id = ? ORDER BY first_slot DESC "
               "LIMIT 1 OFFSET ?",
               [&](const Row& r) { newest = r.time(0); }, job, kept));
    if (some) found.push_back({std::move(job), newest});
  }
  return found;
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
Result<std::size_t> remove_small(Tx& tx, const std::vector<Surplus>& surplus,
                                 const Retention& retention, Instant now, std::size_t budget) {
  std::size_t removed = 0;
  const auto remove = [&](std::string_view sql, const auto&... args) -> Status {
    if (removed >= budget) return {};
    TG_TRY(const int n, tx.db.run(sql, args..., budget - removed));
    removed += static_cast<std::size_t>(n);
    return {};
  };
  TG_CHECK(
      remove("DELETE FROM slot_records WHERE (job_id, first_slot) IN (SELECT job_id, first_slot "
             "FROM slot_records WHERE last_slot < ? ORDER BY last_slot LIMIT ?)",
             now - retention.max_age));
  for (const Surplus& s : surplus) {
    TG_CHECK(
        remove("DELETE FROM slot_records WHERE job_id = ?1 AND first_slot IN (SELECT first_slot "
               "FROM slot_records WHERE job_id = ?1 AND first_slot <= ?2 ORDER BY first_slot "
               "LIMIT ?3)",
               s.job, s.newest));
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
  std::vector<Surplus> surplus;
  TG_TRY(const bool small_work, readers_.snapshot([&](Db& db) -> Result<bool> {
    TG_CHECK(old_runs(db, now - retention.max_age, retention.batch, runs));
    TG_CHECK(surplus_runs(db, retention.runs_per_job, retention.batch, runs));
    TG_TRY(surplus, surplus_records(db, retention.runs_per_job, retention.batch));
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
