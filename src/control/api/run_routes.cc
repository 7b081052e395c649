#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "control/api/answer.h"
#include "control/api/input.h"
#include "control/api/route.h"
#include "control/api/run_list.h"
#include "control/model/run_json.h"

namespace tidegate::api {
namespace {

using http::Method;
using http::Response;
using model::RunState;

constexpr std::string_view kSorts[] = {"-createdAt", "createdAt"};

Result<Response> list_runs(const Call& call) {
  Query query(call.request);
  store::RunQuery q;
  q.workspace = call.workspace;
  q.page = query.page();
  if (auto id = query.text("jobId")) q.job = JobId(std::move(*id));
  if (const auto i = query.one_of("state", model::kRunStateNames))
    q.state = static_cast<RunState>(*i);
  q.since = query.time("since");
  q.oldest_first = query.one_of("sort", kSorts).value_or(0) == 1;
  query.fields();
  TG_CHECK(query.finish());
  return answer_runs(call, std::move(q), query.wanted());
}

Result<Response> get_run(const Call& call) {
  Query query(call.request);
  query.fields();
  TG_CHECK(query.finish());
  TG_TRY(const auto run, call.store().get_run(call.workspace, RunId(call.id())));
  auto data = model::to_json(run);
  TG_CHECK(project(data, query.wanted()));
  return answer_content(std::move(data));
}

Result<Response> cancel_run(const Call& call) {
  TG_CHECK(read_empty_body(call));
  TG_TRY(const auto once, idempotency(call));
  TG_TRY(const bool replayed, is_replay(call, once));
  TG_TRY(const auto run, call.store().request_cancel(call.workspace, RunId(call.id()), once));
  Response response = answer(model::to_json(run), 202);
  if (replayed) mark_replayed(response);
  return response;
}

// Only the entities that failed, where the run got as far as an outcome for each; else what it was
// to do. A worker that died or was stopped left no outcome for the entities it had not reached.
std::vector<std::string> entities_to_retry(const model::Run& run) {
  const bool complete = run.state == RunState::Failed &&
                        run.error_kind != model::error_kind::kWorkerLost &&
                        run.error_kind != model::error_kind::kStalled;
  const auto ok = [](const auto& e) { return e.outcome == protocol::EntityOutcome::Succeeded; };
  if (!complete || std::ranges::none_of(run.entities, ok)) return run.only_entities;
  std::vector<std::string> names;
  for (const auto& e : run.entities) {
    if (!ok(e)) names.push_back(e.entity);
  }
  return names.empty() ? run.only_entities : names;
}

Result<Response> retry_run(const Call& call) {
  TG_CHECK(read_empty_body(call));
  TG_TRY(const auto run, call.store().get_run(call.workspace, RunId(call.id())));
  if (!model::is_terminal(run.state)) {
    return fail(Error{Code::Conflict,
                      fmt::format("the run has not ended ({}); wait for it or cancel it",
                                  model::kRunStateNames[static_cast<std::size_t>(run.state)]),
                      "run_active",
                      {{"runId", run.id.str(), std::nullopt}}});
  }
  if (run.state == RunState::Succeeded) {
    return fail(Code::Conflict,
                "the run succeeded: there is nothing to retry; start its job for a new one",
                "run_succeeded");
  }
  store::TriggerRun trigger;
  TG_TRY(trigger.once, idempotency(call));
  trigger.workspace = call.workspace;
  trigger.job = run.job;
  trigger.run = new_id<RunId>(call.services.clock, call.services.rng);
  trigger.trigger = model::Trigger::Retry;
  trigger.triggered_by = call.principal.name;
  trigger.only_entities = entities_to_retry(run);
  trigger.take_over = run.take_over;
  TG_TRY(const auto created, call.store().trigger_run(trigger));
  return answer_started(call.workspace, created);
}

}  // namespace

Result<Response> answer_runs(const Call& call, store::RunQuery q,
                             const std::set<std::string, std::less<>>& wanted) {
  static constexpr std::string_view kNotBrief[] = {"onlyEntities", "takeOver", "entities",
                                                   "progress",     "attempts", "warnings"};
  q.brief = !wanted.empty() && std::ranges::none_of(kNotBrief, [&](std::string_view name) {
    return wanted.contains(name);
  });
  TG_TRY(const auto list, call.store().list_runs(q));
  boost::json::array items;
  for (const auto& run : list.items) items.push_back(model::to_json(run));
  return answer_list(std::move(items), wanted, list.next_cursor, list.total);
}

std::vector<ApiRoute> run_routes() {
#define TG_RUNS "/api/workspaces/{ws}/runs"
  return {
      {Method::Get, TG_RUNS, Access::Viewer, Scope::Workspace, list_runs},
      {Method::Get, TG_RUNS "/{id}", Access::Viewer, Scope::Workspace, get_run},
      {Method::Post, TG_RUNS "/{id}/cancel", Access::Operator, Scope::Workspace, cancel_run},
      {Method::Post, TG_RUNS "/{id}/retry", Access::Operator, Scope::Workspace, retry_run},
  };
#undef TG_RUNS
}

}  // namespace tidegate::api
