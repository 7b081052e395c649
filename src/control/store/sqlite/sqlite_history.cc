#include <fmt/format.h>

#include "control/store/sqlite/ledger.h"
#include "control/store/sqlite/sqlite_state.h"

namespace tidegate::store::sqlite {

using model::LedgerEntry;
using model::Run;

Result<Run> SqliteStore::get_run(const WorkspaceId& ws, const RunId& id) {
  return quick_.read([&](Db& db) -> Result<Run> {
    TG_TRY(auto run, find_run(db, id));
    if (!run || (!ws.empty() && run->workspace != ws)) return rules::run_not_found(id);
    return std::move(*run);
  });
}

namespace {

// Only the conditions that the query has: a general one would keep SQLite from using an index. So
// would a bound state: the indexes of active runs name theirs. One job's runs are looked up by the
// job; the order by time, which the workspace's index has, would read every run of the workspace.
std::string run_conditions(const RunQuery& q) {
  std::string where = " FROM sync_runs WHERE 1";
  if (!q.workspace.empty()) {
    where += q.job.empty() ? " AND workspace_id = ?1" : " AND +workspace_id = ?1";
  }
  if (!q.job.empty()) where += " AND job_id = ?2";
  if (q.state) where += fmt::format(" AND state = '{}'", name_of(*q.state, model::kRunStateNames));
  if (q.since) where += " AND created_at >= ?3";
  return where;
}

}  // namespace

Result<Listing<Run>> SqliteStore::list_runs(const RunQuery& query) {
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "runs", 2));
  std::int64_t at = 0;
  if (cursor) {
    TG_TRY(at, rules::cursor_int((*cursor)[0]));
  }
  const std::string after = cursor ? (*cursor)[1] : "";
  const std::string where = run_conditions(query);
  const std::string_view order = query.oldest_first ? "ASC" : "DESC";
  const std::string page =
      cursor ? fmt::format(" AND (created_at, id) {} (?4, ?5)", query.oldest_first ? ">" : "<")
             : "";
  return readers_.snapshot([&](Db& db) -> Result<Listing<Run>> {
    Listing<Run> list;
    TG_TRY(list.total,
           db.number("SELECT count(*)" + where, query.workspace, query.job, query.since));
    const std::size_t limit = rules::page_limit(query.page);
    std::size_t bytes = 0;
    bool more = false;
    const auto take = [&](const Row& r) -> Status {
      more = list.items.size() >= limit || bytes >= rules::kPageBytes;
      if (more) return fail(Code::Cancelled, "");
      TG_TRY(auto run, run_from(r));
      bytes += r.view(sql::kRunDetail).size();
      list.items.push_back(std::move(run));
      return {};
    };
    const auto walked = db.each(
        fmt::format("SELECT {}{}{} ORDER BY created_at {}, id {} LIMIT ?6",
                    query.brief ? TG_BRIEF_RUN_COLUMNS : TG_RUN_COLUMNS, where, page, order, order),
        take, query.workspace, query.job, query.since, at, after, limit + 1);
    if (!walked && !more) return fail(walked.error());
    if (more) list.next_cursor = rules::run_cursor(list.items.back());
    return list;
  });
}

Result<Listing<LedgerEntry>> SqliteStore::list_slots(const LedgerQuery& query) {
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "slots", 1));
  std::optional<std::int64_t> before;
  if (cursor) {
    TG_TRY(before, rules::cursor_int((*cursor)[0]));
  }
  return readers_.snapshot([&](Db& db) -> Result<Listing<LedgerEntry>> {
    TG_TRY(const auto job, find_job_head(db, query.job));
    if (!job || (!query.workspace.empty() && job->job.workspace != query.workspace)) {
      return rules::job_not_found(query.job);
    }
    constexpr std::string_view kWhere =
        " FROM slots WHERE job_id = ?1 AND (?2 IS NULL OR last_slot >= ?2) AND (?3 IS NULL OR "
        "first_slot < ?3)";
    Listing<LedgerEntry> list;
    TG_TRY(list.total, db.number(fmt::format("SELECT count(*){}", kWhere), query.job, query.since,
                                 query.until));
    const std::size_t limit = rules::page_limit(query.page);
    TG_CHECK(db.each(
        fmt::format("SELECT first_slot, last_slot, slots, outcome, reason, run_id{} AND "
                    "(?4 IS NULL OR first_slot < ?4) ORDER BY first_slot DESC LIMIT ?5",
                    kWhere),
        [&](const Row& r) {
          list.items.push_back(
              {r.time(0), r.time(1), r.integer(2), r.text(3), r.text(4), RunId(r.text(5))});
        },
        query.job, query.since, query.until, before, limit + 1));
    rules::end_page(list, limit, rules::slot_cursor);
    return list;
  });
}

// ---- logs

Status SqliteStore::append_log(const HeldRun& held, std::span<const model::RunLogLine> lines,
                               std::size_t max_bytes) {
  return writer_.run([&](Tx& tx) -> Status {
    TG_TRY(const bool mine,
           tx.db.exists("SELECT 1 FROM sync_runs WHERE id = ? AND state = 'running' "
                        "AND fence = ?",
                        held.run, held.fence));
    if (!mine) return rules::run_fenced(held.run);
    rules::LogTail tail;
    TG_CHECK(tx.db.maybe(
        "SELECT last_seq, total_bytes, full FROM run_logs WHERE run_id = ? ORDER BY "
        "first_seq DESC LIMIT 1",
        [&](const Row& r) { tail = {r.integer(0), r.integer(1), r.flag(2)}; }, held.run));
    const auto kept = rules::fit_log(tail, lines, max_bytes, tx.now);
    if (kept.empty()) return {};
    return tx.db.exec("INSERT INTO run_logs VALUES (?, ?, ?, ?, ?, ?)", held.run, kept.front().seq,
                      tail.seq, tail.bytes, tail.full, sql::lines_text(kept));
  });
}

Result<std::vector<model::RunLogLine>> SqliteStore::read_log(const RunId& run, std::int64_t after,
                                                             std::size_t limit) {
  return readers_.snapshot([&](Db& db) -> Result<std::vector<model::RunLogLine>> {
    TG_TRY(const bool known, db.exists("SELECT 1 FROM sync_runs WHERE id = ?", run));
    if (!known) return rules::run_not_found(run);
    std::vector<model::RunLogLine> lines;
    // From the row that holds `after` + 1; a row has at least one line, so `limit` rows are enough.
    TG_CHECK(db.each(
        "SELECT first_seq, lines FROM run_logs WHERE run_id = ?1 AND first_seq >= "
        "coalesce((SELECT max(first_seq) FROM run_logs WHERE run_id = ?1 AND first_seq "
        "<= ?2 + 1), 0) ORDER BY first_seq LIMIT ?3",
        [&](const Row& r) { return sql::read_lines(r.integer(0), r.view(1), after, limit, lines); },
        run, after, limit + 1));
    return lines;
  });
}

}  // namespace tidegate::store::sqlite
