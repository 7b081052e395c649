#include "control/store/postgres/job_states.h"
#include "control/store/postgres/keys.h"
#include "control/store/postgres/ledger.h"
#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::SyncJob;

namespace {

// Name free, workspace and connections there. What is found is held (FOR SHARE), so that nobody
// deletes it before the job refers to it.
Status check_spec(Session& db, const WorkspaceId& ws, const JobId& self,
                  const model::JobSpec& spec) {
  constexpr const char* kOfKind =
      "SELECT 1 FROM connections WHERE id = $1 AND workspace_id = $2 AND kind = $3 FOR SHARE";
  TG_TRY(const auto rows,
         db.run({query("SELECT 1 FROM workspaces WHERE id = $1 FOR SHARE", ws),
                 query("SELECT 1 FROM sync_jobs WHERE workspace_id = $1 AND name = $2 AND "
                       "deleted_at IS NULL AND id <> $3",
                       ws, spec.name, self),
                 query(kOfKind, spec.source_id, ws, "source"),
                 query(kOfKind, spec.destination_id, ws, "destination")}));
  if (rows[0].empty()) return rules::workspace_not_found(ws.str());
  if (!rows[1].empty()) return rules::name_taken("job", spec.name);
  return rules::check_references(!rows[2].empty(), !rows[3].empty(), spec);
}

// What a user changes of a job, and the spec under its revision; revisions nobody needs go.
std::vector<Query> save_job(const SyncJob& job) {
  const auto& p = job.pause;
  return {
      query(
          "UPDATE sync_jobs SET name = $2, revision = $3, source_id = $4, destination_id = $5, "
          "mode = $6, overlap = $7, enabled = $8, next_slot = $9, reset_epoch = $10, pause_note = "
          "$11, pause_until = $12, pause_since = $13, pause_by = $14, updated_at = $15 WHERE id = "
          "$1",
          job.id, job.spec.name, job.revision, job.spec.source_id, job.spec.destination_id,
          name_of(job.spec.mode, protocol::kSyncModeNames),
          name_of(job.spec.overlap, model::kOverlapNames), job.spec.enabled, job.next_slot,
          job.reset_epoch, p ? std::optional(p->note) : std::nullopt, p ? p->until : std::nullopt,
          p ? std::optional(p->since) : std::nullopt, p ? std::optional(p->by) : std::nullopt,
          job.updated_at),
      query("INSERT INTO job_revisions VALUES ($1, $2, $3::json)", job.id, job.revision,
            sql::spec_text(job.spec)),
      query("DELETE FROM job_revisions WHERE job_id = $1 AND revision <> $2 AND revision NOT IN "
            "(SELECT job_revision FROM sync_runs WHERE id IN (SELECT run_id FROM run_queue WHERE "
            "job_id = $1 UNION ALL SELECT run_id FROM job_execution_locks WHERE job_id = $1))",
            job.id, job.revision)};
}

}  // namespace

Result<Created<JobId>> PostgresStore::create_job(const SyncJob& job,
                                                 const std::optional<Idempotency>& once) {
  return db_.write_simply([&](Tx& tx) -> Result<Created<JobId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<JobId>{JobId(*earlier), true};
    TG_TRY(const auto known, tx.db.exec("SELECT 1 FROM sync_jobs WHERE id = $1", job.id));
    if (!known.empty()) return Created<JobId>{job.id, true};
    TG_CHECK(check_spec(tx.db, job.workspace, job.id, job.spec));
    auto queries = save_job(job);
    queries.insert(
        queries.begin(),
        query(
            "INSERT INTO sync_jobs (id, workspace_id, name, revision, source_id, destination_id, "
            "mode, overlap, enabled, run_count, consecutive_failures, success_durations, "
            "reset_epoch, created_by, created_at, updated_at) VALUES ($1, $2, $3, $4, '', '', '', "
            "'', false, $5, $6, $7::json, $8, $9, $10, $11)",
            job.id, job.workspace, job.spec.name, job.revision, job.run_count,
            job.consecutive_failures, sql::durations_text(job), job.reset_epoch, job.created_by,
            job.created_at, job.updated_at));
    if (!job.known_state.empty()) queries.push_back(save_states({{job.id, job.known_state}}));
    TG_CHECK(remember(tx, once, job.id.str()));
    tx.note(ChangeKind::Job, job.id.str());
    TG_TRY(const auto done, tx.commit(std::move(queries)));
    return Created<JobId>{job.id};
  });
}

Result<SyncJob> PostgresStore::get_job(const WorkspaceId& ws, const JobId& id) {
  return db_.read([&](Session& db) -> Result<SyncJob> {
    TG_TRY(auto job, load_job(db, ws, id));
    if (!job) return rules::job_not_found(id);
    return std::move(*job);
  });
}

Result<Listing<SyncJob>> PostgresStore::list_jobs(const JobQuery& q) {
  TG_TRY(const auto cursor, rules::decode_cursor(q.page, "jobs", 2));
  // Only the conditions that the query has: a general one would keep an index from being used.
  Where where{.sql = q.deleted ? "WHERE deleted_at IS NOT NULL" : "WHERE deleted_at IS NULL",
              .params = {}};
  if (!q.workspace.empty()) where.add(" AND workspace_id = ${}", q.workspace);
  if (q.name_contains) where.add(" AND strpos(lower(name), lower(${})) > 0", *q.name_contains);
  if (q.enabled) where.add(" AND enabled = ${}", *q.enabled);
  if (q.connection) where.add(" AND (source_id = ${0} OR destination_id = ${0})", *q.connection);
  const Query total{"SELECT count(*) FROM sync_jobs " + where.sql, where.params};
  if (cursor) {
    where.add(" AND (name, id) > (${}, ", (*cursor)[0]);
    where.add("${})", (*cursor)[1]);
  }
  const std::size_t limit = rules::page_limit(q.page);
  where.add(" ORDER BY name, id LIMIT ${}", limit + 1);
  return db_.read(
      [&](Session& db) -> Result<Listing<SyncJob>> {
        TG_TRY(const auto rows, db.snapshot({total, {TG_WHOLE_JOBS + where.sql, where.params}}));
        Listing<SyncJob> list;
        list.total = rows[0].front().integer(0);
        for (const Row row : rows[1]) {
          TG_TRY(auto head, whole_job_from(row));
          list.items.push_back(std::move(head.job));
        }
        rules::end_page(list, limit, [](const SyncJob& j) {
          return rules::name_cursor("jobs", j.spec.name, j.id.str());
        });
        return list;
      },
      Pool::Use::Slow);
}

// Reads the job, lets `change` alter it and writes it under the next revision.
Result<SyncJob> PostgresStore::change_job(const WorkspaceId& ws, const JobId& id,
                                          IfRevision if_revision,
                                          const std::optional<Idempotency>& once,
                                          const std::function<Status(Tx&, SyncJob&)>& change) {
  return db_.write_simply([&](Tx& tx) -> Result<SyncJob> {
    TG_TRY(const auto locked, lock_job(tx.db, ws, id));
    TG_TRY(auto job, load_job(tx.db, ws, id));
    if (!job) return rules::job_not_found(id);
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return std::move(*job);
    if (if_revision && *if_revision != job->revision) return rules::stale_revision(job->revision);
    job->revision += 1;
    job->updated_at = tx.now;
    TG_CHECK(change(tx, *job));
    TG_CHECK(remember(tx, once, id.str()));
    tx.note(ChangeKind::Job, id.str());
    TG_TRY(const auto done, tx.commit(save_job(*job)));
    return std::move(*job);
  });
}

namespace {

Status record_skipped(Tx& tx, const JobId& job, const std::vector<model::SlotRecord>& records) {
  if (records.empty()) return {};
  Slots firsts;
  for (const auto& r : records) firsts.emplace(job, r.first);
  TG_TRY(const auto rows, tx.db.run({known_slots(firsts), RecordWriter::look(firsts)}));
  const Slots known = slots_from(rows[0]);
  RecordWriter writer;
  TG_CHECK(writer.learn(rows[1]));
  for (const auto& r : records) {
    if (!known.contains({job, r.first})) writer.add(job, r);
  }
  TG_TRY(const auto done, tx.db.run(writer.writes()));
  return {};
}

}  // namespace

Result<SyncJob> PostgresStore::update_job(const UpdateJob& update) {
  return change_job(update.workspace, update.id, update.if_revision, update.once,
                    [&](Tx& tx, SyncJob& job) -> Status {
                      TG_CHECK(check_spec(tx.db, job.workspace, job.id, update.spec));
                      job.spec = update.spec;
                      job.updated_at = update.at;
                      if (!update.reschedule) return {};
                      TG_CHECK(rules::move_next_slot(job, *update.reschedule));
                      return record_skipped(tx, job.id, update.reschedule->skipped);
                    });
}

Result<SyncJob> PostgresStore::set_pause(const WorkspaceId& ws, const JobId& id,
                                         IfRevision if_revision,
                                         const std::optional<model::Pause>& pause,
                                         const std::optional<Idempotency>& once) {
  return change_job(ws, id, if_revision, once, [&](Tx&, SyncJob& job) -> Status {
    job.pause = pause;
    return {};
  });
}

Result<SyncJob> PostgresStore::reset_job(const WorkspaceId& ws, const JobId& id,
                                         IfRevision if_revision,
                                         const std::optional<Idempotency>& once) {
  return change_job(ws, id, if_revision, once, [&](Tx& tx, SyncJob& job) -> Status {
    job.reset_epoch += 1;
    job.known_state.clear();
    TG_TRY(const auto done, tx.db.exec("DELETE FROM job_states WHERE job_id = $1", job.id));
    return {};
  });
}

Status PostgresStore::delete_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision) {
  return db_.write_simply([&](Tx& tx) -> Status {
    TG_TRY(const auto head, lock_job(tx.db, ws, id));
    if (if_revision && *if_revision != head.job.revision) {
      return rules::stale_revision(head.job.revision);
    }
    TG_TRY(const auto active, tx.db.run({active_runs({id})}));
    TG_TRY(auto runs, live_runs_from(active[0]));
    for (model::Run& run : runs) TG_CHECK(cancel_run(tx, run));
    tx.note(ChangeKind::Job, id.str());
    TG_TRY(const auto done,
           tx.commit({query("UPDATE sync_jobs SET next_slot = NULL, deleted_at = $2 WHERE id = $1",
                            id, tx.now)}));
    return {};
  });
}

}  // namespace tidegate::store::postgres
