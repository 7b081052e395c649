#include "control/store/sqlite/schema.h"

#include <fmt/format.h>

#include <array>

#include "control/store/rules.h"

namespace tidegate::store::sqlite {
namespace {

struct Migration {
  int version;
  std::string_view name;
  const char* sql;
};

// Times are milliseconds since 1970 UTC; the views say them in RFC 3339. `detail` and `spec` are
// JSON.
constexpr const char* kTables = R"sql(
CREATE TABLE workspaces (
  id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL,
  created_at INTEGER NOT NULL) STRICT;

CREATE TABLE connections (
  id TEXT NOT NULL PRIMARY KEY, workspace_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  type TEXT NOT NULL, config TEXT NOT NULL, exclusive_key TEXT NOT NULL, revision INTEGER NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, created_by TEXT NOT NULL,
  UNIQUE (workspace_id, kind, name)) STRICT;

CREATE TABLE api_tokens (
  id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL UNIQUE,
  role TEXT NOT NULL, workspaces TEXT NOT NULL, expires_at INTEGER, created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;

CREATE TABLE workers (
  id TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, boot_id TEXT NOT NULL, pid INTEGER NOT NULL,
  pid_start INTEGER NOT NULL, version TEXT NOT NULL, leader INTEGER NOT NULL,
  draining INTEGER NOT NULL, running INTEGER NOT NULL, capacity INTEGER NOT NULL,
  started_at INTEGER NOT NULL, seen_at INTEGER NOT NULL) STRICT;

-- Every process that has the store open, so that one frozen inside a transaction can be ended.
CREATE TABLE store_processes (
  boot_id TEXT NOT NULL, pid INTEGER NOT NULL, pid_start INTEGER NOT NULL,
  opened_at INTEGER NOT NULL, PRIMARY KEY (boot_id, pid, pid_start)) STRICT, WITHOUT ROWID;

CREATE TABLE sync_jobs (
  id TEXT NOT NULL PRIMARY KEY, workspace_id TEXT NOT NULL, name TEXT NOT NULL,
  revision INTEGER NOT NULL, source_id TEXT NOT NULL, destination_id TEXT NOT NULL,
  mode TEXT NOT NULL, overlap TEXT NOT NULL, enabled INTEGER NOT NULL, next_slot INTEGER,
  fence INTEGER NOT NULL DEFAULT 0, last_run_at INTEGER, last_success_at INTEGER, last_error TEXT,
  run_count INTEGER NOT NULL, consecutive_failures INTEGER NOT NULL,
  success_durations TEXT NOT NULL, reset_epoch INTEGER NOT NULL,
  runs_kept INTEGER NOT NULL DEFAULT 0, pause_note TEXT, pause_until INTEGER, pause_since INTEGER,
  pause_by TEXT, created_by TEXT NOT NULL, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, deleted_at INTEGER) STRICT;
CREATE UNIQUE INDEX sync_jobs_by_name ON sync_jobs (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX sync_jobs_due ON sync_jobs (next_slot) WHERE next_slot IS NOT NULL;
CREATE INDEX sync_jobs_deleted ON sync_jobs (deleted_at) WHERE deleted_at IS NOT NULL;

-- The spec of the current revision of each job, and of those that active runs are pinned to. Apart
-- from sync_jobs, whose rows change with every run.
CREATE TABLE job_revisions (
  job_id TEXT NOT NULL, revision INTEGER NOT NULL, spec TEXT NOT NULL,
  PRIMARY KEY (job_id, revision)) STRICT;
CREATE TABLE job_states (job_id TEXT NOT NULL PRIMARY KEY, states TEXT NOT NULL) STRICT;

CREATE TABLE sync_runs (
  id TEXT NOT NULL PRIMARY KEY, workspace_id TEXT NOT NULL, job_id TEXT NOT NULL,
  job_revision INTEGER NOT NULL, scheduled_for INTEGER, trigger TEXT NOT NULL,
  triggered_by TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
  retries_used INTEGER NOT NULL, lost_in_row INTEGER NOT NULL, created_at INTEGER NOT NULL,
  not_before INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, owner TEXT NOT NULL,
  fence INTEGER NOT NULL, lease_boot_id TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0, lease_expires_at INTEGER NOT NULL DEFAULT 0,
  cancel_requested INTEGER NOT NULL, error_kind TEXT NOT NULL, error TEXT NOT NULL,
  exclusive_key TEXT NOT NULL, allow_overlap INTEGER NOT NULL, source_id TEXT NOT NULL,
  destination_id TEXT NOT NULL, sort_at INTEGER NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX sync_runs_slot ON sync_runs (job_id, scheduled_for);
CREATE INDEX sync_runs_by_time ON sync_runs (workspace_id, created_at, id);
CREATE INDEX sync_runs_queue
  ON sync_runs (sort_at, not_before, job_id, destination_id, allow_overlap) WHERE state = 'queued';
CREATE INDEX sync_runs_waiting ON sync_runs (not_before) WHERE state = 'queued';
CREATE INDEX sync_runs_running ON sync_runs (job_id) WHERE state = 'running';
CREATE INDEX sync_runs_active ON sync_runs (job_id) WHERE state IN ('queued', 'running');
-- The row that two claimers of one exclusive destination would both have to write.
CREATE UNIQUE INDEX sync_runs_exclusive
  ON sync_runs (exclusive_key) WHERE state = 'running' AND exclusive_key <> '';

-- Slots that got no run: a stretch of consecutive ones with one reason is one row.
CREATE TABLE slot_records (
  job_id TEXT NOT NULL, first_slot INTEGER NOT NULL, last_slot INTEGER NOT NULL,
  slots INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
  recorded_at INTEGER NOT NULL, PRIMARY KEY (job_id, first_slot)) STRICT, WITHOUT ROWID;
CREATE INDEX slot_records_by_age ON slot_records (last_slot);

-- One row for each batch of lines; total_bytes and full are of the run so far.
CREATE TABLE run_logs (
  run_id TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  total_bytes INTEGER NOT NULL, full INTEGER NOT NULL, lines TEXT NOT NULL,
  PRIMARY KEY (run_id, first_seq)) STRICT, WITHOUT ROWID;

CREATE TABLE worker_locks (
  id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, fence INTEGER NOT NULL,
  acquired_at INTEGER NOT NULL, renewed_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  boot_id TEXT NOT NULL, boot_until INTEGER NOT NULL) STRICT;

CREATE TABLE idempotency_keys (
  scope TEXT NOT NULL, key TEXT NOT NULL, body_hash TEXT NOT NULL, created_id TEXT NOT NULL,
  created_at INTEGER NOT NULL, PRIMARY KEY (scope, key)) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Raised by each transaction that changed such a thing; what watch() of other processes reads. Runs
-- are not here: they change all the time, and a write for each would be one too many.
CREATE TABLE change_counters (
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, connection INTEGER NOT NULL,
  workspace INTEGER NOT NULL, token INTEGER NOT NULL) STRICT;
INSERT INTO change_counters VALUES (1, 0, 0, 0, 0);
)sql";

constexpr const char* kViews = R"sql(
CREATE VIEW data_sources AS SELECT id, workspace_id, name, type, config, exclusive_key, revision,
  created_at, updated_at, created_by FROM connections WHERE kind = 'source';
CREATE VIEW destinations AS SELECT id, workspace_id, name, type, config, exclusive_key, revision,
  created_at, updated_at, created_by FROM connections WHERE kind = 'destination';

CREATE VIEW job_execution_locks AS SELECT job_id, id AS run_id, owner, fence, exclusive_key,
  lease_expires_at AS expires_at FROM sync_runs WHERE state = 'running';

-- The ledger: every slot's outcome.
CREATE VIEW slots AS
  SELECT job_id, scheduled_for AS first_slot, scheduled_for AS last_slot, 1 AS slots,
    CASE WHEN state IN ('queued', 'running') THEN 'planned' ELSE state END AS outcome,
    error_kind AS reason, id AS run_id FROM sync_runs WHERE scheduled_for IS NOT NULL
  UNION ALL
  SELECT job_id, first_slot, last_slot, slots, outcome, reason, NULL FROM slot_records;

CREATE VIEW readable_jobs AS SELECT id, name, enabled, mode, run_count, consecutive_failures,
  last_error, strftime('%Y-%m-%dT%H:%M:%fZ', next_slot / 1000.0, 'unixepoch') AS next_slot,
  strftime('%Y-%m-%dT%H:%M:%fZ', last_run_at / 1000.0, 'unixepoch') AS last_run_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', last_success_at / 1000.0, 'unixepoch') AS last_success_at
  FROM sync_jobs WHERE deleted_at IS NULL;
CREATE VIEW readable_runs AS SELECT id, job_id, trigger, state, attempt, owner, error_kind, error,
  strftime('%Y-%m-%dT%H:%M:%fZ', scheduled_for / 1000.0, 'unixepoch') AS scheduled_for,
  strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch') AS finished_at
  FROM sync_runs;
)sql";

constexpr const char* kSecretKeys = R"sql(
ALTER TABLE workers ADD COLUMN secret_keys TEXT NOT NULL DEFAULT '[]';
)sql";

constexpr const char* kPauses = R"sql(
CREATE INDEX sync_jobs_paused ON sync_jobs (pause_until) WHERE pause_until IS NOT NULL;
)sql";

constexpr const char* kSettings = R"sql(
CREATE TABLE settings (
  name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
)sql";

// By triggers, so that a process of the version before keeps it right, too.
constexpr const char* kRecordsKept = R"sql(
ALTER TABLE sync_jobs ADD COLUMN records_kept INTEGER NOT NULL DEFAULT 0;
UPDATE sync_jobs SET records_kept = (SELECT count(*) FROM slot_records WHERE job_id = sync_jobs.id);
CREATE TRIGGER slot_records_added AFTER INSERT ON slot_records BEGIN
  UPDATE sync_jobs SET records_kept = records_kept + 1 WHERE id = NEW.job_id; END;
CREATE TRIGGER slot_records_removed AFTER DELETE ON slot_records BEGIN
  UPDATE sync_jobs SET records_kept = records_kept - 1 WHERE id = OLD.job_id; END;
)sql";

constexpr std::array<Migration, 6> kMigrations{{{1, "tables", kTables},
                                                {2, "views", kViews},
                                                {3, "secret keys of workers", kSecretKeys},
                                                {4, "ends of pauses", kPauses},
                                                {5, "settings", kSettings},
                                                {6, "records of each job", kRecordsKept}}};

}  // namespace

int newest_schema() { return kMigrations.back().version; }

Result<int> schema_version(Db& db) {
  TG_TRY(const bool known, db.exists("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = "
                                     "'schema_migrations'"));
  if (known) {
    TG_TRY(const auto n, db.number("SELECT max(version) FROM schema_migrations"));
    return static_cast<int>(n);
  }
  TG_TRY(const bool foreign, db.exists("SELECT 1 FROM sqlite_schema LIMIT 1"));
  if (foreign) {
    return fail(Code::Invalid,
                fmt::format("{} is an SQLite database of something else (it has tables, but no "
                            "schema_migrations); choose another path for the store",
                            db.path()),
                "not_a_store");
  }
  return 0;
}

Status check_schema(int found, const std::string& path) {
  if (found <= newest_schema()) return {};
  return fail(
      Code::Invalid,
      fmt::format("the store {} has schema version {}, this tidegate knows up to {}; it was "
                  "written by a newer tidegate: start that one. Nothing was changed",
                  path, found, newest_schema()),
      "schema_too_new");
}

Status migrate(Db& db, Instant now) {
  TG_TRY(const int found, schema_version(db));
  TG_CHECK(check_schema(found, db.path()));
  if (found == 0) {
    TG_CHECK(
        db.script("CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT "
                  "NULL, applied_at INTEGER NOT NULL) STRICT"));
  }
  for (const Migration& m : kMigrations) {
    if (m.version <= found) continue;
    TG_CHECK(db.script(m.sql));
    TG_CHECK(db.run("INSERT INTO schema_migrations VALUES (?, ?, ?)", m.version, m.name, now));
  }
  if (found == 0) {
    TG_CHECK(db.run("INSERT INTO workspaces VALUES (?, ?, 1, ?)", rules::kDefaultWorkspaceId,
                    rules::kDefaultWorkspaceName, now));
  }
  return {};
}

}  // namespace tidegate::store::sqlite
