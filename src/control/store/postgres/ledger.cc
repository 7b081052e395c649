#include "control/store/postgres/ledger.h"

#include "control/store/rules.h"

namespace tidegate::store::postgres {

using model::SlotRecord;

namespace {

std::vector<JobId> jobs_of(const Slots& slots) {
  return column(slots, [](const auto& s) { return s.first; });
}
std::vector<Instant> instants_of(const Slots& slots) {
  return column(slots, [](const auto& s) { return s.second; });
}

}  // namespace

Query known_slots(const Slots& slots) {
  return query(
      "SELECT i.job_id, i.slot FROM unnest($1, $2) AS i(job_id, slot) WHERE EXISTS (SELECT 1 FROM "
      "sync_runs r WHERE r.job_id = i.job_id AND r.scheduled_for = i.slot) OR (SELECT s.last_slot "
      ">= i.slot FROM slot_records s WHERE s.job_id = i.job_id AND s.first_slot <= i.slot ORDER BY "
      "s.first_slot DESC LIMIT 1)",
      jobs_of(slots), instants_of(slots));
}

Slots slots_from(const Rows& rows) {
  Slots slots;
  for (const Row row : rows) slots.emplace(JobId(row.text(0)), row.time(1));
  return slots;
}

Query RecordWriter::look(const Slots& firsts) {
  return query(
      "SELECT i.job_id, i.slot, (SELECT max(r.scheduled_for) FROM sync_runs r WHERE r.job_id = "
      "i.job_id AND r.scheduled_for < i.slot), s.first_slot, s.last_slot, s.slots, s.outcome, "
      "s.reason FROM unnest($1, $2) AS i(job_id, slot) LEFT JOIN LATERAL (SELECT * FROM "
      "slot_records s WHERE s.job_id = i.job_id ORDER BY s.first_slot DESC LIMIT 1 FOR UPDATE) s "
      "ON "
      "true",
      jobs_of(firsts), instants_of(firsts));
}

Status RecordWriter::learn(const Rows& rows) {
  for (const Row row : rows) {
    const JobId job(row.text(0));
    if (const auto before = row.maybe_time(2)) run_before_[{job, row.time(1)}] = *before;
    if (row.null(3)) continue;
    Newest& newest = newest_[job];
    newest.stored = true;
    newest.record = {.job = job,
                     .first = row.time(3),
                     .last = row.time(4),
                     .count = row.integer(5),
                     .outcome = {},
                     .reason = row.text(7),
                     .recorded_at = {}};
    TG_CHECK(sql::read_name(row.view(6), model::kSlotOutcomeNames, newest.record.outcome));
  }
  return {};
}

bool RecordWriter::run_between(const JobId& job, Instant last, Instant first) const {
  if (const auto it = run_before_.find({job, first});
      it != run_before_.end() && it->second > last) {
    return true;
  }
  const auto runs = runs_.find(job);
  if (runs == runs_.end()) return false;
  const auto next = runs->second.upper_bound(last);
  return next != runs->second.end() && *next < first;
}

void RecordWriter::put(const JobId& job, const Newest& done) {
  auto& list = done.stored ? extended_ : inserted_;
  list.push_back(done.record);
  list.back().job = job;
}

void RecordWriter::add(const JobId& job, const SlotRecord& record) {
  const auto it = newest_.find(job);
  if (it == newest_.end() || !rules::extends(it->second.record, record) ||
      run_between(job, it->second.record.last, record.first)) {
    newest_[job] = {record, false};
    put(job, newest_[job]);
    return;
  }
  Newest& newest = it->second;
  newest.record.last = record.last;
  newest.record.count += record.count;
  auto& list = newest.stored ? extended_ : inserted_;
  std::erase_if(
      list, [&](const SlotRecord& r) { return r.job == job && r.first == newest.record.first; });
  put(job, newest);
}

Query request_cancels(const std::vector<RunId>& running) {
  // In the order in which renewals lock them.
  return query(
      "UPDATE job_execution_locks SET cancel_requested = true WHERE run_id = ANY (ARRAY(SELECT "
      "run_id FROM job_execution_locks WHERE run_id = ANY ($1) ORDER BY run_id FOR UPDATE))",
      running);
}

Status cancel_run(Tx& tx, model::Run& run) {
  tx.note(ChangeKind::Run, run.id.str());
  if (run.state == model::RunState::Running) {
    run.cancel_requested = true;
    // The run's row is the worker's.
    TG_TRY(const auto done, tx.db.run({request_cancels({run.id})}));
    return {};
  }
  rules::cancel_queued(run, tx.now);
  std::vector<Query> queries = tell_jobs({{.job = run.job, .lesson = rules::lesson_of(run)}});
  queries.push_back(update_runs({&run}));
  queries.push_back(query("DELETE FROM run_queue WHERE run_id = $1", run.id));
  TG_TRY(const auto done, tx.db.run(queries));
  return {};
}

Query hold_leader(const LeaderLease& lease) {
  return query(
      "SELECT 1 FROM worker_locks WHERE id = 'scheduler' AND owner = $1 AND fence = $2 FOR "
      "SHARE",
      lease.owner, lease.fence);
}

std::vector<Query> RecordWriter::writes() const {
  std::vector<Query> queries;
  if (!extended_.empty()) {
    queries.push_back(query(
        "UPDATE slot_records s SET last_slot = i.last_slot, slots = i.slots FROM unnest($1, "
        "$2, $3, $4) AS i(job_id, first_slot, last_slot, slots) WHERE s.job_id = i.job_id AND "
        "s.first_slot = i.first_slot",
        column(extended_, &SlotRecord::job), column(extended_, &SlotRecord::first),
        column(extended_, &SlotRecord::last), column(extended_, &SlotRecord::count)));
  }
  if (!inserted_.empty()) {
    queries.push_back(query(
        "INSERT INTO slot_records (job_id, first_slot, last_slot, slots, outcome, reason, "
        "recorded_at) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)",
        column(inserted_, &SlotRecord::job), column(inserted_, &SlotRecord::first),
        column(inserted_, &SlotRecord::last), column(inserted_, &SlotRecord::count),
        column(inserted_,
               [](const SlotRecord& r) { return name_of(r.outcome, model::kSlotOutcomeNames); }),
        column(inserted_, &SlotRecord::reason), column(inserted_, &SlotRecord::recorded_at)));
  }
  return queries;
}

}  // namespace tidegate::store::postgres
