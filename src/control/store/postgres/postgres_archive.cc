#include <boost/json/serialize.hpp>

#include "base/overloaded.h"
#include "control/store/archive_walk.h"
#include "control/store/postgres/job_states.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::Run;

namespace {

constexpr int kPage = 200;       // rows, but
constexpr int kLargePage = 100;  // of those that may be large: jobs, runs
constexpr int kLogPage = 32;

// Between two pages the transaction waits for a disk; the limits of the store's own sessions are
// made for leases.
constexpr Millis kPatience{600'000};

template <class T, class From>
Result<std::vector<T>> items_of(const Rows& rows, From&& from) {
  std::vector<T> items;
  for (const Row row : rows) {
    TG_TRY(T item, from(row));
    items.push_back(std::move(item));
  }
  return items;
}

Query lease_row() { return query("SELECT owner, fence FROM worker_locks WHERE id = 'scheduler'"); }

Status whole(const Rows& lease) {
  return rules::check_whole(OwnerId(lease.empty() ? "" : lease.front().text(0)));
}

// One transaction over a session of its own; the server forgets it with the session.
class Pages final : public ArchivePages {
 public:
  explicit Pages(Session db) : db_(std::move(db)) {}

  bool is_snapshot() const override { return true; }

  Result<std::vector<ArchiveRecord>> head() override {
    TG_TRY(
        const auto rows,
        db_.run({query("SELECT id, name, revision, created_at FROM workspaces ORDER BY id"),
                 query("SELECT " TG_TOKEN_COLUMNS " FROM api_tokens ORDER BY id"), lease_row()}));
    TG_CHECK(whole(rows[2]));
    std::vector<ArchiveRecord> page;
    for (const Row row : rows[0]) page.emplace_back(sql::workspace_from(row));
    for (const Row row : rows[1]) {
      TG_TRY(auto token, sql::token_from(row));
      page.emplace_back(std::move(token));
    }
    page.emplace_back(ArchivedFence{Fence{rows[2].empty() ? 0 : rows[2].front().integer(1)}});
    return page;
  }

  Result<std::vector<model::Connection>> connections(const ConnectionId& after) override {
    TG_TRY(const auto rows, db_.exec("SELECT " TG_CONNECTION_COLUMNS
                                     " FROM connections WHERE id > $1 ORDER BY id LIMIT $2",
                                     after, kPage));
    return items_of<model::Connection>(rows, sql::connection_from);
  }

  Result<std::vector<ArchivedJob>> jobs(const JobId& after) override {
    TG_TRY(const auto rows,
           db_.exec(TG_WHOLE_JOBS "WHERE id > $1 ORDER BY id LIMIT $2", after, kLargePage));
    return items_of<ArchivedJob>(rows, [](const Row& row) -> Result<ArchivedJob> {
      TG_TRY(auto head, whole_job_from(row));
      return ArchivedJob{std::move(head.job), head.fence, head.deleted};
    });
  }

  Result<std::vector<model::SlotRecord>> slots(const std::vector<JobId>& jobs,
                                               const SlotAfter& after) override {
    TG_TRY(const auto rows,
           db_.exec(
               "SELECT job_id, first_slot, last_slot, slots, outcome, reason, recorded_at FROM "
               "slot_records WHERE job_id = ANY ($1) AND (job_id, first_slot) > ($2, $3) ORDER BY "
               "job_id, first_slot LIMIT $4",
               jobs, after.job, after.first, kPage));
    return items_of<model::SlotRecord>(rows, [](const Row& row) -> Result<model::SlotRecord> {
      model::SlotRecord record{.job = JobId(row.text(0)),
                               .first = row.time(1),
                               .last = row.time(2),
                               .count = row.integer(3),
                               .reason = row.text(5),
                               .recorded_at = row.time(6)};
      TG_CHECK(sql::read_name(row.view(4), model::kSlotOutcomeNames, record.outcome));
      return record;
    });
  }

  Result<std::vector<Run>> runs(const std::vector<JobId>& jobs, const RunAfter& after) override {
    TG_TRY(
        const auto rows,
        db_.exec(
            "SELECT " TG_LIVE_RUN_COLUMNS
            " FROM readable_runs WHERE job_id = ANY ($1) AND (job_id, created_at, id) > ($2, $3, "
            "$4) ORDER BY job_id, created_at, id LIMIT $5",
            jobs, after.job, after.created_at, after.id, kLargePage));
    return live_runs_from(rows);
  }

  Result<std::vector<ArchivedLog>> logs(const std::vector<RunId>& runs,
                                        const LogAfter& after) override {
    TG_TRY(const auto rows,
           db_.exec("SELECT run_id, first_seq, lines FROM run_logs WHERE run_id = ANY ($1) AND "
                    "(run_id, first_seq) > ($2, $3) ORDER BY run_id, first_seq LIMIT $4",
                    runs, after.run, after.seq, kLogPage));
    return items_of<ArchivedLog>(rows, [](const Row& row) -> Result<ArchivedLog> {
      ArchivedLog log{.run = RunId(row.text(0)), .lines = {}};
      TG_CHECK(sql::read_lines(row.integer(1), row.view(2), 0, SIZE_MAX, log.lines));
      return log;
    });
  }

 private:
  Session db_;
};

// ---- loading. What is there already stays.

Query load_job(const ArchivedJob& j) {
  const model::SyncJob& job = j.job;
  const auto& p = job.pause;
  return query(
      "INSERT INTO sync_jobs (id, workspace_id, name, revision, source_id, destination_id, mode, "
      "overlap, enabled, next_slot, fence, last_run_at, last_success_at, last_error, run_count, "
      "consecutive_failures, success_durations, reset_epoch, pause_note, pause_until, pause_since, "
      "pause_by, created_by, created_at, updated_at, deleted_at, runs_kept) VALUES ($1, $2, $3, "
      "$4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::json, $18, $19, $20, $21, "
      "$22, $23, $24, $25, $26, (SELECT count(*) FROM sync_runs WHERE job_id = $1)) ON CONFLICT "
      "(id) DO NOTHING",
      job.id, job.workspace, job.spec.name, job.revision, job.spec.source_id,
      job.spec.destination_id, name_of(job.spec.mode, protocol::kSyncModeNames),
      name_of(job.spec.overlap, model::kOverlapNames), job.spec.enabled, job.next_slot, j.fence,
      job.last_run_at, job.last_success_at, job.last_error, job.run_count, job.consecutive_failures,
      sql::durations_text(job), job.reset_epoch, p ? std::optional(p->note) : std::nullopt,
      p ? p->until : std::nullopt, p ? std::optional(p->since) : std::nullopt,
      p ? std::optional(p->by) : std::nullopt, job.created_by, job.created_at, job.updated_at,
      j.deleted ? std::optional(job.updated_at) : std::nullopt);
}

Query load_run(const Run& run) {
  return query(
      "INSERT INTO sync_runs (" TG_RUN_COLUMNS
      ", allow_overlap, source_id, destination_id, sort_at) VALUES ($1, $2, $3, $4, $5, $6, $7, "
      "$8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, NULLIF($22, '')::json, "
      "false, '', '', $23) ON CONFLICT (id) DO NOTHING",
      run.id, run.workspace, run.job, run.job_revision, run.scheduled_for,
      name_of(run.trigger, model::kTriggerNames), run.triggered_by,
      name_of(run.state, model::kRunStateNames), run.attempt, run.retries_used, run.lost_in_row,
      run.created_at, run.not_before, run.started_at, run.finished_at, run.owner, run.fence,
      run.cancel_requested, run.error_kind, run.error, run.exclusive_key, sql::run_detail(run),
      run.scheduled_for.value_or(run.created_at));
}

Query load_log(const ArchivedLog& log) {
  return query(
      "INSERT INTO run_logs VALUES ($1, $2, $3, coalesce((SELECT total_bytes FROM run_logs WHERE "
      "run_id = $1 AND first_seq < $2 ORDER BY first_seq DESC LIMIT 1), 0) + $4, false, $5::json) "
      "ON CONFLICT (run_id, first_seq) DO NOTHING",
      log.run, log.lines.front().seq, log.lines.back().seq, rules::log_bytes(log.lines),
      sql::lines_text(log.lines));
}

void load_one(const ArchiveRecord& record, std::vector<Query>& out) {
  std::visit(
      Overloaded{
          [&](const model::Workspace& w) {
            out.push_back(
                query("INSERT INTO workspaces VALUES ($1, $2, $3, $4) ON CONFLICT (id) "
                      "DO NOTHING",
                      w.id, w.name, w.revision, w.created_at));
          },
          [&](const model::Token& t) {
            out.push_back(query("INSERT INTO api_tokens (" TG_TOKEN_COLUMNS
                                ") VALUES ($1, $2, $3, $4, $5::json, $6, $7, $8, $9) ON CONFLICT "
                                "(id) DO NOTHING",
                                t.id, t.name, t.hash, name_of(t.role, model::kRoleNames),
                                sql::workspaces_text(t), t.expires_at, t.created_at, t.created_by,
                                t.revision));
          },
          [&](const ArchivedFence& f) {
            out.push_back(
                query("UPDATE worker_locks SET fence = greatest(fence, $1) WHERE id = "
                      "'scheduler'",
                      f.fence));
          },
          [&](const model::Connection& c) {
            out.push_back(query("INSERT INTO connections (" TG_CONNECTION_COLUMNS
                                ") VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9, $10, $11) ON "
                                "CONFLICT (id) DO NOTHING",
                                c.id, c.workspace, name_of(c.kind, model::kConnectionKindNames),
                                c.name, c.type, boost::json::serialize(c.config), c.exclusive_key,
                                c.revision, c.created_at, c.updated_at, c.created_by));
          },
          [&](const model::SlotRecord& r) {
            out.push_back(
                query("INSERT INTO slot_records VALUES ($1, $2, $3, $4, $5, $6, $7) ON "
                      "CONFLICT (job_id, first_slot) DO NOTHING",
                      r.job, r.first, r.last, r.count, name_of(r.outcome, model::kSlotOutcomeNames),
                      r.reason, r.recorded_at));
          },
          [&](const Run& run) { out.push_back(load_run(run)); },
          [&](const ArchivedLog& log) { out.push_back(load_log(log)); },
          [&](const ArchivedJob& j) {
            out.push_back(load_job(j));
            out.push_back(
                query("INSERT INTO job_revisions VALUES ($1, $2, $3::json) ON CONFLICT "
                      "DO NOTHING",
                      j.job.id, j.job.revision, sql::spec_text(j.job.spec)));
            if (!j.job.known_state.empty()) {
              out.push_back(save_states({{j.job.id, j.job.known_state}}));
            }
          },
      },
      record);
}

// REQUIRES: nobody else writes (the lock of begin_restore).
Result<rules::Contents> contents(Session& db) {
  TG_TRY(const auto rows,
         db.run({query("SELECT EXISTS (SELECT 1 FROM sync_jobs), EXISTS (SELECT 1 FROM sync_runs), "
                       "EXISTS (SELECT 1 FROM slot_records), EXISTS (SELECT 1 FROM connections), "
                       "EXISTS (SELECT 1 FROM workspaces WHERE id <> $1)",
                       rules::kDefaultWorkspaceId),
                 query("SELECT " TG_TOKEN_COLUMNS " FROM api_tokens")}));
  const Row some = rows[0].front();
  rules::Contents has{.jobs = some.flag(0),
                      .runs = some.flag(1),
                      .slots = some.flag(2),
                      .connections = some.flag(3),
                      .workspaces = some.flag(4)};
  for (const Row row : rows[1]) {
    TG_TRY(const auto token, sql::token_from(row));
    has.tokens = has.tokens || !rules::made_at_start(token);
  }
  return has;
}

}  // namespace

Result<std::unique_ptr<ArchiveReader>> PostgresStore::read_archive() {
  Timeouts patient = timeouts_;
  patient.answer = patient.statement = patient.idle_in_transaction = kPatience;
  TG_TRY(auto db, Session::open(target_, patient, schema_));
  // The first query after BEGIN is the moment of the snapshot.
  TG_TRY(const auto begun, db.run({query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
                                   query("SELECT tidegate_now()")}));
  return walk_archive(std::make_unique<Pages>(std::move(db)));
}

Result<Instant> PostgresStore::begin_restore(const std::string& archive) {
  return db_.write([&](Tx& tx) -> Result<Instant> {
    // The row to lock is there; while it is locked nobody takes the lease.
    TG_TRY(
        const auto rows,
        tx.start({query("INSERT INTO worker_locks SELECT 'scheduler', '', 0, at, at, at FROM "
                        "(SELECT tidegate_now() AS at OFFSET 0) clock ON CONFLICT (id) DO NOTHING"),
                  query("SELECT owner, acquired_at, owner <> '' AND expires_at > tidegate_now(), "
                        "fence FROM worker_locks WHERE id = 'scheduler' FOR UPDATE")}));
    const Row lease = rows[1].front();
    const OwnerId holder(lease.text(0)), mine = rules::restore_owner(archive);
    if (holder == mine) return lease.time(1);
    if (rules::is_restore(holder)) return rules::other_restore(holder);
    if (lease.flag(2)) return rules::store_in_use(holder);
    TG_TRY(const auto has, contents(tx.db));
    TG_CHECK(rules::check_empty(has));
    TG_TRY(const auto done,
           tx.commit({query("DELETE FROM workspaces"), query("DELETE FROM api_tokens"),
                      query("DELETE FROM idempotency_keys"),
                      query("UPDATE worker_locks SET owner = $1, fence = $2, acquired_at = $3, "
                            "renewed_at = $3, expires_at = $4 WHERE id = 'scheduler'",
                            mine, rules::next_fence(Fence{lease.integer(3)}, tx.now), tx.now,
                            rules::kForEver)}));
    return tx.now;
  });
}

Status PostgresStore::check_whole() {
  return db_.read([](Session& db) -> Status {
    TG_TRY(const auto rows, db.run({lease_row()}));
    return whole(rows[0]);
  });
}

Status PostgresStore::load_archive(std::span<const ArchiveRecord> records) {
  TG_CHECK(rules::check_loadable(records));
  return db_.write([&](Tx& tx) -> Status {
    std::vector<Query> queries;
    for (const ArchiveRecord& record : records) load_one(record, queries);
    TG_TRY(const auto done, tx.start(std::move(queries)));
    return {};
  });
}

Status PostgresStore::end_restore(const std::string& archive) {
  return db_.write([&](Tx& tx) -> Status {
    for (const auto kind : {ChangeKind::Workspace, ChangeKind::Token, ChangeKind::Connection,
                            ChangeKind::Job, ChangeKind::Run}) {
      tx.note(kind, "");
    }
    TG_TRY(const auto done,
           tx.start({query("UPDATE worker_locks SET owner = '', expires_at = tidegate_now() WHERE "
                           "id = 'scheduler' AND owner = $1",
                           rules::restore_owner(archive))}));
    return {};
  });
}

}  // namespace tidegate::store::postgres
