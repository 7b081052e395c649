#include <algorithm>

#include "control/store/memory/memory_state.h"

namespace tidegate::store {

using model::SyncJob;

MemoryStore::MemoryStore(const Clock& clock) : clock_(clock) {
  const WorkspaceId id{std::string(rules::kDefaultWorkspaceId)};
  workspaces_[id] = {
      .id = id, .name = std::string(rules::kDefaultWorkspaceName), .created_at = clock.now()};
}

std::unique_ptr<Store> make_memory_store(const Clock& clock) {
  return std::make_unique<MemoryStore>(clock);
}

Capabilities MemoryStore::capabilities() const {
  return {.durable = false,
          .shared = false,
          .pushes_changes = true,
          .local_reads = true,
          .name = "memory"};
}

Result<std::optional<std::string>> MemoryStore::find_replay(const Idempotency& once) {
  const std::scoped_lock lock(mutex_);
  return replay(once);
}

std::unique_ptr<Subscription> MemoryStore::watch(ChangeHandler handler) {
  return hub_.subscribe(std::move(handler));
}

Result<std::optional<std::string>> MemoryStore::replay(
    const std::optional<Idempotency>& once) const {
  if (!once) return std::nullopt;
  const auto it = keys_.find({once->scope, once->key});
  if (it == keys_.end() || it->second.at + rules::kIdempotencyKept <= clock_.now()) {
    return std::nullopt;
  }
  if (it->second.body_hash != once->body_hash) return rules::idempotency_mismatch();
  return it->second.id;
}

void MemoryStore::remember(const std::optional<Idempotency>& once, const std::string& id) {
  if (once) keys_[{once->scope, once->key}] = {once->body_hash, id, clock_.now()};
}

JobRow* MemoryStore::find_job(const WorkspaceId& ws, const JobId& id) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end() || it->second.deleted) return nullptr;
  return ws.empty() || it->second.job.workspace == ws ? &it->second : nullptr;
}

Result<JobRow*> MemoryStore::job_for_write(const WorkspaceId& ws, const JobId& id,
                                           IfRevision if_revision) {
  JobRow* row = find_job(ws, id);
  if (row == nullptr) return rules::job_not_found(id);
  if (if_revision && *if_revision != row->job.revision) {
    return rules::stale_revision(row->job.revision);
  }
  return row;
}

const model::Connection* MemoryStore::connection(const ConnectionId& id, model::ConnectionKind kind,
                                                 const WorkspaceId& ws) const {
  const auto it = connections_.find(id);
  if (it == connections_.end() || it->second.kind != kind) return nullptr;
  return it->second.workspace == ws ? &it->second : nullptr;
}

Status MemoryStore::check_spec(const WorkspaceId& ws, const JobId& self,
                               const model::JobSpec& spec) const {
  if (!workspaces_.contains(ws)) return rules::workspace_not_found(ws.str());
  for (const auto& [id, row] : jobs_) {
    if (id != self && !row.deleted && row.job.workspace == ws && row.job.spec.name == spec.name) {
      return rules::name_taken("job", spec.name);
    }
  }
  return rules::check_references(
      connection(spec.source_id, model::ConnectionKind::Source, ws) != nullptr,
      connection(spec.destination_id, model::ConnectionKind::Destination, ws) != nullptr, spec);
}

Result<Created<JobId>> MemoryStore::create_job(const SyncJob& job,
                                               const std::optional<Idempotency>& once) {
  Write write(*this);
  TG_TRY(const auto earlier, replay(once));
  if (earlier) return Created<JobId>{JobId(*earlier), true};
  if (jobs_.contains(job.id)) return Created<JobId>{job.id, true};
  TG_CHECK(check_spec(job.workspace, job.id, job.spec));
  JobRow& row = jobs_[job.id];
  row.job = job;
  row.revisions[job.revision] = job.spec;
  remember(once, job.id.str());
  write.note(ChangeKind::Job, job.id.str());
  return Created<JobId>{job.id};
}

Result<SyncJob> MemoryStore::get_job(const WorkspaceId& ws, const JobId& id) {
  const std::scoped_lock lock(mutex_);
  const JobRow* row = find_job(ws, id);
  if (row == nullptr) return rules::job_not_found(id);
  return row->job;
}

Result<Listing<SyncJob>> MemoryStore::list_jobs(const JobQuery& query) {
  const std::scoped_lock lock(mutex_);
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "jobs", 2));
  std::map<std::pair<std::string, std::string>, const SyncJob*> found;
  for (const auto& [id, row] : jobs_) {
    const SyncJob& job = row.job;
    const bool fits = row.deleted == query.deleted &&
                      (query.workspace.empty() || job.workspace == query.workspace) &&
                      (!query.name_contains ||
                       rules::contains_ignoring_case(job.spec.name, *query.name_contains)) &&
                      (!query.enabled || job.spec.enabled == *query.enabled) &&
                      (!query.connection || job.spec.source_id == *query.connection ||
                       job.spec.destination_id == *query.connection);
    if (fits) found.emplace(std::pair{job.spec.name, id.str()}, &job);
  }
  Listing<SyncJob> list{.items = {}, .next_cursor = {}, .total = std::ssize(found)};
  auto it = cursor ? found.upper_bound({(*cursor)[0], (*cursor)[1]}) : found.begin();
  const std::size_t limit = rules::page_limit(query.page);
  for (; it != found.end() && list.items.size() < limit; ++it) list.items.push_back(*it->second);
  if (it != found.end()) {
    const SyncJob& last = list.items.back();
    list.next_cursor = rules::encode_cursor("jobs", {last.spec.name, last.id.str()});
  }
  return list;
}

void MemoryStore::forget_revisions(JobRow& row) const {
  std::erase_if(row.revisions, [&](const auto& entry) {
    return entry.first != row.job.revision &&
           std::ranges::none_of(row.active, [&](const RunId& id) {
             return runs_.at(id).run.job_revision == entry.first;
           });
  });
}

Result<SyncJob> MemoryStore::update_job(const UpdateJob& update) {
  Write write(*this);
  TG_TRY(const auto earlier, replay(update.once));
  TG_TRY(JobRow * row,
         job_for_write(update.workspace, update.id, earlier ? IfRevision{} : update.if_revision));
  if (earlier) return row->job;
  TG_CHECK(check_spec(row->job.workspace, update.id, update.spec));
  SyncJob& job = row->job;
  if (update.reschedule) TG_CHECK(rules::move_next_slot(job, *update.reschedule));
  job.spec = update.spec;
  job.revision += 1;
  job.updated_at = update.at;
  row->revisions[job.revision] = update.spec;
  forget_revisions(*row);
  if (update.reschedule) {
    for (const auto& record : update.reschedule->skipped) {
      if (!slot_known(*row, record.first)) add_record(*row, record);
    }
  }
  remember(update.once, update.id.str());
  write.note(ChangeKind::Job, update.id.str());
  return job;
}

Result<SyncJob> MemoryStore::set_pause(const WorkspaceId& ws, const JobId& id,
                                       IfRevision if_revision,
                                       const std::optional<model::Pause>& pause,
                                       const std::optional<Idempotency>& once) {
  Write write(*this);
  TG_TRY(const auto earlier, replay(once));
  TG_TRY(JobRow * row, job_for_write(ws, id, earlier ? IfRevision{} : if_revision));
  if (earlier) return row->job;
  row->job.pause = pause;
  row->job.revision += 1;
  row->job.updated_at = clock_.now();
  row->revisions[row->job.revision] = row->job.spec;
  forget_revisions(*row);
  remember(once, id.str());
  write.note(ChangeKind::Job, id.str());
  return row->job;
}

Result<SyncJob> MemoryStore::reset_job(const WorkspaceId& ws, const JobId& id,
                                       IfRevision if_revision,
                                       const std::optional<Idempotency>& once) {
  Write write(*this);
  TG_TRY(const auto earlier, replay(once));
  TG_TRY(JobRow * row, job_for_write(ws, id, earlier ? IfRevision{} : if_revision));
  if (earlier) return row->job;
  row->job.known_state.clear();
  row->job.reset_epoch += 1;
  row->job.revision += 1;
  row->job.updated_at = clock_.now();
  row->revisions[row->job.revision] = row->job.spec;
  forget_revisions(*row);
  remember(once, id.str());
  write.note(ChangeKind::Job, id.str());
  return row->job;
}

Status MemoryStore::delete_job(const WorkspaceId& ws, const JobId& id, IfRevision if_revision) {
  Write write(*this);
  TG_TRY(JobRow * row, job_for_write(ws, id, if_revision));
  const auto active = row->active;
  for (const RunId& run : active) cancel_run(runs_.at(run), write);
  row->deleted = true;
  row->job.next_slot.reset();
  write.note(ChangeKind::Job, id.str());
  return {};
}

}  // namespace tidegate::store
