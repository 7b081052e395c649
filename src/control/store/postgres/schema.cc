#include "control/store/postgres/schema.h"

#include <array>

namespace tidegate::store::postgres {
namespace {

// Names sort by their bytes, as in the other stores. What changes with every run stands in no index
// and has room on its page (fillfactor), so that an update touches no index (HOT); what is queued
// or running has small tables of its own.
constexpr const char* kTables = R"sql(
CREATE TABLE schema_migrations (
  version bigint PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL);

-- The clock of leases and of everything that is due: the server's, in whole milliseconds.
CREATE FUNCTION tidegate_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  $$ SELECT date_trunc('milliseconds', clock_timestamp()) $$;

CREATE TABLE workspaces (
  id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, revision bigint NOT NULL,
  created_at timestamptz NOT NULL);

CREATE TABLE connections (
  id text COLLATE "C" PRIMARY KEY, workspace_id text COLLATE "C" NOT NULL, kind text NOT NULL,
  name text COLLATE "C" NOT NULL, type text NOT NULL, config json NOT NULL,
  exclusive_key text NOT NULL, revision bigint NOT NULL, created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL, created_by text NOT NULL);
CREATE UNIQUE INDEX connections_by_name ON connections (workspace_id, kind, name);

CREATE TABLE api_tokens (
  id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, hash text NOT NULL UNIQUE,
  role text NOT NULL, workspaces json NOT NULL, expires_at timestamptz,
  created_at timestamptz NOT NULL, created_by text NOT NULL, revision bigint NOT NULL);

CREATE TABLE workers (
  id text COLLATE "C" PRIMARY KEY, host text NOT NULL, boot_id text NOT NULL, pid bigint NOT NULL,
  pid_start bigint NOT NULL, version text NOT NULL, leader boolean NOT NULL,
  draining boolean NOT NULL, running bigint NOT NULL, capacity bigint NOT NULL,
  started_at timestamptz NOT NULL, seen_at timestamptz NOT NULL, secret_keys json NOT NULL)
  WITH (fillfactor = 50);

CREATE TABLE sync_jobs (
  id text COLLATE "C" PRIMARY KEY, workspace_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL, revision bigint NOT NULL, source_id text COLLATE "C" NOT NULL,
  destination_id text COLLATE "C" NOT NULL, mode text NOT NULL, overlap text NOT NULL,
  enabled boolean NOT NULL, next_slot timestamptz, fence bigint NOT NULL DEFAULT 0,
  last_run_at timestamptz, last_success_at timestamptz, last_error text, run_count bigint NOT NULL,
  consecutive_failures bigint NOT NULL, success_durations json NOT NULL,
  reset_epoch bigint NOT NULL, runs_kept bigint NOT NULL DEFAULT 0, pause_note text,
  pause_until timestamptz, pause_since timestamptz, pause_by text, created_by text NOT NULL,
  created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz)
  WITH (fillfactor = 50);
CREATE UNIQUE INDEX sync_jobs_by_name ON sync_jobs (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX sync_jobs_due ON sync_jobs (next_slot, id) WHERE next_slot IS NOT NULL;
CREATE INDEX sync_jobs_paused ON sync_jobs (pause_until) WHERE pause_until IS NOT NULL;
CREATE INDEX sync_jobs_deleted ON sync_jobs (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX sync_jobs_by_source ON sync_jobs (source_id);
CREATE INDEX sync_jobs_by_destination ON sync_jobs (destination_id);

-- The spec of the current revision of each job, and of those that active runs are pinned to.
CREATE TABLE job_revisions (
  job_id text COLLATE "C" NOT NULL, revision bigint NOT NULL, spec json NOT NULL,
  PRIMARY KEY (job_id, revision));
CREATE TABLE job_states (job_id text COLLATE "C" PRIMARY KEY, states json NOT NULL)
  WITH (fillfactor = 50);

CREATE TABLE sync_runs (
  id text COLLATE "C" PRIMARY KEY, workspace_id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL, job_revision bigint NOT NULL, scheduled_for timestamptz,
  trigger text NOT NULL, triggered_by text NOT NULL, state text NOT NULL, attempt bigint NOT NULL,
  retries_used bigint NOT NULL, lost_in_row bigint NOT NULL, created_at timestamptz NOT NULL,
  not_before timestamptz NOT NULL, started_at timestamptz, finished_at timestamptz,
  owner text NOT NULL, fence bigint NOT NULL, cancel_requested boolean NOT NULL,
  error_kind text NOT NULL, error text NOT NULL, exclusive_key text NOT NULL, detail json,
  allow_overlap boolean NOT NULL, source_id text COLLATE "C" NOT NULL,
  destination_id text COLLATE "C" NOT NULL, sort_at timestamptz NOT NULL)
  WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX sync_runs_slot ON sync_runs (job_id, scheduled_for)
  WHERE scheduled_for IS NOT NULL;
CREATE INDEX sync_runs_by_time ON sync_runs (workspace_id, created_at, id);
CREATE INDEX sync_runs_by_job ON sync_runs (job_id, created_at, id);

-- A row for each queued run: the claim takes it out.
CREATE TABLE run_queue (
  run_id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL,
  sort_at timestamptz NOT NULL, not_before timestamptz NOT NULL, allow_overlap boolean NOT NULL,
  destination_id text COLLATE "C" NOT NULL, by_schedule boolean NOT NULL)
  WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX run_queue_order ON run_queue (sort_at, run_id);
CREATE INDEX run_queue_waiting ON run_queue (not_before);
CREATE INDEX run_queue_by_job ON run_queue (job_id, sort_at, run_id);

-- A row for each running run: its lease, and the fence that every write of its worker is compared
-- with.
CREATE TABLE job_execution_locks (
  run_id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, owner text NOT NULL,
  fence bigint NOT NULL, acquired_at timestamptz NOT NULL, expires_at timestamptz NOT NULL,
  exclusive_key text NOT NULL, allow_overlap boolean NOT NULL, cancel_requested boolean NOT NULL)
  WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX job_execution_locks_by_job ON job_execution_locks (job_id);
CREATE UNIQUE INDEX job_execution_locks_alone ON job_execution_locks (job_id)
  WHERE NOT allow_overlap;
CREATE UNIQUE INDEX job_execution_locks_exclusive ON job_execution_locks (exclusive_key)
  WHERE exclusive_key <> '';

-- Slots that got no run: a stretch of consecutive ones with one reason is one row.
CREATE TABLE slot_records (
  job_id text COLLATE "C" NOT NULL, first_slot timestamptz NOT NULL, last_slot timestamptz NOT NULL,
  slots bigint NOT NULL, outcome text NOT NULL, reason text NOT NULL,
  recorded_at timestamptz NOT NULL, PRIMARY KEY (job_id, first_slot));
CREATE INDEX slot_records_by_age ON slot_records (last_slot);

-- One row for each batch of lines; total_bytes and full_up are of the run so far.
CREATE TABLE run_logs (
  run_id text COLLATE "C" NOT NULL, first_seq bigint NOT NULL, last_seq bigint NOT NULL,
  total_bytes bigint NOT NULL, full_up boolean NOT NULL, lines json NOT NULL,
  PRIMARY KEY (run_id, first_seq));

CREATE TABLE worker_locks (
  id text COLLATE "C" PRIMARY KEY, owner text NOT NULL, fence bigint NOT NULL,
  acquired_at timestamptz NOT NULL, renewed_at timestamptz NOT NULL, expires_at timestamptz NOT NULL)
  WITH (fillfactor = 50);

CREATE TABLE idempotency_keys (
  scope text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, body_hash text NOT NULL,
  created_id text NOT NULL, created_at timestamptz NOT NULL, PRIMARY KEY (scope, key));
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
)sql";

constexpr const char* kViews = R"sql(
CREATE VIEW data_sources AS SELECT id, workspace_id, name, type, config, exclusive_key, revision,
  created_at, updated_at, created_by FROM connections WHERE kind = 'source';
CREATE VIEW destinations AS SELECT id, workspace_id, name, type, config, exclusive_key, revision,
  created_at, updated_at, created_by FROM connections WHERE kind = 'destination';

-- The ledger: every slot's outcome.
CREATE VIEW slots AS
  SELECT job_id, scheduled_for AS first_slot, scheduled_for AS last_slot, 1::bigint AS slots,
    CASE WHEN state IN ('queued', 'running') THEN 'planned' ELSE state END AS outcome,
    error_kind AS reason, id AS run_id FROM sync_runs WHERE scheduled_for IS NOT NULL
  UNION ALL
  SELECT job_id, first_slot, last_slot, slots, outcome, reason, NULL FROM slot_records;
)sql";

constexpr const char* kSettings = R"sql(
CREATE TABLE settings (name text COLLATE "C" PRIMARY KEY, value text NOT NULL);
)sql";

// A batch updates all rows of a page in one transaction, and another one may still see the versions
// before: room for three of each row. And one index of locks by job in place of two.
constexpr const char* kFewerIndexWrites = R"sql(
ALTER TABLE sync_jobs SET (fillfactor = 30);
ALTER TABLE sync_runs SET (fillfactor = 30);
-- One running run of a job, unless they may overlap.
CREATE UNIQUE INDEX job_execution_locks_one ON job_execution_locks
  (job_id, (CASE WHEN allow_overlap THEN run_id ELSE '' END));
DROP INDEX job_execution_locks_by_job;
DROP INDEX job_execution_locks_alone;
)sql";

// An attempt begins with its lock alone: the run's row is still the queued one, and the job's knows
// nothing of it, until it ends or tells of its progress. These views put them together; began_at is
// of an attempt that the run's row does not hold yet.
constexpr const char* kBegunByLock = R"sql(
CREATE VIEW readable_runs AS SELECT r.id, r.workspace_id, r.job_id, r.job_revision, r.scheduled_for,
  r.trigger, r.triggered_by, CASE WHEN l.run_id IS NULL THEN r.state ELSE 'running' END AS state,
  CASE WHEN l.fence <> r.fence THEN r.attempt + 1 ELSE r.attempt END AS attempt, r.retries_used,
  r.lost_in_row, r.created_at, r.not_before, coalesce(r.started_at, l.acquired_at) AS started_at,
  r.finished_at, coalesce(l.owner, r.owner) AS owner, coalesce(l.fence, r.fence) AS fence,
  r.cancel_requested OR coalesce(l.cancel_requested, false) AS cancel_requested,
  CASE WHEN l.run_id IS NULL THEN r.error_kind ELSE '' END AS error_kind,
  CASE WHEN l.run_id IS NULL THEN r.error ELSE '' END AS error,
  coalesce(l.exclusive_key, r.exclusive_key) AS exclusive_key, r.detail, r.source_id,
  r.destination_id, CASE WHEN l.fence <> r.fence THEN l.acquired_at END AS began_at,
  r.state AS written_state
  FROM sync_runs r LEFT JOIN job_execution_locks l ON l.run_id = r.id;
CREATE VIEW readable_jobs AS SELECT j.id, j.workspace_id, j.name, j.revision, j.source_id,
  j.destination_id, j.mode, j.overlap, j.enabled, j.next_slot,
  greatest(j.fence, (SELECT max(l.fence) FROM job_execution_locks l WHERE l.job_id = j.id))
    AS fence,
  greatest(j.last_run_at, (SELECT max(l.acquired_at) FROM job_execution_locks l
    WHERE l.job_id = j.id)) AS last_run_at,
  j.last_success_at, j.last_error, j.run_count, j.consecutive_failures, j.success_durations,
  j.reset_epoch, j.pause_note, j.pause_until, j.pause_since, j.pause_by, j.created_by,
  j.created_at, j.updated_at, j.deleted_at FROM sync_jobs j;
)sql";

constexpr std::array<Migration, 5> kMigrations{{{1, "tables", kTables},
                                                {2, "views", kViews},
                                                {3, "settings", kSettings},
                                                {4, "fewer index writes", kFewerIndexWrites},
                                                {5, "begun by lock", kBegunByLock}}};

constexpr std::array<std::string_view, 21> kRelations{
    "schema_migrations",   "workspaces",    "connections", "api_tokens",   "workers",
    "sync_jobs",           "job_revisions", "job_states",  "sync_runs",    "run_queue",
    "job_execution_locks", "slot_records",  "run_logs",    "worker_locks", "idempotency_keys",
    "data_sources",        "destinations",  "slots",       "settings",     "readable_runs",
    "readable_jobs"};

}  // namespace

std::span<const Migration> migrations() { return kMigrations; }
std::span<const std::string_view> relations() { return kRelations; }

}  // namespace tidegate::store::postgres
