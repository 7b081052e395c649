#pragma once
// Reading and writing whole things: what sql_rows.h says of one row, over a connection.

#include <string>
#include <string_view>

#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/sql_rows.h"
#include "control/store/sqlite/db.h"

namespace tidegate::store::sqlite {

using sql::connection_from;
using sql::durations_text;
using sql::job_head_from;
using sql::JobHead;
using sql::name_of;
using sql::read_name;
using sql::run_detail;
using sql::run_from;
using sql::spec_text;

// ---- reading whole things
Result<std::optional<model::Run>> find_run(Db& db, const RunId& id);
// Deleted ones too.
Result<std::optional<JobHead>> find_job_head(Db& db, const JobId& id);
Result<model::JobSpec> load_spec(Db& db, const JobId& id, std::int64_t revision);
Result<std::map<std::string, protocol::KnownState>> load_states(Db& db, const JobId& id);
// With its current spec and state; nullopt for a deleted one and one of another workspace.
Result<std::optional<model::SyncJob>> load_job(Db& db, const WorkspaceId& ws, const JobId& id);
Result<std::optional<model::Connection>> find_connection(Db& db, const ConnectionId& id);

// ---- writing
Status insert_run(Db& db, const model::Run& run, bool allow_overlap, const ConnectionId& source,
                  const ConnectionId& destination);
// Every column that changes in a run's life, but the lease.
Status update_run(Db& db, const model::Run& run);
// What runs change of a job: slot, counters, last_*, fence.
Status update_job_progress(Db& db, const JobHead& head);
Status save_states(Db& db, const JobId& id,
                   const std::map<std::string, protocol::KnownState>& states);

}  // namespace tidegate::store::sqlite
