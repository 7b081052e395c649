#include <set>

#include "control/store/mongo/mongo_state.h"

namespace tidegate::store::mongo {
namespace {

using Ids = std::set<std::string>;

// What one removal frees at the most, so that no slot waits for it.
constexpr std::int64_t kBatchBytes = 8 << 20;

bj::object ended() { return {{"$nin", bj::array{"queued", "running"}}}; }

struct Doomed {
  std::string id, job;
  std::int64_t log_bytes = 0;
};
using DoomedRuns = std::vector<Doomed>;

Status collect(Conn& db, Find find, DoomedRuns& found, Ids& seen) {
  find.projection = {{"jobId", 1}, {"logBytes", 1}};
  return db.each(coll::kRuns, find, [&](const bj::object& o) {
    const std::string id = text_of(o, "_id");
    if (seen.insert(id).second) {
      found.push_back({id, text_of(o, "jobId"), number_of(o, "logBytes")});
    }
    return true;
  });
}

// Ended runs that are old, then those beyond the newest `runs_per_job` of each job, oldest first.
Result<DoomedRuns> doomed_runs(Conn& db, const Retention& retention, Instant oldest) {
  DoomedRuns found;
  Ids seen;
  TG_CHECK(collect(db,
                   {.filter = {{"finishedAt", bj::object{{"$lt", date(oldest)}}}},
                    .sort = {{"finishedAt", 1}},
                    .limit = retention.batch},
                   found, seen));
  TG_TRY(
      const auto jobs,
      db.find(coll::kJobs, {.filter = {{"runsKept", bj::object{{"$gt", retention.runs_per_job}}}},
                            .limit = retention.batch,
                            .projection = {{"_id", 1}}}));
  for (const auto& job : jobs) {
    if (found.size() >= retention.batch) break;
    const bj::object of{{"jobId", text_of(job, "_id")}, {"state", ended()}};
    TG_TRY(const auto n, db.count(coll::kRuns, of));
    if (n <= retention.runs_per_job) continue;
    const auto surplus = static_cast<std::size_t>(n - retention.runs_per_job);
    TG_CHECK(collect(db,
                     {.filter = of,
                      .sort = {{"createdAt", 1}, {"_id", 1}},
                      .limit = std::min(surplus, retention.batch - found.size())},
                     found, seen));
  }
  return found;
}

// The logs come first: what is left behind when the process dies in between is a run without some
// of its log, never a log without a run.
Result<std::size_t> remove_runs(Tx& tx, const DoomedRuns& runs, std::size_t budget) {
  std::size_t removed = 0;
  std::int64_t bytes = 0;
  for (const Doomed& run : runs) {
    bytes += run.log_bytes;
    if (removed >= budget || (removed > 0 && bytes > kBatchBytes)) break;
    TG_CHECK(tx.db.erase(coll::kLogs, {{"runId", run.id}}));
    TG_TRY(const auto gone, tx.db.erase(coll::kRuns, {{"_id", run.id}, {"state", ended()}}));
    if (gone == 0) continue;
    TG_CHECK(tx.db.update(coll::kJobs, {{"_id", run.job}},
                          {{"$inc", bj::object{{"runsKept", -1}, {"seq", 1}}}}));
    ++removed;
  }
  return removed;
}

// Up to `limit` documents; how many. What has changed since it was found, so that the filter does
// not take it any more, stays.
Result<std::size_t> remove_some(Conn& db, std::string_view collection, Find find,
                                std::size_t limit) {
  if (limit == 0) return std::size_t{0};
  find.limit = limit;
  find.projection = {{"_id", 1}};
  TG_TRY(const auto found, db.find(collection, find));
  if (found.empty()) return std::size_t{0};
  bj::object which = std::move(find.filter);
  which["_id"] = any_of(found, [](const bj::object& o) { return o.at("_id"); });
  TG_TRY(const auto n, db.erase(collection, which));
  return static_cast<std::size_t>(n);
}

Result<std::vector<JobId>> next_jobs(Conn& db, const JobRound& round) {
  TG_TRY(const auto jobs,
         db.find(coll::kJobs, {.filter = {{"_id", bj::object{{"$gt", round.after().str()}}}},
                               .sort = {{"_id", 1}},
                               .limit = JobRound::kStretch,
                               .projection = {{"_id", 1}}}));
  std::vector<JobId> ids;
  for (const auto& job : jobs) ids.emplace_back(text_of(job, "_id"));
  return ids;
}

// Slot records beyond the newest `kept` of each of these jobs.
Result<std::size_t> remove_surplus_records(Conn& db, const std::vector<JobId>& jobs,
                                           std::int64_t kept, std::size_t limit) {
  if (limit == 0 || jobs.empty()) return std::size_t{0};
  const bj::object of_jobs{{"jobId", any_of(jobs, [](const JobId& id) { return id.str(); })}};
  const bj::object group{{"_id", "$jobId"}, {"n", bj::object{{"$sum", 1}}}};
  TG_TRY(const auto reply,
         db.run({{"aggregate", coll::kRecords},
                 {"pipeline",
                  bj::array{bj::object{{"$match", of_jobs}}, bj::object{{"$group", group}},
                            bj::object{{"$match", bj::object{{"n", bj::object{{"$gt", kept}}}}}},
                            bj::object{{"$limit", limit}}}},
                 {"cursor", bj::object{{"batchSize", limit}}}}));
  std::size_t removed = 0;
  for (const auto& item : reply.at("cursor").at("firstBatch").as_array()) {
    const std::string job = text_of(item.as_object(), "_id");
    // Where the surplus ends, as it is now: another one may have removed some since the count.
    TG_TRY(const auto end, db.find_one(coll::kRecords, {.filter = {{"jobId", job}},
                                                        .sort = {{"first", -1}},
                                                        .skip = static_cast<std::size_t>(kept),
                                                        .projection = {{"last", 1}}}));
    if (!end) continue;
    const bj::object surplus{{"jobId", job},
                             {"last", bj::object{{"$lte", date(time_of(*end, "last"))}}}};
    TG_TRY(const auto n, remove_some(db, coll::kRecords,
                                     {.filter = surplus, .sort = {{"first", 1}}}, limit - removed));
    removed += n;
  }
  return removed;
}

Result<std::size_t> remove_deleted_jobs(Conn& db, std::size_t limit) {
  if (limit == 0) return std::size_t{0};
  TG_TRY(const auto jobs,
         db.find(coll::kJobs,
                 {.filter = {{"live", false}}, .limit = limit, .projection = {{"_id", 1}}}));
  std::size_t removed = 0;
  for (const auto& job : jobs) {
    const std::string id = text_of(job, "_id");
    TG_TRY(const bool runs, db.exists(coll::kRuns, {{"jobId", id}}));
    TG_TRY(const bool records, db.exists(coll::kRecords, {{"jobId", id}}));
    if (runs || records) continue;
    TG_TRY(const auto n, db.erase(coll::kJobs, {{"_id", id}, {"live", false}}));
    removed += static_cast<std::size_t>(n);
  }
  return removed;
}

bj::object up_to(std::string_view field, Instant at) {
  return {{field, bj::object{{"$lte", date(at)}}}};
}

}  // namespace

// Every removal stands for itself: one that was cut short goes on with the next call.
Result<std::size_t> MongoStore::prune(const Retention& retention, Instant now) {
  const Instant oldest = now - retention.max_age;
  DoomedRuns runs;
  std::vector<JobId> jobs;
  {
    Conn conn(*pool_);
    TG_TRY(runs, doomed_runs(conn, retention, oldest));
    TG_TRY(jobs, next_jobs(conn, pruned_));
  }
  pruned_.found(jobs);
  return write_one([&](Tx& tx) -> Result<std::size_t> {
    TG_TRY(std::size_t removed, remove_runs(tx, runs, retention.batch));
    const auto add = [&](Result<std::size_t> more) -> Status {
      if (!more) return fail(more.error());
      removed += *more;
      return {};
    };
    const auto left = [&] { return retention.batch - std::min(removed, retention.batch); };
    const bj::object old{{"last", bj::object{{"$lt", date(oldest)}}}};
    TG_CHECK(add(remove_some(tx.db, coll::kRecords, {.filter = old}, left())));
    TG_CHECK(add(remove_surplus_records(tx.db, jobs, retention.runs_per_job, left())));
    TG_CHECK(
        add(remove_some(tx.db, coll::kKeys,
                        {.filter = up_to("createdAt", now - rules::kIdempotencyKept)}, left())));
    TG_CHECK(
        add(remove_some(tx.db, coll::kWorkers,
                        {.filter = up_to("seenAt", now - rules::kSilentWorkersKept)}, left())));
    TG_CHECK(add(remove_deleted_jobs(tx.db, left())));
    return removed;
  });
}

}  // namespace tidegate::store::mongo
