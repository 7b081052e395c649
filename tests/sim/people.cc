// What people do to jobs meanwhile, in the steps of the API's handlers, and again when no answer
// came.

#include <fmt/format.h>

#include <algorithm>

#include "control/plan/plan.h"
#include "control/plan/slots.h"
#include "tests/sim/world.h"

namespace tidegate::sim {

using model::SyncJob;

template <class F>
void World::until_answered(F&& call) {
  constexpr int kMostTries = 50;
  for (int n = 0; n < kMostTries && stage_.stuck().empty(); ++n) {
    const auto answer = call();
    if (answer) return;
    const bool again =
        answer.error().code == Code::Unavailable || answer.error().reason == "slots_moved";
    if (!again) return;
    stage_.run_until(passed() + Millis(100));
  }
}

// Requests of people wait and fail as those of workers do.
worker::testing::Fault World::people_gate() {
  if (!faulty()) return worker::testing::Fault::None;
  if (one_in(rng_, 3))
    stage_.run_until(std::min(passed() + some(Millis(1), Seconds(4)), faults_end_));
  if (passed() < away_until_) return worker::testing::Fault::Before;
  return one_in(rng_, 10) ? worker::testing::Fault::After : worker::testing::Fault::None;
}

std::optional<SyncJob> World::any_job() {
  auto jobs = store_->list_jobs({.workspace = ws_, .page = {.limit = 1'000}});
  if (!jobs || jobs->items.empty()) return std::nullopt;
  return std::move(jobs->items[rng_.below(jobs->items.size())]);
}

void World::add_job() {
  SyncJob job;
  job.id = JobId(fmt::format("job-{}", ++jobs_made_));
  job.workspace = ws_;
  job.created_at = job.updated_at = clock_.now();
  job.spec = make_spec(rng_, clock_.now());
  job.spec.name = job.id.str();
  job.spec.source_id = ConnectionId("source");
  job.spec.destination_id = ConnectionId(one_in(rng_, 4) ? "one-writer" : "shared");
  job.next_slot = *plan::first_slot(job.spec.schedule, job.id, job.created_at);
  until_answered([&] { return people_.create_job(job, {}); });
}

// api/job_routes.cc: read, judge by the store's time, write when nobody was faster.
void World::edit_job(const SyncJob& seen) {
  until_answered([&]() -> Result<SyncJob> {
    TG_TRY(const SyncJob job, people_.get_job(ws_, seen.id));
    store::JobStore::UpdateJob update;
    update.workspace = ws_;
    update.id = job.id;
    update.if_revision = job.revision;
    update.spec = job.spec;
    switch (rng_.below(3)) {
      case 0:
        update.spec.enabled = !update.spec.enabled;
        break;
      case 1:
        update.spec.retry.max_attempts = static_cast<int>(between(rng_, 1, 4));
        break;
      default:
        update.spec.schedule = make_schedule(rng_, clock_.now());
    }
    TG_TRY(update.at, people_.now());
    if (plan::needs_reschedule(job, update.spec)) {
      TG_TRY(update.reschedule, plan::reschedule(job, update.spec, update.at));
    }
    return people_.update_job(update);
  });
}

void World::do_something() {
  const auto job = any_job();
  if (!job || one_in(rng_, 10)) return add_job();
  switch (rng_.below(9)) {
    case 0:
    case 1: {
      const RunId run = new_id<RunId>(clock_, rng_);
      until_answered(
          [&] { return people_.trigger_run({.workspace = ws_, .job = job->id, .run = run}); });
      break;
    }
    case 2: {
      const auto all = runs(job->id);
      const auto active = std::ranges::find_if(
          all, [](const model::Run& run) { return !model::is_terminal(run.state); });
      if (active == all.end()) break;
      until_answered([&] { return people_.request_cancel(ws_, active->id, {}); });
      break;
    }
    case 3: {
      model::Pause pause{.note = "", .until = {}, .since = clock_.now(), .by = "x"};
      if (one_in(rng_, 2)) pause.until = pause.since + some(Seconds(1), Seconds(60));
      until_answered([&] { return people_.set_pause(ws_, job->id, {}, pause, {}); });
      break;
    }
    case 4:
      until_answered([&] { return people_.set_pause(ws_, job->id, {}, std::nullopt, {}); });
      break;
    case 5:
      until_answered([&] { return people_.reset_job(ws_, job->id, {}, {}); });
      break;
    case 6:
      if (one_in(rng_, 3)) {
        until_answered([&] { return people_.delete_job(ws_, job->id, {}); });
      }
      break;
    default:
      edit_job(*job);
  }
}

}  // namespace tidegate::sim
