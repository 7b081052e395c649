#include "control/store/sqlite/ledger.h"

#include "control/store/rules.h"

namespace tidegate::store::sqlite {

Result<bool> slot_known(Db& db, const JobId& job, Instant slot) {
  TG_TRY(const bool run,
         db.exists("SELECT 1 FROM sync_runs WHERE job_id = ? AND scheduled_for = ?", job, slot));
  if (run) return true;
  Instant last;
  TG_TRY(const bool before, db.first(
                                "SELECT last_slot FROM slot_records WHERE job_id = ? AND "
                                "first_slot <= ? ORDER BY first_slot DESC LIMIT 1",
                                [&](const Row& r) { last = r.time(0); }, job, slot));
  return before && last >= slot;
}

Status add_record(Db& db, const JobId& job, const model::SlotRecord& record) {
  model::SlotRecord newest;
  TG_TRY(bool extend,
         db.first(
             "SELECT first_slot, last_slot, outcome, reason FROM slot_records WHERE job_id = ? "
             "ORDER BY first_slot DESC LIMIT 1",
             [&](const Row& r) -> Status {
               newest.first = r.time(0);
               newest.last = r.time(1);
               newest.reason = r.text(3);
               return read_name(r.view(2), model::kSlotOutcomeNames, newest.outcome);
             },
             job));
  extend = extend && rules::extends(newest, record);
  if (extend) {
    TG_TRY(const bool between, db.exists("SELECT 1 FROM sync_runs WHERE job_id = ? AND "
                                         "scheduled_for > ? AND scheduled_for < ? LIMIT 1",
                                         job, newest.last, record.first));
    extend = !between;
  }
  if (extend) {
    return db.exec(
        "UPDATE slot_records SET last_slot = ?, slots = slots + ? WHERE job_id = ? AND "
        "first_slot = ?",
        record.last, record.count, job, newest.first);
  }
  return db.exec("INSERT INTO slot_records VALUES (?, ?, ?, ?, ?, ?, ?)", job, record.first,
                 record.last, record.count, name_of(record.outcome, model::kSlotOutcomeNames),
                 record.reason, record.recorded_at);
}

Result<std::vector<model::Run>> active_runs(Db& db, const JobId& job) {
  std::vector<model::Run> runs;
  TG_CHECK(db.each(
      "SELECT " TG_RUN_COLUMNS
      " FROM sync_runs WHERE job_id = ? AND state IN "
      "('queued', 'running') ORDER BY created_at, id",
      [&](const Row& r) -> Status {
        TG_TRY(auto run, run_from(r));
        runs.push_back(std::move(run));
        return {};
      },
      job));
  return runs;
}

Status cancel_run(Tx& tx, model::Run& run, JobHead& head) {
  run.cancel_requested = true;
  if (run.state == model::RunState::Queued) {
    rules::cancel_queued(run, tx.now);
    rules::account(head.job, run);
  }
  tx.note(ChangeKind::Run, run.id.str());
  return update_run(tx.db, run);
}

Status check_leader(Db& db, const LeaderLease& lease) {
  TG_TRY(const bool mine,
         db.exists("SELECT 1 FROM worker_locks WHERE id = 'scheduler' AND owner = ? AND fence = ?",
                   lease.owner, lease.fence));
  if (!mine) return rules::leader_fenced();
  return {};
}

}  // namespace tidegate::store::sqlite
