#include "control/store/mongo/keys.h"
#include "control/store/mongo/ledger.h"
#include "control/store/mongo/mongo_state.h"
#include "control/store/mongo/query.h"

namespace tidegate::store::mongo {

using model::ConnectionKind;
using model::SyncJob;

namespace {

bj::object with_name(const WorkspaceId& ws, const std::string& name) {
  return {{"workspaceId", ws.str()}, {"name", name}, {"live", true}};
}

// The connection is there; written, so that its removal at the same time conflicts.
Result<bool> use_connection(Tx& tx, ConnectionKind kind, const ConnectionId& id,
                            const WorkspaceId& ws) {
  TG_TRY(const auto found, find_connection(tx.db, kind, id));
  if (!found || found->workspace != ws) return false;
  return tx.touch(connections_of(kind), id.str());
}

// Name free, workspace and connections there.
Status check_spec(Tx& tx, const WorkspaceId& ws, const JobId& self, const model::JobSpec& spec) {
  TG_TRY(const bool workspace, tx.touch(coll::kWorkspaces, ws.str()));
  if (!workspace) return rules::workspace_not_found(ws.str());
  bj::object same = with_name(ws, spec.name);
  same["_id"] = bj::object{{"$ne", self.str()}};
  TG_TRY(const bool taken, tx.db.exists(coll::kJobs, same));
  if (taken) return rules::name_taken("job", spec.name);
  TG_TRY(const bool source, use_connection(tx, ConnectionKind::Source, spec.source_id, ws));
  TG_TRY(const bool destination,
         use_connection(tx, ConnectionKind::Destination, spec.destination_id, ws));
  return rules::check_references(source, destination, spec);
}

// Another one took the name at the same moment.
Status name_error(Status status, const model::JobSpec& spec) {
  if (!status && status.error().reason == kDuplicate) return rules::name_taken("job", spec.name);
  return status;
}

}  // namespace

Result<Created<JobId>> MongoStore::create_job(const SyncJob& job,
                                              const std::optional<Idempotency>& once) {
  return write([&](Tx& tx) -> Result<Created<JobId>> {
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return Created<JobId>{JobId(*earlier), true};
    TG_TRY(const bool known, tx.db.exists(coll::kJobs, {{"_id", job.id.str()}}));
    if (known) return Created<JobId>{job.id, true};
    TG_CHECK(check_spec(tx, job.workspace, job.id, job.spec));
    TG_CHECK(name_error(tx.add(coll::kJobs, to_document(JobRow{.job = job})), job.spec));
    TG_CHECK(remember(tx, once, job.id.str()));
    tx.note(ChangeKind::Job, job.id.str());
    return Created<JobId>{job.id};
  });
}

Result<SyncJob> MongoStore::get_job(const WorkspaceId& ws, const JobId& id) {
  Conn conn(*pool_);
  TG_TRY(auto row, find_live_job(conn, ws, id));
  if (!row) return rules::job_not_found(id);
  return std::move(row->job);
}

Result<Listing<SyncJob>> MongoStore::list_jobs(const JobQuery& query) {
  bj::object filter{{"live", !query.deleted}};
  if (!query.workspace.empty()) filter["workspaceId"] = query.workspace.str();
  if (query.name_contains) filter["name"] = containing(*query.name_contains);
  if (query.enabled) filter["spec.enabled"] = *query.enabled;
  if (query.connection) {
    filter["$or"] = bj::array{bj::object{{"spec.source", query.connection->str()}},
                              bj::object{{"spec.destination", query.connection->str()}}};
  }
  Conn conn(*pool_);
  return list_by_name<SyncJob>(
      conn, coll::kJobs, "jobs", std::move(filter), query.page,
      [](bj::object o) -> Result<SyncJob> {
        TG_TRY(auto row, job_from(std::move(o)));
        return std::move(row.job);
      },
      [](const SyncJob& job) { return job.spec.name; });
}

// Reads the job, lets `change` alter it and writes it under the next revision.
Result<SyncJob> MongoStore::change_job(const WorkspaceId& ws, const JobId& id,
                                       IfRevision if_revision,
                                       const std::optional<Idempotency>& once,
                                       const std::function<Status(Tx&, SyncJob&)>& change) {
  return write([&](Tx& tx) -> Result<SyncJob> {
    TG_TRY(auto row, find_live_job(tx.db, ws, id));
    if (!row) return rules::job_not_found(id);
    TG_TRY(const auto earlier, replay(tx, once));
    if (earlier) return std::move(row->job);
    if (if_revision && *if_revision != row->job.revision) {
      return rules::stale_revision(row->job.revision);
    }
    row->job.revision += 1;
    row->job.updated_at = tx.now;
    TG_CHECK(change(tx, row->job));
    TG_CHECK(name_error(save_job(tx, *row), row->job.spec));
    TG_CHECK(remember(tx, once, id.str()));
    return std::move(row->job);
  });
}

Result<SyncJob> MongoStore::update_job(const UpdateJob& update) {
  return change_job(update.workspace, update.id, update.if_revision, update.once,
                    [&](Tx& tx, SyncJob& job) -> Status {
                      TG_CHECK(check_spec(tx, job.workspace, job.id, update.spec));
                      job.spec = update.spec;
                      job.updated_at = update.at;
                      if (!update.reschedule) return {};
                      TG_CHECK(rules::move_next_slot(job, *update.reschedule));
                      for (const auto& record : update.reschedule->skipped) {
                        TG_TRY(const auto known, known_slots(tx.db, job.id, {record.first}));
                        if (known.empty()) TG_CHECK(add_record(tx, job.id, record));
                      }
                      return {};
                    });
}

Result<SyncJob> MongoStore::set_pause(const WorkspaceId& ws, const JobId& id,
                                      IfRevision if_revision,
                                      const std::optional<model::Pause>& pause,
                                      const std::optional<Idempotency>& once) {
  return change_job(ws, id, if_revision, once, [&](Tx&, SyncJob& job) -> Status {
    job.pause = pause;
    return {};
  });
}

Result<SyncJob> MongoStore::reset_job(const WorkspaceId& ws, const JobId& id,
                                      IfRevision if_revision,
                                      const std::optional<Idempotency>& once) {
  return change_job(ws, id, if_revision, once, [&](Tx&, SyncJob& job) -> Status {
    job.reset_epoch += 1;
    job.known_state.clear();
    return {};
  });
}

// The job comes last: where there is no transaction, a repetition then finds what is left to do.
Status MongoStore::delete_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision) {
  return write([&](Tx& tx) -> Status {
    TG_TRY(auto row, find_live_job(tx.db, ws, id));
    if (!row) return rules::job_not_found(id);
    if (if_revision && *if_revision != row->job.revision) {
      return rules::stale_revision(row->job.revision);
    }
    TG_TRY(auto active, active_runs(tx.db, id));
    for (RunRow& run : active) {
      TG_CHECK(cancel_run(tx, run));
      if (model::is_terminal(run.run.state)) rules::account(row->job, run.run);
    }
    row->deleted = true;
    row->job.next_slot.reset();
    return save_job(tx, *row);
  });
}

}  // namespace tidegate::store::mongo
