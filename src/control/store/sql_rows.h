#pragma once
// Between rows of an SQL store and the model's structs: the columns that SQL stores have in common,
// and the JSON in those that hold some. Pure.

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/model/connection.h"
#include "control/model/job.h"
#include "control/model/run.h"

namespace tidegate::store::sql {

// For `SELECT …`, in the order that the readers below expect.
#define TG_RUN_COLUMNS_BUT_DETAIL                                                                  \
  "id, workspace_id, job_id, job_revision, scheduled_for, trigger, triggered_by, state, attempt, " \
  "retries_used, lost_in_row, created_at, not_before, started_at, finished_at, owner, fence, "     \
  "cancel_requested, error_kind, error, exclusive_key, "
#define TG_RUN_COLUMNS TG_RUN_COLUMNS_BUT_DETAIL "detail"
#define TG_BRIEF_RUN_COLUMNS TG_RUN_COLUMNS_BUT_DETAIL "''"  // RunQuery::brief
#define TG_JOB_COLUMNS                                                                           \
  "id, workspace_id, revision, next_slot, last_run_at, last_success_at, last_error, run_count, " \
  "consecutive_failures, success_durations, reset_epoch, pause_note, pause_until, pause_since, " \
  "pause_by, created_by, created_at, updated_at, fence, deleted_at"
#define TG_CONNECTION_COLUMNS                                                                     \
  "id, workspace_id, kind, name, type, config, exclusive_key, revision, created_at, updated_at, " \
  "created_by"
#define TG_TOKEN_COLUMNS \
  "id, name, hash, role, workspaces, expires_at, created_at, created_by, revision"
#define TG_WORKER_COLUMNS                                                                         \
  "id, host, boot_id, pid, pid_start, version, leader, draining, running, capacity, started_at, " \
  "seen_at, secret_keys"
// Who leads is who holds the lease, whatever its row says. `holds`: the condition on the lease's
// row that it has not ended.
#define TG_SEEN_WORKER_COLUMNS(holds)                                                             \
  "id, host, boot_id, pid, pid_start, version, id IN (SELECT owner FROM worker_locks WHERE id = " \
  "'scheduler' AND " holds "), draining, running, capacity, started_at, seen_at, secret_keys"
#define TG_PLANNED_COLUMNS                                                               \
  "id, workspace_id, revision, next_slot, source_id, destination_id, overlap, enabled, " \
  "pause_note, pause_until, pause_since, pause_by"

inline constexpr int kRunDetail = 21;  // the column of TG_RUN_COLUMNS that may be large

// The current row of a result. Columns count from 0; null reads as 0 or "".
class Row {
 public:
  virtual bool null(int column) const = 0;
  virtual std::int64_t integer(int column) const = 0;
  virtual std::string_view view(int column) const = 0;  // valid as long as the row is current
  virtual Instant time(int column) const = 0;

  int small(int column) const { return static_cast<int>(integer(column)); }
  bool flag(int column) const { return integer(column) != 0; }
  std::string text(int column) const { return std::string(view(column)); }
  std::optional<Instant> maybe_time(int column) const;

 protected:
  ~Row() = default;
};

// A job without its spec and its known state, and what only the store knows of it.
struct JobHead {
  model::SyncJob job;
  Fence fence{};
  bool deleted = false;
};

// What planning a job needs of its row, without parsing its spec.
struct PlannedJob {
  WorkspaceId workspace;
  std::int64_t revision = 0;
  std::optional<Instant> next_slot;
  ConnectionId source, destination;
  bool allow_overlap = false, enabled = true;
  std::optional<model::Pause> pause;
};

// Internal when a column cannot be read. The columns are those of the macro of that name.
Result<model::Run> run_from(const Row& row);
Result<JobHead> job_head_from(const Row& row);
Result<model::Connection> connection_from(const Row& row);
Result<model::Token> token_from(const Row& row);
Result<model::WorkerInfo> worker_from(const Row& row);
PlannedJob planned_from(const Row& row);
model::Workspace workspace_from(const Row& row);  // id, name, revision, created_at

Result<model::JobSpec> spec_from(std::string_view text);
Result<std::deque<Millis>> durations_from(std::string_view text);
Result<std::map<std::string, protocol::KnownState>> states_from(std::string_view text);

std::string run_detail(const model::Run& run);  // the parts that have no column of their own
std::string durations_text(const model::SyncJob& job);
std::string spec_text(const model::JobSpec& spec);
std::string states_text(const std::map<std::string, protocol::KnownState>& states);
std::string workspaces_text(const model::Token& token);

// A batch of log lines in one column; their numbers follow from that of the first.
std::string lines_text(const std::vector<model::RunLogLine>& lines);
// Appends the lines with seq > after until `out` holds `limit`.
Status read_lines(std::int64_t first_seq, std::string_view text, std::int64_t after,
                  std::size_t limit, std::vector<model::RunLogLine>& out);

template <class E, std::size_t N>
constexpr std::string_view name_of(E e, const std::string_view (&names)[N]) {
  return names[static_cast<std::size_t>(e)];
}
std::unexpected<Error> unknown_name(std::string_view text);
// Internal when a column holds none of the names.
template <class E, std::size_t N>
Status read_name(std::string_view text, const std::string_view (&names)[N], E& out) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) {
      out = static_cast<E>(i);
      return {};
    }
  }
  return unknown_name(text);
}

}  // namespace tidegate::store::sql
