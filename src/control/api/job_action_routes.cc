// What can be done with one job, and what is known of it.
#include <functional>
#include <optional>

#include "base/json.h"
#include "control/api/answer.h"
#include "control/api/input.h"
#include "control/api/job_io.h"
#include "control/api/job_status.h"
#include "control/api/route.h"
#include "control/api/run_list.h"
#include "control/api/store_time.h"
#include "control/cron/time_zone.h"
#include "control/model/job_json.h"
#include "control/model/run_json.h"
#include "control/model/text_field.h"
#include "control/plan/slots.h"
#include "control/plan/why.h"

namespace tidegate::api {
namespace {

using http::Method;
using http::Response;
using model::SyncJob;

constexpr std::int64_t kMaxNext = 1000;

Result<SyncJob> find_job(const Call& call) {
  return call.store().get_job(call.workspace, JobId(call.id()));
}

// Does `act` unless an earlier request with the same Idempotency-Key did: then answers with the job
// as it is now.
Result<Response> change_once(
    const Call& call, const std::function<Result<SyncJob>(const std::optional<store::Idempotency>&,
                                                          store::IfRevision)>& act) {
  TG_TRY(const auto revision, if_match(call.request));
  TG_TRY(const auto once, idempotency(call));
  TG_TRY(const bool replayed, is_replay(call, once));
  TG_TRY(SyncJob job, replayed ? find_job(call) : act(once, revision));
  TG_TRY(const Instant now, call.services.time.now());
  job = shown(std::move(job), now);
  Response response = answer_resource(model::to_json(job), job.revision);
  if (replayed) mark_replayed(response);
  return response;
}

Result<Response> toggle(const Call& call) {
  TG_TRY(const auto body, optional_body(call));
  std::vector<FieldError> errors;
  json::Reader r(body, "", errors);
  const auto enabled = r.boolean("enabled");
  r.finish();
  TG_CHECK(refuse(std::move(errors), "the body is not valid; see details", "invalid_body"));
  return change_once(call, [&](const auto& once, store::IfRevision) {
    return change_job(call, once, [&](const SyncJob& job) -> Result<model::JobSpec> {
      model::JobSpec spec = job.spec;
      spec.enabled = enabled.value_or(!spec.enabled);
      return spec;
    });
  });
}

Result<Response> run_now(const Call& call) {
  TG_TRY(const auto body, optional_body(call));
  std::vector<FieldError> errors;
  json::Reader r(body, "", errors);
  store::TriggerRun trigger;
  trigger.only_entities = model::read_names(r, "entities", 1000);
  trigger.take_over = r.boolean("takeOver").value_or(false);
  r.finish();
  TG_CHECK(refuse(std::move(errors), "the body is not valid; see details", "invalid_body"));
  TG_TRY(trigger.once, idempotency(call));
  trigger.workspace = call.workspace;
  trigger.job = JobId(call.id());
  trigger.run = new_id<RunId>(call.services.clock, call.services.rng);
  trigger.triggered_by = call.principal.name;
  TG_TRY(const auto created, call.store().trigger_run(trigger));
  return answer_started(call.workspace, created);
}

Result<Response> pause_job(const Call& call) {
  TG_TRY(const auto body, optional_body(call));
  std::vector<FieldError> errors;
  json::Reader r(body, "", errors);
  model::Pause pause;
  pause.note = model::read_text(r, "note", {.max_chars = 1000, .one_line = false}).value_or("");
  pause.until = r.time("until");
  TG_TRY(pause.since, call.store().now());
  pause.by = call.principal.name;
  return change_once(call, [&](const auto& once, store::IfRevision revision) -> Result<SyncJob> {
    if (pause.until && *pause.until <= pause.since)
      r.error("until", "is in the past; leave it out for no end");
    r.finish();
    TG_CHECK(refuse(std::move(errors), "the body is not valid; see details", "invalid_body"));
    return call.store().set_pause(call.workspace, JobId(call.id()), revision, pause, once);
  });
}

Result<Response> resume_job(const Call& call) {
  TG_CHECK(read_empty_body(call));
  return change_once(call, [&](const auto& once, store::IfRevision revision) {
    return call.store().set_pause(call.workspace, JobId(call.id()), revision, std::nullopt, once);
  });
}

Result<Response> reset_job(const Call& call) {
  TG_CHECK(read_empty_body(call));
  return change_once(call, [&](const auto& once, store::IfRevision revision) {
    return call.store().reset_job(call.workspace, JobId(call.id()), revision, once);
  });
}

Result<Response> get_status(const Call& call) {
  TG_TRY(const SyncJob job, find_job(call));
  TG_TRY(auto status, job_status_json(call.store(), job));
  return answer_projected(call, std::move(status), job.revision);
}

Result<Response> get_history(const Call& call) {
  Query query(call.request);
  store::RunQuery q;
  q.page = query.page();
  if (const auto i = query.one_of("state", model::kRunStateNames)) {
    q.state = static_cast<model::RunState>(*i);
  }
  q.since = query.time("since");
  query.fields();
  TG_CHECK(query.finish());
  q.workspace = call.workspace;
  q.job = JobId(call.id());
  // A deleted job's runs stay readable for as long as they are kept.
  store::RunQuery any{.workspace = q.workspace, .job = q.job, .brief = true};
  any.page.limit = 1;
  TG_TRY(const auto known, call.store().list_runs(any));
  if (known.total == 0) TG_CHECK(find_job(call));
  return answer_runs(call, std::move(q), query.wanted());
}

Result<Response> get_slots(const Call& call) {
  Query query(call.request);
  store::LedgerQuery q;
  q.page = query.page();
  q.since = query.time("since");
  q.until = query.time("until");
  query.fields();
  TG_CHECK(query.finish());
  q.workspace = call.workspace;
  q.job = JobId(call.id());  // a deleted one too
  TG_TRY(const auto list, call.store().list_slots(q));
  boost::json::array items;
  for (const auto& entry : list.items) {
    auto item = model::to_json(entry);
    item["why"] = model::text_or_null(plan::why_not_run(entry).text);
    items.push_back(std::move(item));
  }
  return answer_list(std::move(items), query.wanted(), list.next_cursor, list.total);
}

// In the zone of the job's cron schedule; others count elapsed time and have none.
cron::TimeZone zone_of(const SyncJob& job) {
  if (const auto* c = std::get_if<model::CronSchedule>(&job.spec.schedule)) {
    if (auto zone = cron::TimeZone::load(c->timezone)) return *zone;
  }
  return cron::TimeZone::utc();
}

Result<Response> get_next(const Call& call) {
  Query query(call.request);
  const auto count = static_cast<std::size_t>(query.integer("count", 1, kMaxNext).value_or(10));
  TG_CHECK(query.finish());
  TG_TRY(const SyncJob job, find_job(call));
  TG_TRY(const Instant now, call.store().now());
  TG_TRY(const auto slots, plan::next_slots(job, now, count));
  const cron::TimeZone zone = zone_of(job);
  boost::json::array items;
  for (const Instant t : slots) {
    items.push_back(
        boost::json::object{{"at", format_utc(t)}, {"local", cron::format_local(t, zone)}});
  }
  const auto total = static_cast<std::int64_t>(items.size());
  return answer_list(std::move(items), {}, std::nullopt, total);
}

}  // namespace

std::vector<ApiRoute> job_action_routes() {
#define TG_JOB "/api/workspaces/{ws}/sync-jobs/{id}"
  return {
      {Method::Post, TG_JOB "/toggle", Access::Operator, Scope::Workspace, toggle},
      {Method::Post, TG_JOB "/run", Access::Operator, Scope::Workspace, run_now},
      {Method::Post, TG_JOB "/pause", Access::Operator, Scope::Workspace, pause_job},
      {Method::Post, TG_JOB "/resume", Access::Operator, Scope::Workspace, resume_job},
      {Method::Post, TG_JOB "/reset", Access::Operator, Scope::Workspace, reset_job},
      {Method::Get, TG_JOB "/status", Access::Viewer, Scope::Workspace, get_status},
      {Method::Get, TG_JOB "/history", Access::Viewer, Scope::Workspace, get_history},
      {Method::Get, TG_JOB "/slots", Access::Viewer, Scope::Workspace, get_slots},
      {Method::Get, TG_JOB "/next", Access::Viewer, Scope::Workspace, get_next},
  };
#undef TG_JOB
}

}  // namespace tidegate::api
