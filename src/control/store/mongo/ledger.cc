#include "control/store/mongo/ledger.h"

#include <algorithm>
#include <iterator>

#include "control/model/text_field.h"

namespace tidegate::store::mongo {
namespace {

using model::enum_name;

std::string record_id(const JobId& job, Instant first) {
  return job.str() + "/" + std::to_string(to_ms(first));
}

}  // namespace

model::SlotRecord record_from(const bj::object& o) {
  const auto outcome = std::ranges::find(model::kSlotOutcomeNames, text_of(o, "outcome"));
  const bool known = outcome != std::end(model::kSlotOutcomeNames);
  return {.job = JobId(text_of(o, "jobId")),
          .first = time_of(o, "first"),
          .last = time_of(o, "last"),
          .count = number_of(o, "count"),
          .outcome = known ? static_cast<model::SlotOutcome>(outcome -
                                                             std::begin(model::kSlotOutcomeNames))
                           : model::SlotOutcome::Skipped,
          .reason = text_of(o, "reason"),
          .recorded_at = time_of(o, "recordedAt")};
}

bj::object record_document(const JobId& job, const model::SlotRecord& record) {
  return {{"_id", record_id(job, record.first)},
          {"jobId", job.str()},
          {"first", date(record.first)},
          {"last", date(record.last)},
          {"count", record.count},
          {"outcome", enum_name(record.outcome, model::kSlotOutcomeNames)},
          {"reason", record.reason},
          {"recordedAt", date(record.recorded_at)}};
}

Result<std::set<Instant>> known_slots(Conn& db, const JobId& job, const std::set<Instant>& slots) {
  std::set<Instant> known;
  if (slots.empty()) return known;
  bj::object listed = any_of(slots, date);
  listed["$type"] = "date";  // or the server does not use the index
  TG_CHECK(db.each(
      coll::kRuns,
      {.filter = {{"jobId", job.str()}, {"slot", std::move(listed)}}, .projection = {{"slot", 1}}},
      [&](const bj::object& run) {
        known.insert(time_of(run, "slot"));
        return true;
      }));
  const bj::object overlapping{{"jobId", job.str()},
                               {"first", bj::object{{"$lte", date(*slots.rbegin())}}},
                               {"last", bj::object{{"$gte", date(*slots.begin())}}}};
  TG_CHECK(db.each(coll::kRecords, {.filter = overlapping}, [&](const bj::object& o) {
    const auto end = slots.upper_bound(time_of(o, "last"));
    for (auto it = slots.lower_bound(time_of(o, "first")); it != end; ++it) known.insert(*it);
    return true;
  }));
  return known;
}

Status add_record(Tx& tx, const JobId& job, const model::SlotRecord& record) {
  TG_TRY(const auto found, tx.db.find_one(coll::kRecords, {.filter = {{"jobId", job.str()}},
                                                           .sort = {{"first", -1}}}));
  if (found) {
    const auto newest = record_from(*found);
    bool extend = rules::extends(newest, record);
    if (extend) {
      const bj::object run{
          {"jobId", job.str()},
          {"slot",
           bj::object{{"$type", "date"}, {"$gt", date(newest.last)}, {"$lt", date(record.first)}}}};
      TG_TRY(const bool some, tx.db.exists(coll::kRuns, run));
      extend = !some;
    }
    if (extend) {
      // Only as it was read: a repetition does not count twice.
      const bj::object which{{"_id", record_id(job, newest.first)}, {"last", date(newest.last)}};
      TG_TRY(const auto matched, tx.db.update(coll::kRecords, which,
                                              {{"$set", bj::object{{"last", date(record.last)}}},
                                               {"$inc", bj::object{{"count", record.count}}}}));
      if (matched > 0) return {};
      tx.db.lost_race();
      return lost_race();
    }
  }
  return tx.db.insert(coll::kRecords, record_document(job, record));
}

Status cancel_run(Tx& tx, RunRow& row) {
  row.run.cancel_requested = true;
  if (row.run.state == model::RunState::Queued) {
    rules::cancel_queued(row.run, tx.now);
  }
  return save_run(tx, row);
}

}  // namespace tidegate::store::mongo
