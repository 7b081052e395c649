#include "control/store/sqlite/rows.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "control/model/schedule_json.h"
#include "control/model/storage_json.h"

namespace tidegate::store::sqlite {
namespace {

namespace bj = boost::json;

std::unexpected<Error> unreadable(std::string_view what) {
  return fail(Code::Internal, "the " + std::string(what) +
                                  " column of the store is not JSON: the store is damaged; restore "
                                  "a backup");
}

Result<bj::value> parse(std::string_view text, std::string_view what) {
  boost::system::error_code ec;
  bj::value v = bj::parse(bj::string_view(text.data(), text.size()), ec);
  if (ec) return unreadable(what);
  return v;
}

}  // namespace

// ---- runs

// The parts of a run that have no column of their own.
std::string run_detail(const model::Run& run) {
  static constexpr std::string_view kParts[] = {"only",     "takeOver", "entities",
                                                "progress", "attempts", "warnings"};
  bj::object all = model::to_stored(run);
  bj::object detail;
  for (const auto part : kParts) {
    if (bj::value* v = all.if_contains(bj::string_view(part.data(), part.size())); v != nullptr) {
      detail[bj::string_view(part.data(), part.size())] = std::move(*v);
    }
  }
  return detail.empty() ? std::string() : bj::serialize(detail);
}

Result<model::Run> run_from(Row row) {
  model::Run run;
  if (const auto detail = row.view(21); !detail.empty()) {
    TG_TRY(const bj::value v, parse(detail, "detail"));
    TG_TRY(run, model::run_from_stored(v));
  }
  run.id = RunId(row.text(0));
  run.workspace = WorkspaceId(row.text(1));
  run.job = JobId(row.text(2));
  run.job_revision = row.integer(3);
  run.scheduled_for = row.maybe_time(4);
  TG_CHECK(read_name(row.view(5), model::kTriggerNames, run.trigger));
  run.triggered_by = row.text(6);
  TG_CHECK(read_name(row.view(7), model::kRunStateNames, run.state));
  run.attempt = row.small(8);
  run.retries_used = row.small(9);
  run.lost_in_row = row.small(10);
  run.created_at = row.time(11);
  run.not_before = row.time(12);
  run.started_at = row.maybe_time(13);
  run.finished_at = row.maybe_time(14);
  run.owner = OwnerId(row.text(15));
  run.fence = Fence{row.integer(16)};
  run.cancel_requested = row.flag(17);
  run.error_kind = row.text(18);
  run.error = row.text(19);
  run.exclusive_key = row.text(20);
  return run;
}

Result<std::optional<model::Run>> find_run(Db& db, const RunId& id) {
  std::optional<model::Run> run;
  TG_CHECK(db.maybe(
      "SELECT " TG_RUN_COLUMNS " FROM sync_runs WHERE id = ?",
      [&](Row r) -> Status {
        TG_TRY(run, run_from(r));
        return {};
      },
      id));
  return run;
}

Status insert_run(Db& db, const model::Run& run, bool allow_overlap, const ConnectionId& source,
                  const ConnectionId& destination) {
  return db.exec(
      "INSERT INTO sync_runs (" TG_RUN_COLUMNS
      ", allow_overlap, source_id, destination_id, sort_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
      "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      run.id, run.workspace, run.job, run.job_revision, run.scheduled_for,
      name_of(run.trigger, model::kTriggerNames), run.triggered_by,
      name_of(run.state, model::kRunStateNames), run.attempt, run.retries_used, run.lost_in_row,
      run.created_at, run.not_before, run.started_at, run.finished_at, run.owner, run.fence,
      run.cancel_requested, run.error_kind, run.error, run.exclusive_key, run_detail(run),
      allow_overlap, source, destination, run.scheduled_for.value_or(run.created_at));
}

Status update_run(Db& db, const model::Run& run) {
  return db.exec(
      "UPDATE sync_runs SET state = ?, attempt = ?, retries_used = ?, lost_in_row = ?, "
      "not_before = ?, started_at = ?, finished_at = ?, owner = ?, fence = ?, "
      "cancel_requested = ?, error_kind = ?, error = ?, exclusive_key = ?, detail = ? "
      "WHERE id = ?",
      name_of(run.state, model::kRunStateNames), run.attempt, run.retries_used, run.lost_in_row,
      run.not_before, run.started_at, run.finished_at, run.owner, run.fence, run.cancel_requested,
      run.error_kind, run.error, run.exclusive_key, run_detail(run), run.id);
}

// ---- jobs

std::string durations_text(const model::SyncJob& job) {
  bj::array a;
  for (const Millis d : job.success_durations) a.emplace_back(d.count());
  return bj::serialize(a);
}

std::string spec_text(const model::JobSpec& spec) { return bj::serialize(model::to_stored(spec)); }

Result<JobHead> job_head_from(Row row) {
  JobHead head;
  model::SyncJob& job = head.job;
  job.id = JobId(row.text(0));
  job.workspace = WorkspaceId(row.text(1));
  job.revision = row.integer(2);
  job.next_slot = row.maybe_time(3);
  job.last_run_at = row.maybe_time(4);
  job.last_success_at = row.maybe_time(5);
  if (!row.null(6)) job.last_error = row.text(6);
  job.run_count = row.integer(7);
  job.consecutive_failures = row.small(8);
  TG_TRY(const bj::value durations, parse(row.view(9), "success_durations"));
  if (!durations.is_array()) return unreadable("success_durations");
  for (const auto& d : durations.get_array()) {
    if (!d.is_int64()) return unreadable("success_durations");
    job.success_durations.emplace_back(d.get_int64());
  }
  job.reset_epoch = row.integer(10);
  if (!row.null(13)) {
    job.pause = model::Pause{row.text(11), row.maybe_time(12), row.time(13), row.text(14)};
  }
  job.created_by = row.text(15);
  job.created_at = row.time(16);
  job.updated_at = row.time(17);
  head.fence = Fence{row.integer(18)};
  head.deleted = !row.null(19);
  return head;
}

Result<std::optional<JobHead>> find_job_head(Db& db, const JobId& id) {
  std::optional<JobHead> head;
  TG_CHECK(db.maybe(
      "SELECT " TG_JOB_COLUMNS " FROM sync_jobs WHERE id = ?",
      [&](Row r) -> Status {
        TG_TRY(head, job_head_from(r));
        return {};
      },
      id));
  return head;
}

Result<JobHold> find_hold(Db& db, const JobId& id) {
  JobHold hold;
  TG_CHECK(db.maybe(
      "SELECT enabled, pause_note, pause_until, pause_since, pause_by FROM sync_jobs WHERE id = ?",
      [&](Row r) {
        hold.enabled = r.flag(0);
        if (!r.null(3)) hold.pause = model::Pause{r.text(1), r.maybe_time(2), r.time(3), r.text(4)};
      },
      id));
  return hold;
}

Result<model::JobSpec> load_spec(Db& db, const JobId& id, std::int64_t revision) {
  std::optional<model::JobSpec> spec;
  TG_CHECK(db.maybe(
      "SELECT spec FROM job_revisions WHERE job_id = ? AND revision = ?",
      [&](Row r) -> Status {
        TG_TRY(const bj::value v, parse(r.view(0), "spec"));
        TG_TRY(spec, model::job_spec_from_stored(v));
        return {};
      },
      id, revision));
  if (!spec) return unreadable("spec");
  return std::move(*spec);
}

Result<std::map<std::string, protocol::KnownState>> load_states(Db& db, const JobId& id) {
  std::map<std::string, protocol::KnownState> states;
  TG_CHECK(db.maybe(
      "SELECT states FROM job_states WHERE job_id = ?",
      [&](Row r) -> Status {
        TG_TRY(const bj::value v, parse(r.view(0), "states"));
        TG_TRY(states, model::known_state_from_stored(v));
        return {};
      },
      id));
  return states;
}

Result<std::optional<model::SyncJob>> load_job(Db& db, const WorkspaceId& ws, const JobId& id) {
  TG_TRY(auto head, find_job_head(db, id));
  if (!head || head->deleted || (!ws.empty() && head->job.workspace != ws)) return std::nullopt;
  TG_TRY(head->job.spec, load_spec(db, id, head->job.revision));
  TG_TRY(head->job.known_state, load_states(db, id));
  return std::move(head->job);
}

Status update_job_progress(Db& db, const JobHead& head) {
  const model::SyncJob& job = head.job;
  return db.exec(
      "UPDATE sync_jobs SET next_slot = ?, fence = ?, last_run_at = ?, last_success_at = ?, "
      "last_error = ?, run_count = ?, consecutive_failures = ?, success_durations = ? "
      "WHERE id = ?",
      job.next_slot, head.fence, job.last_run_at, job.last_success_at, job.last_error,
      job.run_count, job.consecutive_failures, durations_text(job), job.id);
}

Status save_states(Db& db, const JobId& id,
                   const std::map<std::string, protocol::KnownState>& states) {
  if (states.empty()) {
    return db.exec("DELETE FROM job_states WHERE job_id = ?", id);
  }
  return db.exec("INSERT OR REPLACE INTO job_states VALUES (?, ?)", id,
                 bj::serialize(model::to_stored(states)));
}

// ---- connections

Result<model::Connection> connection_from(Row row) {
  model::Connection c;
  c.id = ConnectionId(row.text(0));
  c.workspace = WorkspaceId(row.text(1));
  TG_CHECK(read_name(row.view(2), model::kConnectionKindNames, c.kind));
  c.name = row.text(3);
  c.type = row.text(4);
  TG_TRY(bj::value config, parse(row.view(5), "config"));
  if (!config.is_object()) return unreadable("config");
  c.config = std::move(config.get_object());
  c.exclusive_key = row.text(6);
  c.revision = row.integer(7);
  c.created_at = row.time(8);
  c.updated_at = row.time(9);
  c.created_by = row.text(10);
  return c;
}

Result<std::optional<model::Connection>> find_connection(Db& db, const ConnectionId& id) {
  std::optional<model::Connection> c;
  TG_CHECK(db.maybe(
      "SELECT " TG_CONNECTION_COLUMNS " FROM connections WHERE id = ?",
      [&](Row r) -> Status {
        TG_TRY(c, connection_from(r));
        return {};
      },
      id));
  return c;
}

}  // namespace tidegate::store::sqlite
