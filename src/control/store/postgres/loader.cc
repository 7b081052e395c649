#include "control/store/postgres/loader.h"

namespace tidegate::store::postgres {
namespace {

// Where each thing begins in a row: 22 columns of the run and its two connections, 20 of the job,
// spec, states, 11 of each connection.
constexpr int kJob = 24, kSpec = kJob + 20, kStates = kSpec + 1, kSource = kStates + 1,
              kDestination = kSource + 11;

#define TG_LOAD_RUNS                                                                             \
  "SELECT r.*, j.*, v.spec, s.states, a.*, b.* FROM wanted JOIN LATERAL (SELECT " TG_RUN_COLUMNS \
  ", source_id, destination_id FROM sync_runs WHERE id = wanted.run_id) r ON true JOIN LATERAL " \
  "(SELECT " TG_JOB_COLUMNS                                                                      \
  " FROM sync_jobs WHERE id = r.job_id) j ON true LEFT JOIN job_revisions v ON v.job_id = "      \
  "r.job_id AND v.revision = r.job_revision LEFT JOIN job_states s ON s.job_id = r.job_id LEFT " \
  "JOIN LATERAL (SELECT " TG_CONNECTION_COLUMNS                                                  \
  " FROM connections WHERE id = r.source_id) a ON true LEFT JOIN LATERAL "                       \
  "(SELECT " TG_CONNECTION_COLUMNS " FROM connections WHERE id = r.destination_id) b ON true"

std::unexpected<Error> missing(const RunId& run, std::string_view what) {
  return fail(Code::Internal, "the run '" + run.str() + "' refers to a " + std::string(what) +
                                  " that the store does not hold; this is a defect");
}

}  // namespace

Query load_runs(const std::vector<RunId>& ids) {
  return query("WITH wanted AS (SELECT * FROM unnest($1) AS w(run_id)) " TG_LOAD_RUNS, ids);
}

Query load_expired(std::size_t limit) {
  return query(
      "WITH wanted AS MATERIALIZED (SELECT run_id FROM job_execution_locks WHERE expires_at <= "
      "(SELECT tidegate_now()) LIMIT $1) " TG_LOAD_RUNS,
      limit);
}

Result<RunLoader::Loaded> RunLoader::load(const Row& row) {
  Loaded loaded;
  ClaimedRun& out = loaded.run;
  TG_TRY(out.run, sql::run_from(row));
  TG_TRY(auto head, sql::job_head_from(row.from(kJob)));
  loaded.fence = head.fence;
  out.job = std::move(head.job);
  if (row.null(kSpec)) return missing(out.run.id, "spec");
  TG_TRY(out.job.spec, sql::spec_from(row.view(kSpec)));
  if (!row.null(kStates)) {
    TG_TRY(out.job.known_state, sql::states_from(row.view(kStates)));
  }
  out.job.revision = out.run.job_revision;
  TG_TRY(out.source, connection(row.from(kSource), out.run.id));
  TG_TRY(out.destination, connection(row.from(kDestination), out.run.id));
  return loaded;
}

Result<model::Connection> RunLoader::connection(const Row& row, const RunId& run) {
  if (row.null(0)) return missing(run, "connection");
  const ConnectionId id(row.text(0));
  const auto known = known_.find(id);
  if (known != known_.end()) return known->second;
  TG_TRY(auto read, sql::connection_from(row));
  return known_.emplace(id, std::move(read)).first->second;
}

}  // namespace tidegate::store::postgres
