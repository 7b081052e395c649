#pragma once
// Between documents and the model's structs.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"
#include "control/store/mongo/tx.h"
#include "control/store/rules.h"

namespace tidegate::store::mongo {

// A job, and what only the store knows of it.
struct JobRow {
  model::SyncJob job;
  Fence fence{};       // of the newest attempt of any run
  Fence plan_fence{};  // of the newest leader that planned it
  bool deleted = false;
  std::int64_t runs_kept = 0;
  std::int64_t seq = 0;
};

struct RunRow {
  model::Run run;
  std::optional<model::JobSpec> spec;  // it is pinned to; gone when it has ended
  Instant lease_until{};               // while running
  rules::LogTail log;
  std::int64_t seq = 0;
};

Result<JobRow> job_from(bj::object document);
Result<RunRow> run_from(bj::object document);
Result<model::Connection> connection_from(bj::object document);
bj::object to_document(const JobRow& row);
bj::object to_document(const RunRow& row);
bj::object to_document(const model::Connection& connection);

// `by` tells a process its own progress from that of others in the change stream.
bj::object progress_document(const std::map<std::string, model::EntityProgress>& progress,
                             std::string_view by);

model::Workspace workspace_from(const bj::object& document);
bj::object to_document(const model::Workspace& workspace);
Result<model::Token> token_from(const bj::object& document);
bj::object to_document(const model::Token& token);

// A batch of a run's log lines, one after the other.
bj::object log_document(const RunId& run, const std::vector<model::RunLogLine>& lines);
// Appends the lines with seq > after until `out` holds `limit`.
void read_lines(const bj::object& batch, std::int64_t after, std::size_t limit,
                std::vector<model::RunLogLine>& out);

std::string_view connections_of(model::ConnectionKind kind);  // the collection

// The members of a document, wrong ones as defaults.
std::string text_of(const bj::object& document, std::string_view key);
std::int64_t number_of(const bj::object& document, std::string_view key);
bool flag_of(const bj::object& document, std::string_view key);
Instant time_of(const bj::object& document, std::string_view key);
std::vector<std::string> texts_of(const bj::object& document, std::string_view key);

// ---- reading whole things
Result<std::optional<RunRow>> find_run(Conn& db, const RunId& id);
// Deleted ones too.
Result<std::optional<JobRow>> find_job(Conn& db, const JobId& id);
// nullopt for a deleted one and one of another workspace.
Result<std::optional<JobRow>> find_live_job(Conn& db, const WorkspaceId& ws, const JobId& id);
Result<std::optional<model::Connection>> find_connection(Conn& db, model::ConnectionKind kind,
                                                         const ConnectionId& id);
// Queued and running ones, oldest first.
Result<std::vector<RunRow>> active_runs(Conn& db, const JobId& job);

// ---- writing
Status add_run(Tx& tx, const model::Run& run, const model::JobSpec& spec);
Status save_run(Tx& tx, const RunRow& row);
// As a user's change, which others are told of.
Status save_job(Tx& tx, const JobRow& row);
// What planning and runs change of a job. Reads it, lets `change` alter it and writes it; repeats
// that on a standalone server until nobody else wrote meanwhile.
Status change_progress(Tx& tx, const JobId& id, const std::function<void(JobRow&)>& change);

}  // namespace tidegate::store::mongo
