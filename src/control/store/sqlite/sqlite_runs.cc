#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "control/store/sqlite/ledger.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {

using model::Run;
using model::RunState;

namespace {

// A queued run as the claim's index shows it.
struct Candidate {
  std::int64_t row = 0;
  JobId job;
  ConnectionId destination;
  bool allow_overlap = false;
};

// Queued runs that may start at ?1, but for what runs already; ?2 is rules::kAheadOfClock later.
// The last condition is rules::is_held.
constexpr std::string_view kDue =
    " FROM sync_runs r WHERE r.state = 'queued' AND (r.not_before <= ?1 OR r.sort_at > ?2) AND "
    "(r.trigger NOT IN ('schedule', 'catchup') OR EXISTS (SELECT 1 FROM sync_jobs j WHERE j.id = "
    "r.job_id AND j.enabled AND (j.pause_since IS NULL OR j.pause_until <= ?1)))";

// Chooses the runs of one claim: what runs already and what was chosen before excludes.
class Chooser {
 public:
  explicit Chooser(Db& db) : db_(db) {}

  // The exclusive key of the run when it may start; nullopt when something holds it up.
  Result<std::optional<std::string>> admit(const Candidate& c) {
    if (blocked_jobs_.contains(c.job) || (!c.allow_overlap && chosen_.contains(c.job)) ||
        exclusive_jobs_.contains(c.job)) {
      return std::nullopt;
    }
    TG_TRY(const std::string* key, exclusive_key(c.destination));
    if (busy_keys_.contains(*key)) return std::nullopt;
    TG_TRY(const bool busy_job, db_.exists("SELECT 1 FROM sync_runs WHERE state = 'running' AND "
                                           "job_id = ? AND NOT (allow_overlap AND ?) LIMIT 1",
                                           c.job, c.allow_overlap));
    if (busy_job) {
      if (!c.allow_overlap) blocked_jobs_.insert(c.job);
      return std::nullopt;
    }
    if (!key->empty()) {
      TG_TRY(
          const bool busy_key,
          db_.exists("SELECT 1 FROM sync_runs WHERE state = 'running' AND exclusive_key <> '' AND "
                     "exclusive_key = ?",
                     *key));
      busy_keys_.insert(*key);  // by another run, or by this one from now on
      if (busy_key) return std::nullopt;
    }
    chosen_.insert(c.job);
    if (!c.allow_overlap) exclusive_jobs_.insert(c.job);
    return *key;
  }

 private:
  Result<const std::string*> exclusive_key(const ConnectionId& destination) {
    const auto [it, fresh] = keys_.try_emplace(destination);
    if (fresh) {
      TG_CHECK(db_.maybe(
          "SELECT exclusive_key FROM connections WHERE id = ?",
          [&](const Row& r) { it->second = r.text(0); }, destination));
    }
    return &it->second;
  }

  Db& db_;
  std::map<ConnectionId, std::string> keys_;
  std::set<JobId> chosen_, exclusive_jobs_, blocked_jobs_;
  std::set<std::string> busy_keys_;
};

// Reads jobs and connections for claimed runs; a connection is read once.
class ClaimLoader {
 public:
  explicit ClaimLoader(Db& db) : db_(db) {}

  struct Loaded {
    ClaimedRun run;
    Fence fence{};  // of the job's newest attempt
  };
  Result<Loaded> load(Run run) {
    Loaded loaded;
    ClaimedRun& out = loaded.run;
    TG_TRY(auto head, find_job_head(db_, run.job));
    if (!head) {
      return fail(Code::Internal, "a run refers to the job '" + run.job.str() +
                                      "', which the store does not hold; this is a defect");
    }
    loaded.fence = head->fence;
    out.reset_epoch = head->job.reset_epoch;
    TG_TRY(auto spec, load_spec(db_, run.job, run.job_revision));
    TG_TRY(out.known_state, load_states(db_, run.job));
    TG_TRY(out.source, connection(spec.source_id));
    TG_TRY(out.destination, connection(spec.destination_id));
    out.spec = std::make_shared<const model::JobSpec>(std::move(spec));
    out.run = std::move(run);
    return loaded;
  }

 private:
  using Connection = std::shared_ptr<const model::Connection>;
  Result<Connection> connection(const ConnectionId& id) {
    if (const auto it = known_.find(id); it != known_.end()) return it->second;
    TG_TRY(auto found, find_connection(db_, id));
    if (!found) {
      return fail(Code::Internal, "a run refers to the connection '" + id.str() +
                                      "', which the store does not hold; this is a defect");
    }
    return known_[id] = std::make_shared<const model::Connection>(std::move(*found));
  }

  Db& db_;
  std::map<ConnectionId, Connection> known_;
};

struct Chosen {
  std::int64_t row;
  std::string exclusive_key;
};

// Without the rows of `left_out`.
Result<std::vector<Chosen>> choose(Db& db, Instant now, std::size_t max,
                                   const std::set<std::int64_t>& left_out) {
  std::vector<Chosen> chosen;
  if (max == 0) return chosen;
  Chooser chooser(db);
  // The walk ends when enough are found; the writes come after it, as they move its index.
  bool enough = false;
  const auto look = [&](const Row& r) -> Status {
    if (left_out.contains(r.integer(0))) return {};
    const Candidate c{r.integer(0), JobId(r.text(1)), ConnectionId(r.text(2)), r.flag(3)};
    TG_TRY(auto key, chooser.admit(c));
    if (key) chosen.push_back({c.row, std::move(*key)});
    enough = chosen.size() >= max;
    return enough ? fail(Code::Cancelled, "") : Status();
  };
  auto walked = db.each(fmt::format("SELECT r.rowid, r.job_id, r.destination_id, r.allow_overlap{} "
                                    "ORDER BY r.sort_at",
                                    kDue),
                        look, now, now + rules::kAheadOfClock);
  if (!walked && !enough) return fail(walked.error());
  return chosen;
}

Result<std::optional<Instant>> next_start(Db& db, Instant now) {
  std::optional<Instant> next;
  TG_CHECK(db.maybe(
      "SELECT not_before FROM sync_runs WHERE state = 'queued' AND not_before > ? "
      "ORDER BY not_before LIMIT 1",
      [&](const Row& r) { next = r.time(0); }, now));
  // The end of a pause that holds some.
  TG_CHECK(db.maybe(
      "SELECT pause_until FROM sync_jobs j WHERE pause_until > ? AND EXISTS (SELECT 1 FROM "
      "sync_runs r WHERE r.job_id = j.id AND r.state = 'queued') ORDER BY pause_until LIMIT 1",
      [&](const Row& r) { next = next ? std::min(*next, r.time(0)) : r.time(0); }, now));
  return next;
}

struct ToStart {
  std::int64_t row;
  ClaimLoader::Loaded loaded;  // with run.exclusive_key set
};

Result<ClaimLoader::Loaded> load_queued(Db& db, ClaimLoader& loader, std::int64_t row) {
  Run run;
  TG_CHECK(db.maybe(
      "SELECT " TG_RUN_COLUMNS " FROM sync_runs WHERE rowid = ?",
      [&](const Row& r) -> Status {
        TG_TRY(run, run_from(r));
        return {};
      },
      row));
  return loader.load(std::move(run));
}

// Chooses again without those that cannot be read: one must not take the place of another.
Result<std::vector<ToStart>> load_chosen(Db& db, Instant now, std::size_t max, BadRows& bad) {
  std::set<std::int64_t> left_out;
  for (;;) {
    TG_TRY(const auto chosen, choose(db, now, max, left_out));
    const std::size_t known = left_out.size();
    ClaimLoader loader(db);
    std::vector<ToStart> out;
    for (const Chosen& c : chosen) {
      if (auto loaded = load_queued(db, loader, c.row)) {
        loaded->run.run.exclusive_key = c.exclusive_key;
        out.push_back({c.row, std::move(*loaded)});
      } else if (bad.skip("run", "row " + std::to_string(c.row), loaded.error())) {
        left_out.insert(c.row);
      } else {
        return fail(loaded.error());
      }
    }
    if (left_out.size() == known) return out;
  }
}

}  // namespace

Result<QueueStore::Claim> SqliteStore::claim_runs(const ClaimParams& params) {
  Claim claim;
  // Most claims find nothing: that costs no write lock.
  TG_TRY(const bool waiting, quick_.read([&](Db& db) -> Result<bool> {
    const Instant now = clock_.now();
    TG_TRY(claim.next, next_start(db, now));
    if (params.max == 0) return false;
    return db.exists(fmt::format("SELECT 1{} LIMIT 1", kDue), now, now + rules::kAheadOfClock);
  }));
  if (!waiting) return claim;
  return writer_.run([&](Tx& tx) -> Result<Claim> {
    Claim taken;
    TG_TRY(auto chosen, load_chosen(tx.db, tx.now, params.max, bad_rows_));
    std::map<JobId, Fence> fences;  // a job that may overlap has several runs here
    for (auto& [row, loaded] : chosen) {
      Run& run = loaded.run.run;
      Fence& fence = fences.try_emplace(run.job, loaded.fence).first->second;
      fence = rules::next_fence(fence, tx.now);
      std::string key = run.exclusive_key;
      rules::begin_attempt(run, params.owner, fence, std::move(key), tx.now);
      TG_CHECK(tx.db.exec(
          "UPDATE sync_runs SET state = 'running', attempt = ?, started_at = ?, owner = ?, fence = "
          "?, lease_boot_id = ?, lease_until = ?, lease_expires_at = ?, error_kind = '', error = "
          "'', exclusive_key = ?, detail = ? WHERE rowid = ? AND state = 'queued'",
          run.attempt, run.started_at, run.owner, run.fence, options_.boot_id,
          (tx.boot_now + params.lease_ttl).time_since_epoch().count(), tx.now + params.lease_ttl,
          run.exclusive_key, run_detail(run), row));
      TG_CHECK(tx.db.exec("UPDATE sync_jobs SET fence = ?, last_run_at = ? WHERE id = ?", fence,
                          tx.now, run.job));
      tx.note(ChangeKind::Run, run.id.str());
      taken.runs.push_back(std::move(loaded.run));
    }
    TG_TRY(taken.next, next_start(tx.db, tx.now));
    return taken;
  });
}

// ---- renewal

namespace {

Status save_committed(Tx& tx, const JobId& job, const rules::Committed& committed) {
  if (committed.empty()) return {};
  TG_TRY(auto head, find_job_head(tx.db, job));
  TG_TRY(head->job.known_state, load_states(tx.db, job));
  rules::keep_states(head->job, committed);
  return save_states(tx.db, job, head->job.known_state);
}

Status save_progress(Tx& tx, const Renewal& renewal) {
  if (renewal.progress.empty() && renewal.committed.empty()) return {};
  TG_TRY(auto run, find_run(tx.db, renewal.held.run));
  if (!renewal.progress.empty()) {
    run->progress = renewal.progress;
    tx.note(ChangeKind::Run, run->id.str());
  }
  if (!renewal.committed.empty()) run->lost_in_row = 0;
  TG_CHECK(tx.db.exec("UPDATE sync_runs SET lost_in_row = ?, detail = ? WHERE id = ?",
                      run->lost_in_row, run_detail(*run), run->id));
  return save_committed(tx, run->job, renewal.committed);
}

}  // namespace

Result<std::vector<RenewOutcome>> SqliteStore::renew_runs(const OwnerId& owner, Millis lease_ttl,
                                                          std::span<const Renewal> renewals) {
  return writer_.run([&](Tx& tx) -> Result<std::vector<RenewOutcome>> {
    std::vector<RenewOutcome> outcomes;
    for (const Renewal& renewal : renewals) {
      RenewOutcome out{.run = renewal.held.run};
      TG_CHECK(tx.db.maybe(
          "UPDATE sync_runs SET lease_boot_id = ?, lease_until = ?, "
          "lease_expires_at = ? WHERE id = ? AND state = 'running' AND fence = ? "
          "AND owner = ? RETURNING cancel_requested",
          [&](const Row& r) {
            out.held = true;
            out.cancel_requested = r.flag(0);
          },
          options_.boot_id, (tx.boot_now + lease_ttl).time_since_epoch().count(),
          tx.now + lease_ttl, renewal.held.run, renewal.held.fence, owner));
      if (out.held) TG_CHECK(save_progress(tx, renewal));
      outcomes.push_back(std::move(out));
    }
    return outcomes;
  });
}

// ---- the end of an attempt

namespace {

// Fenced unless the run is held under that fence; success for a repetition.
Status finish(Tx& tx, const AttemptEnd& end) {
  TG_TRY(auto run, find_run(tx.db, end.held.run));
  if (run && rules::is_repeat(*run, end)) return {};
  if (!run || run->state != RunState::Running || run->fence != end.held.fence) {
    return rules::run_fenced(end.held.run);
  }
  TG_CHECK(rules::check_move(run->state, end.next));
  rules::end_attempt(*run, end, tx.now);
  TG_CHECK(update_run(tx.db, *run));
  TG_CHECK(save_committed(tx, run->job, end.committed));
  tx.note(ChangeKind::Run, run->id.str());
  const bool ended = model::is_terminal(run->state);
  if (!ended && !end.fence_found) return {};
  TG_TRY(auto head, find_job_head(tx.db, run->job));
  head->fence = rules::fence_after(head->fence, end);
  if (ended) rules::account(head->job, *run);
  return update_job_progress(tx.db, *head);
}

}  // namespace

Result<std::vector<Status>> SqliteStore::finish_attempts(std::span<const AttemptEnd> ends) {
  return writer_.run([&](Tx& tx) -> Result<std::vector<Status>> {
    std::vector<Status> results;
    for (const AttemptEnd& end : ends) {
      Status status = finish(tx, end);
      // A refusal is this attempt's answer; a failing store undoes them all.
      if (!status && status.error().code != Code::Fenced &&
          rules::check_move(RunState::Running, end.next)) {
        return fail(status.error());
      }
      results.push_back(std::move(status));
    }
    return results;
  });
}

// ---- orphans

Result<std::vector<ClaimedRun>> SqliteStore::expired_runs(std::size_t limit) {
  return quick_.snapshot([&](Db& db) -> Result<std::vector<ClaimedRun>> {
    std::vector<Run> runs;
    TG_CHECK(db.each(
        "SELECT " TG_RUN_COLUMNS
        " FROM sync_runs WHERE state = 'running' AND "
        "(lease_boot_id <> ? OR lease_until <= ?) LIMIT ?",
        [&](const Row& r) -> Status {
          if (auto run = run_from(r)) {
            runs.push_back(std::move(*run));
          } else if (!bad_rows_.skip("run", r.text(0), run.error())) {
            return fail(run.error());
          }
          return {};
        },
        options_.boot_id, clock_.boot_now().time_since_epoch().count(), limit));
    ClaimLoader loader(db);
    std::vector<ClaimedRun> expired;
    for (Run& run : runs) {
      const std::string id = run.id.str();
      if (auto loaded = loader.load(std::move(run))) {
        expired.push_back(std::move(loaded->run));
      } else if (!bad_rows_.skip("run", id, loaded.error())) {
        return fail(loaded.error());
      }
    }
    return expired;
  });
}

Result<std::size_t> SqliteStore::release_orphans(const LeaderLease& lease,
                                                 std::span<const OrphanDecision> decisions) {
  return writer_.run([&](Tx& tx) -> Result<std::size_t> {
    TG_CHECK(check_leader(tx.db, lease));
    std::size_t released = 0;
    for (const OrphanDecision& d : decisions) {
      TG_TRY(
          const bool orphan,
          tx.db.exists("SELECT 1 FROM sync_runs WHERE id = ? AND state = 'running' AND fence = ? "
                       "AND (lease_boot_id <> ? OR lease_until <= ?)",
                       d.held.run, d.held.fence, options_.boot_id,
                       tx.boot_now.time_since_epoch().count()));
      if (!orphan) continue;
      AttemptEnd end = d.end;
      end.held = d.held;
      TG_CHECK(finish(tx, end));
      ++released;
    }
    return released;
  });
}

}  // namespace tidegate::store::sqlite
