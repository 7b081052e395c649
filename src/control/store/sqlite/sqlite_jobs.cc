#include <fmt/format.h>

#include "control/model/schedule_json.h"
#include "control/store/sqlite/keys.h"
#include "control/store/sqlite/ledger.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {

using model::SyncJob;

namespace {

// Name free, workspace and connections there.
Status check_spec(Db& db, const WorkspaceId& ws, const JobId& self, const model::JobSpec& spec) {
  TG_TRY(const bool workspace, db.exists("SELECT 1 FROM workspaces WHERE id = ?", ws));
  if (!workspace) return rules::workspace_not_found(ws.str());
  TG_TRY(const bool taken, db.exists("SELECT 1 FROM sync_jobs WHERE workspace_id = ? AND name = ? "
                                     "AND deleted_at IS NULL AND id <> ?",
                                     ws, spec.name, self));
  if (taken) return rules::name_taken("job", spec.name);
  constexpr std::string_view kOfKind =
      "SELECT 1 FROM connections WHERE id = ? AND workspace_id = ? AND kind = ?";
  TG_TRY(const bool source, db.exists(kOfKind, spec.source_id, ws, "source"));
  TG_TRY(const bool destination, db.exists(kOfKind, spec.destination_id, ws, "destination"));
  return rules::check_references(source, destination, spec);
}

// The revision that runs of now on are pinned to; those nobody needs any more go.
Status save_revision(Db& db, const SyncJob& job) {
  TG_CHECK(db.exec("INSERT INTO job_revisions VALUES (?, ?, ?)", job.id, job.revision,
                   spec_text(job.spec)));
  return db.exec(
      "DELETE FROM job_revisions WHERE job_id = ?1 AND revision <> ?2 AND revision NOT IN "
      "(SELECT job_revision FROM sync_runs WHERE job_id = ?1 AND state IN ('queued', "
      "'running'))",
      job.id, job.revision);
}

Status save_job(Db& db, const SyncJob& job) {
  const auto& p = job.pause;
  TG_CHECK(db.exec(
      "UPDATE sync_jobs SET name = ?, revision = ?, source_id = ?, destination_id = ?, mode = "
      "?, overlap = ?, enabled = ?, next_slot = ?, reset_epoch = ?, pause_note = ?, "
      "pause_until = ?, pause_since = ?, pause_by = ?, updated_at = ? WHERE id = ?",
      job.spec.name, job.revision, job.spec.source_id, job.spec.destination_id,
      name_of(job.spec.mode, protocol::kSyncModeNames),
      name_of(job.spec.overlap, model::kOverlapNames), job.spec.enabled, job.next_slot,
      job.reset_epoch, p ? std::optional(p->note) : std::nullopt, p ? p->until : std::nullopt,
      p ? std::optional(p->since) : std::nullopt, p ? std::optional(p->by) : std::nullopt,
      job.updated_at, job.id));
  return save_revision(db, job);
}

}  // namespace

Result<Created<JobId>> SqliteStore::create_job(const SyncJob& job,
                                               const std::optional<Idempotency>& once) {
  return writer_.run([&](Tx& tx) -> Result<Created<JobId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<JobId>{JobId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists("SELECT 1 FROM sync_jobs WHERE id = ?", job.id));
    if (known) return Created<JobId>{job.id, true};
    TG_CHECK(check_spec(tx.db, job.workspace, job.id, job.spec));
    TG_CHECK(tx.db.exec(
        "INSERT INTO sync_jobs (id, workspace_id, name, revision, source_id, destination_id, mode, "
        "overlap, enabled, next_slot, run_count, consecutive_failures, success_durations, "
        "reset_epoch, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, '', '', '', '', 0, ?, ?, ?, ?, ?, ?, ?, ?)",
        job.id, job.workspace, job.spec.name, job.revision, job.next_slot, job.run_count,
        job.consecutive_failures, durations_text(job), job.reset_epoch, job.created_by,
        job.created_at, job.updated_at));
    TG_CHECK(save_job(tx.db, job));
    TG_CHECK(save_states(tx.db, job.id, job.known_state));
    TG_CHECK(remember(tx, once, job.id.str()));
    tx.note(ChangeKind::Job, job.id.str());
    return Created<JobId>{job.id};
  });
}

Result<SyncJob> SqliteStore::get_job(const WorkspaceId& ws, const JobId& id) {
  const auto load = [&] {
    return quick_.snapshot([&](Db& db) { return load_job(db, WorkspaceId(), id); });
  };
  TG_TRY(auto job, cache_.jobs.get(*index_, id.str(), load));
  if (!job || (!ws.empty() && job->workspace != ws)) return rules::job_not_found(id);
  return std::move(*job);
}

namespace {

// Only the conditions that the query has: a general one would keep SQLite from using an index.
std::string job_conditions(const JobQuery& q) {
  std::string where =
      fmt::format(" FROM sync_jobs WHERE deleted_at IS {}NULL", q.deleted ? "NOT " : "");
  if (!q.workspace.empty()) where += " AND workspace_id = ?1";
  if (q.name_contains) where += " AND instr(lower(name), lower(?2)) > 0";
  if (q.enabled) where += " AND enabled = ?3";
  if (q.connection) where += " AND (source_id = ?4 OR destination_id = ?4)";
  return where;
}

}  // namespace

Result<Listing<SyncJob>> SqliteStore::list_jobs(const JobQuery& query) {
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "jobs", 2));
  const std::string where = job_conditions(query);
  return readers_.snapshot([&](Db& db) -> Result<Listing<SyncJob>> {
    Listing<SyncJob> list;
    TG_TRY(list.total, db.number("SELECT count(*)" + where, query.workspace, query.name_contains,
                                 query.enabled, query.connection));
    const std::size_t limit = rules::page_limit(query.page);
    const std::string after_name = cursor ? (*cursor)[0] : "",
                      after_id = cursor ? (*cursor)[1] : "";
    TG_CHECK(db.each(
        fmt::format("SELECT " TG_JOB_COLUMNS
                    "{} AND (name, id) > (?5, ?6) ORDER BY name, id LIMIT ?7",
                    where),
        [&](const Row& r) -> Status {
          TG_TRY(auto head, job_head_from(r));
          list.items.push_back(std::move(head.job));
          return {};
        },
        query.workspace, query.name_contains, query.enabled, query.connection, after_name, after_id,
        limit + 1));
    for (SyncJob& job : list.items) {
      TG_TRY(job.spec, load_spec(db, job.id, job.revision));
      TG_TRY(job.known_state, load_states(db, job.id));
    }
    rules::end_page(list, limit, [](const SyncJob& j) {
      return rules::name_cursor("jobs", j.spec.name, j.id.str());
    });
    return list;
  });
}

// Reads the job, lets `change` alter it and writes it under the next revision.
Result<SyncJob> SqliteStore::change_job(const WorkspaceId& ws, const JobId& id,
                                        IfRevision if_revision,
                                        const std::optional<Idempotency>& once,
                                        const std::function<Status(Tx&, SyncJob&)>& change) {
  return writer_.run([&](Tx& tx) -> Result<SyncJob> {
    TG_TRY(auto job, load_job(tx.db, ws, id));
    if (!job) return rules::job_not_found(id);
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return std::move(*job);
    if (if_revision && *if_revision != job->revision) return rules::stale_revision(job->revision);
    job->revision += 1;
    job->updated_at = tx.now;
    TG_CHECK(change(tx, *job));
    TG_CHECK(save_job(tx.db, *job));
    TG_CHECK(remember(tx, once, id.str()));
    tx.note(ChangeKind::Job, id.str());
    return std::move(*job);
  });
}

Result<SyncJob> SqliteStore::update_job(const UpdateJob& update) {
  return change_job(update.workspace, update.id, update.if_revision, update.once,
                    [&](Tx& tx, SyncJob& job) -> Status {
                      TG_CHECK(check_spec(tx.db, job.workspace, job.id, update.spec));
                      job.spec = update.spec;
                      job.updated_at = update.at;
                      if (!update.reschedule) return {};
                      TG_CHECK(rules::move_next_slot(job, *update.reschedule));
                      for (const auto& record : update.reschedule->skipped) {
                        TG_TRY(const bool known, slot_known(tx.db, job.id, record.first));
                        if (!known) TG_CHECK(add_record(tx.db, job.id, record));
                      }
                      return {};
                    });
}

Result<SyncJob> SqliteStore::set_pause(const WorkspaceId& ws, const JobId& id,
                                       IfRevision if_revision,
                                       const std::optional<model::Pause>& pause,
                                       const std::optional<Idempotency>& once) {
  return change_job(ws, id, if_revision, once, [&](Tx&, SyncJob& job) -> Status {
    job.pause = pause;
    return {};
  });
}

Result<SyncJob> SqliteStore::reset_job(const WorkspaceId& ws, const JobId& id,
                                       IfRevision if_revision,
                                       const std::optional<Idempotency>& once) {
  return change_job(ws, id, if_revision, once, [&](Tx& tx, SyncJob& job) -> Status {
    job.reset_epoch += 1;
    job.known_state.clear();
    return save_states(tx.db, job.id, job.known_state);
  });
}

Status SqliteStore::delete_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision) {
  return writer_.run([&](Tx& tx) -> Status {
    TG_TRY(auto head, find_job_head(tx.db, id));
    if (!head || head->deleted || (!ws.empty() && head->job.workspace != ws)) {
      return rules::job_not_found(id);
    }
    if (if_revision && *if_revision != head->job.revision) {
      return rules::stale_revision(head->job.revision);
    }
    TG_TRY(auto active, active_runs(tx.db, id));
    for (model::Run& run : active) TG_CHECK(cancel_run(tx, run, *head));
    head->job.next_slot.reset();
    TG_CHECK(update_job_progress(tx.db, *head));
    TG_CHECK(tx.db.exec("UPDATE sync_jobs SET deleted_at = ? WHERE id = ?", tx.now, id));
    tx.note(ChangeKind::Job, id.str());
    return {};
  });
}

}  // namespace tidegate::store::sqlite
