#include <algorithm>

#include "base/json.h"
#include "control/model/storage_json.h"
#include "control/model/text_field.h"
#include "control/store/mongo/ledger.h"
#include "control/store/mongo/mongo_state.h"
#include "control/store/mongo/query.h"

namespace tidegate::store::mongo {

using model::enum_name;
using model::LedgerEntry;
using model::Run;

Result<Run> MongoStore::get_run(const WorkspaceId& ws, const RunId& id) {
  Conn conn(*pool_);
  TG_TRY(auto row, find_run(conn, id));
  if (!row || (!ws.empty() && row->run.workspace != ws)) return rules::run_not_found(id);
  return std::move(row->run);
}

namespace {

// RunQuery::brief
bj::object brief() {
  return {{"spec", 0},     {"only", 0},     {"takeOver", 0}, {"entities", 0},
          {"progress", 0}, {"attempts", 0}, {"warnings", 0}};
}

}  // namespace

Result<Listing<Run>> MongoStore::list_runs(const RunQuery& query) {
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "runs", 2));
  bj::object filter;
  if (!query.workspace.empty()) filter["workspaceId"] = query.workspace.str();
  if (!query.job.empty()) filter["jobId"] = query.job.str();
  if (query.state) filter["state"] = enum_name(*query.state, model::kRunStateNames);
  if (query.since) filter["createdAt"] = bj::object{{"$gte", date(*query.since)}};
  Conn conn(*pool_);
  Listing<Run> list;
  TG_TRY(list.total, conn.count(coll::kRuns, filter));
  if (cursor) {
    TG_TRY(const auto at, rules::cursor_int((*cursor)[0]));
    require(filter, beyond("createdAt", date(from_ms(at)), "_id", bj::string((*cursor)[1]),
                           query.oldest_first));
  }
  const std::size_t limit = rules::page_limit(query.page);
  std::size_t bytes = 0;
  const int order = query.oldest_first ? 1 : -1;
  TG_CHECK(conn.each(coll::kRuns,
                     {.filter = std::move(filter),
                      .sort = {{"createdAt", order}, {"_id", order}},
                      .limit = limit + 1,
                      .projection = query.brief ? brief() : bj::object()},
                     [&](bj::object o) -> Result<bool> {
                       if (list.items.size() >= limit || bytes >= rules::kPageBytes) {
                         list.next_cursor = rules::run_cursor(list.items.back());
                         return false;
                       }
                       TG_TRY(auto row, run_from(std::move(o)));
                       bytes += json::write(model::to_stored(row.run)).size();
                       list.items.push_back(std::move(row.run));
                       return true;
                     }));
  return list;
}

// ---- the ledger

namespace {

bj::object from_to(const std::optional<Instant>& from, const std::optional<Instant>& to) {
  bj::object range{{"$type", "date"}};
  if (from) range["$gte"] = date(*from);
  if (to) range["$lt"] = date(*to);
  return range;
}

LedgerEntry entry_of_run(const bj::object& o) {
  const std::string state = text_of(o, "state");
  const bool ended = state != "queued" && state != "running";
  const Instant slot = time_of(o, "slot");
  return {
      slot, slot, 1, ended ? state : "planned", text_of(o, "errorKind"), RunId(text_of(o, "_id"))};
}

LedgerEntry entry_of_record(const bj::object& o) {
  return {time_of(o, "first"),   time_of(o, "last"),   number_of(o, "count"),
          text_of(o, "outcome"), text_of(o, "reason"), {}};
}

// The newest of a collection's entries that match, before the cursor where there is one.
Status collect(Conn& conn, std::string_view collection, bj::object filter, std::string_view by,
               const std::optional<Instant>& before, std::size_t limit,
               LedgerEntry (*entry)(const bj::object&), Listing<LedgerEntry>& list) {
  TG_TRY(const auto total, conn.count(collection, filter));
  list.total += total;
  if (before) require(filter, {{by, bj::object{{"$lt", date(*before)}}}});
  return conn.each(collection, {.filter = std::move(filter), .sort = {{by, -1}}, .limit = limit},
                   [&](const bj::object& o) {
                     list.items.push_back(entry(o));
                     return true;
                   });
}

}  // namespace

Result<Listing<LedgerEntry>> MongoStore::list_slots(const LedgerQuery& query) {
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "slots", 1));
  std::optional<Instant> before;
  if (cursor) {
    TG_TRY(const auto at, rules::cursor_int((*cursor)[0]));
    before = from_ms(at);
  }
  Conn conn(*pool_);
  TG_TRY(const auto job, find_job(conn, query.job));
  if (!job || (!query.workspace.empty() && job->job.workspace != query.workspace)) {
    return rules::job_not_found(query.job);
  }
  const std::string id = query.job.str();
  const std::size_t limit = rules::page_limit(query.page);
  Listing<LedgerEntry> list;
  TG_CHECK(collect(conn, coll::kRuns, {{"jobId", id}, {"slot", from_to(query.since, query.until)}},
                   "slot", before, limit + 1, entry_of_run, list));
  bj::object records{{"jobId", id}};
  if (query.since) records["last"] = bj::object{{"$gte", date(*query.since)}};
  if (query.until) records["first"] = bj::object{{"$lt", date(*query.until)}};
  TG_CHECK(collect(conn, coll::kRecords, std::move(records), "first", before, limit + 1,
                   entry_of_record, list));
  std::ranges::sort(list.items, std::greater{}, &LedgerEntry::first);
  if (list.items.size() > limit) {
    list.items.resize(limit);
    list.next_cursor = rules::slot_cursor(list.items.back());
  }
  return list;
}

// ---- logs

// The end of the log is kept in the run: writing it there under the fence keeps out who lost it.
Status MongoStore::append_log(const HeldRun& held, std::span<const model::RunLogLine> lines,
                              std::size_t max_bytes) {
  return write([&](Tx& tx) -> Status {
    const bj::object mine{
        {"_id", held.run.str()}, {"state", "running"}, {"fence", value(held.fence)}};
    TG_TRY(const auto run,
           tx.db.find_one(
               coll::kRuns,
               {.filter = mine,
                .projection = {{"logSeq", 1}, {"logBytes", 1}, {"logFull", 1}, {"seq", 1}}}));
    if (!run) return rules::run_fenced(held.run);
    rules::LogTail tail{number_of(*run, "logSeq"), number_of(*run, "logBytes"),
                        flag_of(*run, "logFull")};
    const auto kept = rules::fit_log(tail, lines, max_bytes, tx.now);
    if (kept.empty()) return {};
    bj::object as_read = mine;
    as_read["seq"] = number_of(*run, "seq");
    TG_TRY(const auto matched, tx.db.update(coll::kRuns, as_read,
                                            {{"$set", bj::object{{"logSeq", tail.seq},
                                                                 {"logBytes", tail.bytes},
                                                                 {"logFull", tail.full}}},
                                             {"$inc", bj::object{{"seq", 1}}}}));
    if (matched == 0) {
      tx.db.lost_race();
      return lost_race();
    }
    return tx.db.insert(coll::kLogs, log_document(held.run, kept));
  });
}

Result<std::vector<model::RunLogLine>> MongoStore::read_log(const RunId& run, std::int64_t after,
                                                            std::size_t limit) {
  Conn conn(*pool_);
  TG_TRY(const bool known, conn.exists(coll::kRuns, {{"_id", run.str()}}));
  if (!known) return rules::run_not_found(run);
  std::vector<model::RunLogLine> lines;
  TG_CHECK(conn.each(coll::kLogs,
                     {.filter = {{"runId", run.str()}, {"lastSeq", bj::object{{"$gt", after}}}},
                      .sort = {{"lastSeq", 1}}},
                     [&](const bj::object& batch) {
                       read_lines(batch, after, limit, lines);
                       return lines.size() < limit;
                     }));
  return lines;
}

}  // namespace tidegate::store::mongo
