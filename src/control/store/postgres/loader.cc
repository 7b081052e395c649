#include "control/store/postgres/loader.h"

#include <set>
#include <utility>

namespace tidegate::store::postgres {
namespace {

// Where each thing begins in a row: 22 columns of the run, its two connections, 20 of the job,
// spec, states.
constexpr int kSourceId = 22, kDestinationId = 23, kJob = 24, kSpec = kJob + 20,
              kStates = kSpec + 1;

#define TG_LOAD_RUNS                                                                             \
  "SELECT r.*, j.*, v.spec, s.states FROM wanted JOIN LATERAL (SELECT " TG_RUN_COLUMNS           \
  ", source_id, destination_id FROM sync_runs WHERE id = wanted.run_id) r ON true JOIN LATERAL " \
  "(SELECT " TG_JOB_COLUMNS                                                                      \
  " FROM sync_jobs WHERE id = r.job_id) j ON true LEFT JOIN job_revisions v ON v.job_id = "      \
  "r.job_id AND v.revision = r.job_revision LEFT JOIN job_states s ON s.job_id = r.job_id"

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
  TG_TRY(out.source, connection(ConnectionId(row.text(kSourceId)), out.run.id));
  TG_TRY(out.destination, connection(ConnectionId(row.text(kDestinationId)), out.run.id));
  return loaded;
}

Status RunLoader::learn_connections(Session& db, const Rows& rows) {
  std::set<ConnectionId> wanted;
  for (const Row row : rows) {
    for (const int at : {kSourceId, kDestinationId}) {
      ConnectionId id(row.text(at));
      if (!known_.contains(id)) wanted.insert(std::move(id));
    }
  }
  if (wanted.empty()) return {};
  TG_TRY(const auto found,
         db.exec("SELECT " TG_CONNECTION_COLUMNS " FROM connections WHERE id = ANY ($1)",
                 std::vector<ConnectionId>(wanted.begin(), wanted.end())));
  for (const Row row : found) known_.emplace(row.text(0), sql::connection_from(row));
  return {};
}

Result<model::Connection> RunLoader::connection(const ConnectionId& id, const RunId& run) const {
  const auto known = known_.find(id);
  if (known == known_.end()) return missing(run, "connection");
  return known->second;
}

}  // namespace tidegate::store::postgres
