#include "base/json.h"
#include "control/api/answer.h"
#include "control/api/input.h"
#include "control/api/job_bodies.h"
#include "control/api/job_check.h"
#include "control/api/job_io.h"
#include "control/api/merge_patch.h"
#include "control/api/route.h"
#include "control/api/store_time.h"
#include "control/cron/cron.h"
#include "control/model/job_json.h"
#include "control/plan/plan.h"
#include "control/plan/slots.h"

namespace tidegate::api {
namespace {

using http::Method;
using http::Response;
using model::JobSpec;
using model::SyncJob;

Result<Response> list_jobs(const Call& call) {
  Query query(call.request);
  store::JobQuery q;
  q.workspace = call.workspace;
  q.page = query.page();
  q.name_contains = query.text("name");
  q.enabled = query.boolean("enabled");
  if (auto id = query.text("connectionId")) q.connection = ConnectionId(std::move(*id));
  q.deleted = query.boolean("deleted").value_or(false);
  query.fields();
  TG_CHECK(query.finish());
  TG_TRY(auto list, call.store().list_jobs(q));
  boost::json::array items;
  items.reserve(list.items.size());
  TG_TRY(const Instant now, call.services.time.now());
  for (SyncJob& job : list.items) {
    auto item = model::to_json(shown(std::move(job), now));
    if (q.deleted) {
      item["status"] = "deleted";
      item["nextRunAt"] = nullptr;
    }
    items.push_back(std::move(item));
  }
  return answer_list(std::move(items), query.wanted(), list.next_cursor, list.total);
}

// Accepted, it would never run and nobody would be told. One that is disabled says so itself.
Status check_still_to_come(const JobSpec& spec, Instant now) {
  const auto* once = std::get_if<model::AtSchedule>(&spec.schedule);
  if (once == nullptr || once->at > now || !spec.enabled) return {};
  return fail(Error{Code::Invalid,
                    "the job is not valid; see details",
                    "invalid_job",
                    {{"schedule.at",
                      "is in the past; give a later time, or leave the schedule out and start the "
                      "job by hand",
                      std::nullopt}}});
}

Result<Response> create_job(const Call& call) {
  TG_TRY(const auto body, body_object(call));
  SyncJob job;
  job.id = new_id<JobId>(call.services.clock, call.services.rng);
  TG_TRY(job.spec, model::job_spec_from_json(body, cron::hash_seed(job.id.str())));
  TG_TRY(const auto once, idempotency(call));
  TG_TRY(const Instant now, call.store().now());
  // The time of a repeated one may have passed since the first.
  TG_TRY(const bool replayed, is_replay(call, once));
  if (!replayed) {
    TG_CHECK(check_still_to_come(job.spec, now));
    TG_CHECK(check_endpoints(call, job.spec));
  }
  job.workspace = call.workspace;
  job.created_by = call.principal.name;
  job.created_at = job.updated_at = now;
  TG_TRY(job.next_slot, plan::first_slot(job.spec.schedule, job.id, now));
  if (call.dry_run) return answer(model::to_json(shown(std::move(job), now)));
  TG_TRY(const auto created, call.store().create_job(job, once));
  TG_TRY(job, call.store().get_job(call.workspace, created.id));
  job = shown(std::move(job), now);
  return answer_created(model::to_json(job), job.revision, job_location(job), created.replayed);
}

Result<Response> get_job(const Call& call) {
  Query query(call.request);
  query.fields();
  TG_CHECK(query.finish());
  TG_TRY(SyncJob job, call.store().get_job(call.workspace, JobId(call.id())));
  TG_TRY(const Instant now, call.services.time.now());
  job = shown(std::move(job), now);
  if (query.wanted().empty()) {
    return answer_text(call.services.job_bodies.body(job), job.revision);
  }
  auto data = model::to_json(job);
  TG_CHECK(project(data, query.wanted()));
  return answer_resource(std::move(data), job.revision);
}

Result<Response> changed(const Call& call, Result<SyncJob> changed) {
  TG_TRY(SyncJob job, std::move(changed));
  TG_TRY(const Instant now, call.services.time.now());
  job = shown(std::move(job), now);
  if (call.dry_run) return answer(model::to_json(job));
  return answer_resource(model::to_json(job), job.revision);
}

Result<Response> replace_job(const Call& call) {
  TG_TRY(const auto body, body_object(call));
  return changed(call, change_job(call, std::nullopt, [&](const SyncJob& job) {
                   return model::job_spec_from_json(body, cron::hash_seed(job.id.str()));
                 }));
}

Result<Response> patch_job(const Call& call) {
  TG_TRY(const auto body, body_object(call));
  return changed(call, change_job(call, std::nullopt, [&](const SyncJob& job) {
                   boost::json::object merged = model::to_json(job.spec);
                   patch_resource(merged, body);
                   return model::job_spec_from_json(merged, cron::hash_seed(job.id.str()));
                 }));
}

Result<Response> delete_job(const Call& call) {
  TG_TRY(const auto revision, if_match(call.request));
  const JobId id(call.id());
  if (call.dry_run) {
    TG_TRY(const SyncJob job, call.store().get_job(call.workspace, id));
    TG_CHECK(check_revision(revision, job.revision));
  } else {
    TG_CHECK(call.store().delete_job(call.workspace, id, revision));
  }
  return answer(boost::json::object{{"id", call.id()}});
}

}  // namespace

std::string job_location(const SyncJob& job) {
  return "/api/workspaces/" + job.workspace.str() + "/sync-jobs/" + job.id.str();
}

SyncJob shown(SyncJob job, Instant now) {
  if (job.pause && !plan::is_paused(job, now)) job.pause.reset();
  if (job.pause && job.pause->until) {
    // A schedule that cannot be read says so in the job's status.
    const auto next = plan::next_slots(job, now, 1);
    job.next_slot = next && !next->empty() ? std::optional(next->front()) : std::nullopt;
  }
  return job;
}

namespace {

// A connection may have been changed since. Whoever leaves the three alone can still describe,
// disable or reschedule the job.
bool moves_endpoints(const JobSpec& from, const JobSpec& to) {
  return from.source_id != to.source_id || from.destination_id != to.destination_id ||
         from.mode != to.mode;
}

// What the store would make of it.
SyncJob as_changed(SyncJob job, const store::JobStore::UpdateJob& update) {
  job.spec = update.spec;
  job.revision += 1;
  job.updated_at = update.at;
  if (update.reschedule) job.next_slot = update.reschedule->next_slot;
  return job;
}

}  // namespace

Result<SyncJob> change_job(const Call& call, const std::optional<store::Idempotency>& once,
                           const std::function<Result<JobSpec>(const SyncJob&)>& change) {
  constexpr int kTries = 5;
  TG_TRY(const auto revision, if_match(call.request));
  for (int n = 1;; ++n) {
    TG_TRY(const SyncJob job, call.store().get_job(call.workspace, JobId(call.id())));
    store::JobStore::UpdateJob update;
    update.workspace = call.workspace;
    update.once = once;
    update.id = job.id;
    update.if_revision = revision.value_or(job.revision);
    TG_TRY(update.spec, change(job));
    TG_TRY(update.at, call.store().now());
    if (moves_endpoints(job.spec, update.spec)) TG_CHECK(check_endpoints(call, update.spec));
    // The time of a job that stays as it was may have passed.
    if (plan::needs_reschedule(job, update.spec)) {
      TG_CHECK(check_still_to_come(update.spec, update.at));
    }
    if (plan::needs_reschedule(job, update.spec)) {
      TG_TRY(update.reschedule, plan::reschedule(job, update.spec, update.at));
    }
    if (call.dry_run) {
      TG_CHECK(check_revision(revision, job.revision));
      return as_changed(job, update);
    }
    auto done = call.store().update_job(update);
    const bool lost_race = !done && (done.error().reason == "slots_moved" ||
                                     (done.error().code == Code::PreconditionFailed && !revision));
    if (!lost_race || n == kTries) return done;
  }
}

std::vector<ApiRoute> job_routes() {
  constexpr std::string_view kJobs = "/api/workspaces/{ws}/sync-jobs";
  constexpr bool kHasDryRun = true;
  constexpr std::string_view kJob = "/api/workspaces/{ws}/sync-jobs/{id}";
  return {
      {Method::Get, kJobs, Access::Viewer, Scope::Workspace, list_jobs},
      {Method::Post, kJobs, Access::Operator, Scope::Workspace, create_job, RunOn::Pool,
       kHasDryRun},
      {Method::Get, kJob, Access::Viewer, Scope::Workspace, get_job, RunOn::StoreRead},
      {Method::Put, kJob, Access::Operator, Scope::Workspace, replace_job, RunOn::Pool, kHasDryRun},
      {Method::Patch, kJob, Access::Operator, Scope::Workspace, patch_job, RunOn::Pool, kHasDryRun},
      {Method::Delete, kJob, Access::Operator, Scope::Workspace, delete_job, RunOn::Pool,
       kHasDryRun},
  };
}

}  // namespace tidegate::api
