#include <sqlite3.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "base/overloaded.h"
#include "control/store/archive_walk.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {

using model::Run;

namespace {

constexpr int kPage = 200;     // rows, but
constexpr int kRunPage = 100;  // of those that may be large
constexpr int kLogPage = 32;

Status whole(Db& db) {
  OwnerId leader;
  TG_CHECK(db.maybe("SELECT owner FROM worker_locks WHERE id = 'scheduler'",
                    [&](const Row& r) { leader = OwnerId(r.text(0)); }));
  return rules::check_whole(leader);
}

// Reads one job after the other within one read transaction, which holds back neither readers nor
// writers; only the log of the database cannot be shortened meanwhile.
class Pages final : public ArchivePages {
 public:
  explicit Pages(Db db) : db_(std::move(db)) {}

  bool is_snapshot() const override { return true; }

  Result<std::vector<ArchiveRecord>> head() override {
    TG_CHECK(whole(db_));
    std::vector<ArchiveRecord> page;
    TG_CHECK(db_.each("SELECT id, name, revision, created_at FROM workspaces ORDER BY id",
                      [&](const Row& r) { page.emplace_back(sql::workspace_from(r)); }));
    TG_CHECK(db_.each("SELECT " TG_TOKEN_COLUMNS " FROM api_tokens ORDER BY id",
                      [&](const Row& r) -> Status {
                        TG_TRY(auto token, sql::token_from(r));
                        page.emplace_back(std::move(token));
                        return {};
                      }));
    TG_TRY(const auto fence, db_.number("SELECT fence FROM worker_locks WHERE id = 'scheduler'"));
    page.emplace_back(ArchivedFence{Fence{fence}});
    return page;
  }

  Result<std::vector<model::Connection>> connections(const ConnectionId& after) override {
    return list<model::Connection>("SELECT " TG_CONNECTION_COLUMNS
                                   " FROM connections WHERE id > ? ORDER BY id LIMIT ?",
                                   connection_from, after, kPage);
  }

  Result<std::vector<ArchivedJob>> jobs(const JobId& after) override {
    const auto whole = [&](const Row& r) -> Result<ArchivedJob> {
      TG_TRY(auto head, job_head_from(r));
      return ArchivedJob{std::move(head.job), head.fence, head.deleted};
    };
    TG_TRY(auto page, list<ArchivedJob>("SELECT " TG_JOB_COLUMNS
                                        " FROM sync_jobs WHERE id > ? ORDER BY id LIMIT 1",
                                        whole, after));
    for (ArchivedJob& j : page) {
      TG_TRY(j.job.spec, load_spec(db_, j.job.id, j.job.revision));
      TG_TRY(j.job.known_state, load_states(db_, j.job.id));
    }
    return page;
  }

  Result<std::vector<model::SlotRecord>> slots(const std::vector<JobId>& jobs,
                                               const SlotAfter& after) override {
    const auto record = [&](const Row& r) -> Result<model::SlotRecord> {
      model::SlotRecord out{.job = jobs.front(),
                            .first = r.time(0),
                            .last = r.time(1),
                            .count = r.integer(2),
                            .reason = r.text(4),
                            .recorded_at = r.time(5)};
      TG_CHECK(read_name(r.view(3), model::kSlotOutcomeNames, out.outcome));
      return out;
    };
    return list<model::SlotRecord>(
        "SELECT first_slot, last_slot, slots, outcome, reason, recorded_at FROM slot_records WHERE "
        "job_id = ?1 AND (?2 OR first_slot > ?3) ORDER BY first_slot LIMIT ?4",
        record, jobs.front(), after.job.empty(), after.first, kPage);
  }

  Result<std::vector<Run>> runs(const std::vector<JobId>& jobs, const RunAfter& after) override {
    return list<Run>("SELECT " TG_RUN_COLUMNS
                     " FROM sync_runs WHERE job_id = ?1 AND (?2 OR (created_at, id) > (?3, ?4)) "
                     "ORDER BY created_at, id LIMIT ?5",
                     run_from, jobs.front(), after.job.empty(), after.created_at, after.id,
                     kRunPage);
  }

  Result<std::vector<ArchivedLog>> logs(const std::vector<RunId>& runs,
                                        const LogAfter& after) override {
    auto at = after.run.empty() ? runs.begin() : std::ranges::find(runs, after.run);
    for (std::int64_t seq = after.seq; at != runs.end(); ++at, seq = 0) {
      const auto batch = [&](const Row& r) -> Result<ArchivedLog> {
        ArchivedLog log{.run = *at, .lines = {}};
        TG_CHECK(sql::read_lines(r.integer(0), r.view(1), 0, SIZE_MAX, log.lines));
        return log;
      };
      TG_TRY(auto page, list<ArchivedLog>(
                            "SELECT first_seq, lines FROM run_logs WHERE run_id = ? AND first_seq "
                            "> ? ORDER BY first_seq LIMIT ?",
                            batch, *at, seq, kLogPage));
      if (!page.empty()) return page;
    }
    return std::vector<ArchivedLog>();
  }

 private:
  template <class T, class From, class... Args>
  Result<std::vector<T>> list(std::string_view sql, From&& from, const Args&... args) {
    std::vector<T> page;
    TG_CHECK(db_.each(
        sql,
        [&](const Row& r) -> Status {
          TG_TRY(T item, from(r));
          page.push_back(std::move(item));
          return {};
        },
        args...));
    return page;
  }

  Db db_;
};

Result<rules::Contents> contents(Db& db) {
  rules::Contents has;
  const std::pair<bool*, std::string_view> tables[] = {
      {&has.jobs, "SELECT 1 FROM sync_jobs"},
      {&has.runs, "SELECT 1 FROM sync_runs"},
      {&has.slots, "SELECT 1 FROM slot_records"},
      {&has.connections, "SELECT 1 FROM connections"}};
  for (const auto& [some, sql] : tables) {
    TG_TRY(*some, db.exists(std::string(sql) + " LIMIT 1"));
  }
  TG_TRY(has.workspaces,
         db.exists("SELECT 1 FROM workspaces WHERE id <> ? LIMIT 1", rules::kDefaultWorkspaceId));
  TG_CHECK(db.each("SELECT " TG_TOKEN_COLUMNS " FROM api_tokens", [&](const Row& r) -> Status {
    TG_TRY(const auto token, sql::token_from(r));
    has.tokens = has.tokens || !rules::made_at_start(token);
    return {};
  }));
  return has;
}

// ---- loading. What is there already stays.

Status load_job(Db& db, const ArchivedJob& j) {
  const model::SyncJob& job = j.job;
  const auto& p = job.pause;
  TG_TRY(
      const int added,
      db.run(
          "INSERT OR IGNORE INTO sync_jobs (id, workspace_id, name, revision, source_id, "
          "destination_id, mode, overlap, enabled, next_slot, fence, last_run_at, "
          "last_success_at, last_error, run_count, consecutive_failures, success_durations, "
          "reset_epoch, runs_kept, records_kept, pause_note, pause_until, pause_since, pause_by, "
          "created_by, created_at, updated_at, deleted_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
          "?9, ?10, "
          "?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, (SELECT count(*) FROM sync_runs WHERE job_id "
          "= ?1), (SELECT count(*) FROM slot_records WHERE job_id = ?1), ?19, ?20, ?21, ?22, ?23, "
          "?24, ?25, ?26)",
          job.id, job.workspace, job.spec.name, job.revision, job.spec.source_id,
          job.spec.destination_id, name_of(job.spec.mode, protocol::kSyncModeNames),
          name_of(job.spec.overlap, model::kOverlapNames), job.spec.enabled, job.next_slot, j.fence,
          job.last_run_at, job.last_success_at, job.last_error, job.run_count,
          job.consecutive_failures, durations_text(job), job.reset_epoch,
          p ? std::optional(p->note) : std::nullopt, p ? p->until : std::nullopt,
          p ? std::optional(p->since) : std::nullopt, p ? std::optional(p->by) : std::nullopt,
          job.created_by, job.created_at, job.updated_at,
          j.deleted ? std::optional(job.updated_at) : std::nullopt));
  if (added == 0) return {};
  TG_CHECK(db.exec("INSERT INTO job_revisions VALUES (?, ?, ?)", job.id, job.revision,
                   spec_text(job.spec)));
  return save_states(db, job.id, job.known_state);
}

Status load_log(Db& db, const ArchivedLog& log) {
  return db.exec(
      "INSERT OR IGNORE INTO run_logs VALUES (?1, ?2, ?3, coalesce((SELECT total_bytes FROM "
      "run_logs WHERE run_id = ?1 AND first_seq < ?2 ORDER BY first_seq DESC LIMIT 1), 0) + ?4, 0, "
      "?5)",
      log.run, log.lines.front().seq, log.lines.back().seq, rules::log_bytes(log.lines),
      sql::lines_text(log.lines));
}

Status load_run(Db& db, const Run& run) {
  TG_TRY(const bool known, db.exists("SELECT 1 FROM sync_runs WHERE id = ?", run.id));
  if (known) return {};
  return insert_run(db, run, false, {}, {});
}

Status load_one(Db& db, const ArchiveRecord& record) {
  return std::visit(
      Overloaded{
          [&](const model::Workspace& w) {
            return db.exec("INSERT OR IGNORE INTO workspaces VALUES (?, ?, ?, ?)", w.id, w.name,
                           w.revision, w.created_at);
          },
          [&](const model::Token& t) {
            return db.exec("INSERT OR IGNORE INTO api_tokens (" TG_TOKEN_COLUMNS
                           ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                           t.id, t.name, t.hash, name_of(t.role, model::kRoleNames),
                           sql::workspaces_text(t), t.expires_at, t.created_at, t.created_by,
                           t.revision);
          },
          [&](const ArchivedFence& f) {
            return db.exec("UPDATE worker_locks SET fence = max(fence, ?) WHERE id = 'scheduler'",
                           f.fence);
          },
          [&](const model::Connection& c) {
            return db.exec("INSERT OR IGNORE INTO connections (" TG_CONNECTION_COLUMNS
                           ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                           c.id, c.workspace, name_of(c.kind, model::kConnectionKindNames), c.name,
                           c.type, boost::json::serialize(c.config), c.exclusive_key, c.revision,
                           c.created_at, c.updated_at, c.created_by);
          },
          [&](const model::SlotRecord& r) {
            return db.exec("INSERT OR IGNORE INTO slot_records VALUES (?, ?, ?, ?, ?, ?, ?)", r.job,
                           r.first, r.last, r.count, name_of(r.outcome, model::kSlotOutcomeNames),
                           r.reason, r.recorded_at);
          },
          [&](const Run& run) { return load_run(db, run); },
          [&](const ArchivedLog& log) { return load_log(db, log); },
          [&](const ArchivedJob& job) { return load_job(db, job); },
      },
      record);
}

}  // namespace

Result<std::unique_ptr<ArchiveReader>> SqliteStore::read_archive() {
  TG_TRY(Db db, Db::open(options_.path, SQLITE_OPEN_READWRITE));
  TG_CHECK(guard_.check());  // else it would be another store's content
  TG_CHECK(db.script("PRAGMA query_only = 1; BEGIN"));
  TG_TRY(const bool begun,
         db.exists("SELECT 1 FROM workspaces LIMIT 1"));  // the snapshot is of now
  (void)begun;
  return walk_archive(std::make_unique<Pages>(std::move(db)));
}

Result<Instant> SqliteStore::begin_restore(const std::string& archive) {
  return writer_.run([&](Tx& tx) -> Result<Instant> {
    const OwnerId mine = rules::restore_owner(archive);
    OwnerId holder;
    Fence fence{};
    Instant since = tx.now;
    bool expired = true;
    TG_CHECK(tx.db.maybe(
        "SELECT owner, fence, acquired_at, boot_id, boot_until FROM worker_locks WHERE id = "
        "'scheduler'",
        [&](const Row& r) {
          holder = OwnerId(r.text(0));
          fence = Fence{r.integer(1)};
          since = r.time(2);
          expired = r.view(3) != options_.boot_id ||
                    r.integer(4) <= tx.boot_now.time_since_epoch().count();
        }));
    if (holder == mine) return since;
    if (rules::is_restore(holder)) return rules::other_restore(holder);
    if (!holder.empty() && !expired) return rules::store_in_use(holder);
    TG_TRY(const auto has, contents(tx.db));
    TG_CHECK(rules::check_empty(has));
    TG_CHECK(tx.db.exec("DELETE FROM workspaces"));
    TG_CHECK(tx.db.exec("DELETE FROM api_tokens"));
    TG_CHECK(tx.db.exec("DELETE FROM idempotency_keys"));
    TG_CHECK(
        tx.db.exec("INSERT OR REPLACE INTO worker_locks VALUES ('scheduler', ?1, ?2, ?3, ?3, "
                   "?4, ?5, ?6)",
                   mine, rules::next_fence(fence, tx.now), tx.now, rules::kForEver,
                   options_.boot_id, BootInstant::max().time_since_epoch().count()));
    return tx.now;
  });
}

Status SqliteStore::check_whole() { return readers_.read(whole); }

Status SqliteStore::load_archive(std::span<const ArchiveRecord> records) {
  TG_CHECK(rules::check_loadable(records));
  return writer_.run([&](Tx& tx) -> Status {
    for (const ArchiveRecord& record : records) TG_CHECK(load_one(tx.db, record));
    return {};
  });
}

Status SqliteStore::end_restore(const std::string& archive) {
  return writer_.run([&](Tx& tx) -> Status {
    for (const auto kind : {ChangeKind::Workspace, ChangeKind::Token, ChangeKind::Connection,
                            ChangeKind::Job, ChangeKind::Run}) {
      tx.note(kind, "");
    }
    return tx.db.exec(
        "UPDATE worker_locks SET owner = '', expires_at = ? WHERE id = 'scheduler' AND owner = ?",
        tx.now, rules::restore_owner(archive));
  });
}

}  // namespace tidegate::store::sqlite
