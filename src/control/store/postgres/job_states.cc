#include "control/store/postgres/job_states.h"

namespace tidegate::store::postgres {

Query JobStates::look(const std::vector<RunId>& runs) {
  return query(
      "SELECT job_id, states FROM job_states WHERE job_id = ANY (ARRAY(SELECT job_id FROM "
      "sync_runs WHERE id = ANY ($1)))",
      runs);
}

void JobStates::learn(const Rows& jobs, const Rows& states) {
  for (const Row row : jobs) epochs_.emplace(JobId(row.text(0)), row.integer(1));
  for (const Row row : states) {
    known_.emplace(JobId(row.text(0)), sql::states_from(row.view(1)));
  }
}

Status JobStates::keep(const JobId& id, const rules::Committed& committed) {
  model::SyncJob job;
  job.reset_epoch = epochs_.at(id);
  const auto found = known_.try_emplace(id).first;
  TG_TRY(job.known_state, found->second);
  rules::keep_states(job, committed);
  found->second = job.known_state;
  changed_.insert_or_assign(id, std::move(job.known_state));
  return {};
}

std::vector<Query> JobStates::writes() const {
  if (changed_.empty()) return {};
  return {save_states(changed_)};
}

Query save_states(const std::map<JobId, States>& states) {
  return query(
      "INSERT INTO job_states SELECT id, states::json FROM unnest($1, $2) AS i(id, states) ON "
      "CONFLICT (job_id) DO UPDATE SET states = excluded.states",
      column(states, [](const auto& s) { return s.first; }),
      column(states, [](const auto& s) { return sql::states_text(s.second); }));
}

}  // namespace tidegate::store::postgres
