#include "control/store/postgres/loader.h"

#include <set>
#include <utility>

namespace tidegate::store::postgres {
namespace {

// Where each thing lies in a row, behind 23 columns of the run.
constexpr int kSourceId = 23, kDestinationId = 24, kStates = 25, kResetEpoch = 26;

std::unexpected<Error> missing(const RunId& run, std::string_view what) {
  return fail(Code::Internal, "the run '" + run.str() + "' refers to a " + std::string(what) +
                                  " that the store does not hold; this is a defect");
}

Result<std::shared_ptr<const model::Connection>> shared(Result<model::Connection> connection) {
  if (!connection) return fail(std::move(connection.error()));
  return std::make_shared<const model::Connection>(std::move(*connection));
}

}  // namespace

Query load_expired(std::size_t limit) {
  return query(
      "WITH wanted AS MATERIALIZED (SELECT run_id, job_id FROM job_execution_locks WHERE "
      "expires_at <= (SELECT tidegate_now()) LIMIT $1) SELECT r.*, s.states, j.reset_epoch "
      "FROM wanted JOIN LATERAL (SELECT " TG_LOADED_RUN_COLUMNS("began_at")
      " FROM readable_runs WHERE id = wanted.run_id) r ON true JOIN LATERAL (SELECT reset_epoch "
      "FROM sync_jobs WHERE id = wanted.job_id) j ON true LEFT JOIN job_states s "
      "ON s.job_id = wanted.job_id",
      limit);
}

Status RunLoader::learn(Session& db, const Rows& rows) {
  std::set<std::string, std::less<>> connections;
  std::set<SpecCache::Key> specs;
  for (const Row row : rows) {
    for (const int at : {kSourceId, kDestinationId}) {
      const auto id = row.view(at);
      if (!connections_.contains(id) && !connections.contains(id)) connections.emplace(id);
    }
    SpecCache::Key key{JobId(row.text(2)), row.integer(3)};
    if (specs_.contains(key)) continue;
    if (auto kept = cache_.find(key)) {
      specs_.emplace(std::move(key), std::move(kept));
    } else {
      specs.insert(std::move(key));
    }
  }
  if (connections.empty() && specs.empty()) return {};
  std::vector<Query> queries{query("SELECT " TG_CONNECTION_COLUMNS
                                   " FROM connections WHERE id = ANY ($1)",
                                   std::vector(connections.begin(), connections.end()))};
  if (!specs.empty()) {
    queries.push_back(
        query("SELECT v.job_id, v.revision, v.spec FROM unnest($1, $2) AS i(job_id, revision) JOIN "
              "job_revisions v ON v.job_id = i.job_id AND v.revision = i.revision",
              column(specs, &SpecCache::Key::first), column(specs, &SpecCache::Key::second)));
  }
  TG_TRY(const auto found, db.run(queries));
  for (const Row row : found[0]) {
    connections_.emplace(row.text(0), shared(sql::connection_from(row)));
  }
  if (specs.empty()) return {};
  for (const Row row : found[1]) {
    SpecCache::Key key{JobId(row.text(0)), row.integer(1)};
    auto spec = sql::spec_from(row.view(2));
    if (!spec) {
      specs_.emplace(std::move(key), fail(std::move(spec.error())));
      continue;
    }
    const auto parsed = std::make_shared<const model::JobSpec>(std::move(*spec));
    cache_.keep(key, parsed, row.view(2).size());
    specs_.emplace(std::move(key), parsed);
  }
  return {};
}

Result<ClaimedRun> RunLoader::load(const Row& row) const {
  ClaimedRun out;
  TG_TRY(out.run, live_run_from(row));
  out.reset_epoch = row.integer(kResetEpoch);
  const auto spec = specs_.find({out.run.job, out.run.job_revision});
  if (spec == specs_.end()) return missing(out.run.id, "spec");
  if (!spec->second) return fail(spec->second.error());
  out.spec = *spec->second;
  if (!row.null(kStates)) {
    TG_TRY(out.known_state, sql::states_from(row.view(kStates)));
  }
  TG_TRY(out.source, connection(row.view(kSourceId), out.run.id));
  TG_TRY(out.destination, connection(row.view(kDestinationId), out.run.id));
  return out;
}

Result<RunLoader::Connection> RunLoader::connection(std::string_view id, const RunId& run) const {
  const auto known = connections_.find(id);
  if (known == connections_.end()) return missing(run, "connection");
  return known->second;
}

}  // namespace tidegate::store::postgres
