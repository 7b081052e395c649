#include <fmt/format.h>

#include "control/store/postgres/postgres_state.h"

namespace tidegate::store::postgres {

using model::LedgerEntry;
using model::Run;

Result<Run> PostgresStore::get_run(const WorkspaceId& ws, const RunId& id) {
  return db_.read([&](Session& db) -> Result<Run> {
    TG_TRY(auto run, find_run(db, id));
    if (!run || (!ws.empty() && run->workspace != ws)) return rules::run_not_found(id);
    return std::move(*run);
  });
}

namespace {

// What is queued or running is found by its own small table, so that nobody walks through the
// history for it. OFFSET 0 keeps the planner from doing so nevertheless, for the sake of the order.
std::string_view runs_in(std::optional<model::RunState> state) {
  if (state == model::RunState::Queued) {
    return " FROM (SELECT r.* FROM run_queue q JOIN readable_runs r ON r.id = q.run_id OFFSET 0) "
           "runs";
  }
  if (state == model::RunState::Running) {
    return " FROM (SELECT r.* FROM job_execution_locks l JOIN readable_runs r ON r.id = l.run_id "
           "OFFSET 0) runs";
  }
  return " FROM readable_runs";
}

Where run_conditions(const RunQuery& q) {
  Where where{.sql = fmt::format("{} WHERE true", runs_in(q.state)), .params = {}};
  if (!q.workspace.empty()) where.add(" AND workspace_id = ${}", q.workspace);
  if (!q.job.empty()) where.add(" AND job_id = ${}", q.job);
  if (q.state) {  // no lock says otherwise of a run that has ended
    where.add(model::is_terminal(*q.state) ? " AND written_state = ${}" : " AND state = ${}",
              name_of(*q.state, model::kRunStateNames));
  }
  if (q.since) where.add(" AND created_at >= ${}", *q.since);
  return where;
}

// The runs of a page and the one behind it. What is too much for the page is not sent: a row comes
// when all but the one before it have room.
Query runs_page(Where where, const RunQuery& q, std::size_t limit) {
  const std::string order =
      q.oldest_first ? " ORDER BY created_at, id" : " ORDER BY created_at DESC, id DESC";
  where.sql += order;
  where.add(" LIMIT ${}", limit + 1);
  if (q.brief) return {"SELECT " TG_BRIEF_RUN_COLUMNS + where.sql, std::move(where.params)};
  where.sql = fmt::format(
      "SELECT " TG_LIVE_RUN_COLUMNS
      " FROM (SELECT *, sum(octet_length(detail::text)) OVER ({} ROWS BETWEEN UNBOUNDED PRECEDING "
      "AND 2 PRECEDING) AS before FROM (SELECT *{}) page) sized WHERE true",
      order, where.sql);
  where.add(" AND coalesce(before, 0) < ${}", rules::kPageBytes);
  where.sql += order;
  return {std::move(where.sql), std::move(where.params)};
}

}  // namespace

Result<Listing<Run>> PostgresStore::list_runs(const RunQuery& q) {
  TG_TRY(const auto cursor, rules::decode_cursor(q.page, "runs", 2));
  Where where = run_conditions(q);
  const Query total{"SELECT count(*)" + where.sql, where.params};
  if (cursor) {
    TG_TRY(const auto at, rules::cursor_int((*cursor)[0]));
    where.sql += fmt::format(" AND (created_at, id) {} (", q.oldest_first ? '>' : '<');
    where.add("${}, ", from_ms(at));
    where.add("${})", (*cursor)[1]);
  }
  const std::size_t limit = rules::page_limit(q.page);
  const Query page = runs_page(std::move(where), q, limit);
  return db_.read(
      [&](Session& db) -> Result<Listing<Run>> {
        TG_TRY(const auto rows, db.snapshot({total, page}));
        Listing<Run> list;
        list.total = rows[0].front().integer(0);
        std::size_t bytes = 0;
        for (const Row row : rows[1]) {
          if (list.items.size() >= limit || bytes >= rules::kPageBytes) {
            list.next_cursor = rules::run_cursor(list.items.back());
            break;
          }
          TG_TRY(auto run, q.brief ? sql::run_from(row) : live_run_from(row));
          bytes += row.view(sql::kRunDetail).size();
          list.items.push_back(std::move(run));
        }
        return list;
      },
      Pool::Use::Slow);
}

Result<Listing<LedgerEntry>> PostgresStore::list_slots(const LedgerQuery& q) {
  TG_TRY(const auto cursor, rules::decode_cursor(q.page, "slots", 1));
  Where where{.sql = " FROM slots WHERE true", .params = {}};
  where.add(" AND job_id = ${}", q.job);
  if (q.since) where.add(" AND last_slot >= ${}", *q.since);
  if (q.until) where.add(" AND first_slot < ${}", *q.until);
  const Query total{"SELECT count(*)" + where.sql, where.params};
  if (cursor) {
    TG_TRY(const auto before, rules::cursor_int((*cursor)[0]));
    where.add(" AND first_slot < ${}", from_ms(before));
  }
  const std::size_t limit = rules::page_limit(q.page);
  where.add(" ORDER BY first_slot DESC LIMIT ${}", limit + 1);
  return db_.read(
      [&](Session& db) -> Result<Listing<LedgerEntry>> {
        TG_TRY(const auto rows,
               db.snapshot(
                   {query("SELECT workspace_id FROM sync_jobs WHERE id = $1", q.job),
                    total,
                    {"SELECT first_slot, last_slot, slots, outcome, reason, run_id" + where.sql,
                     where.params}}));
        if (rows[0].empty() ||
            (!q.workspace.empty() && rows[0].front().view(0) != q.workspace.str())) {
          return rules::job_not_found(q.job);
        }
        Listing<LedgerEntry> list;
        list.total = rows[1].front().integer(0);
        for (const Row r : rows[2]) {
          list.items.push_back(
              {r.time(0), r.time(1), r.integer(2), r.text(3), r.text(4), RunId(r.text(5))});
        }
        rules::end_page(list, limit, rules::slot_cursor);
        return list;
      },
      Pool::Use::Slow);
}

// ---- logs

Status PostgresStore::append_log(const HeldRun& held, std::span<const model::RunLogLine> lines,
                                 std::size_t max_bytes) {
  return db_.write([&](Tx& tx) -> Status {
    TG_TRY(const auto rows,
           tx.start({query("SELECT 1 FROM job_execution_locks WHERE run_id = $1 AND fence = $2 FOR "
                           "UPDATE",
                           held.run, held.fence),
                     query("SELECT last_seq, total_bytes, full_up FROM run_logs WHERE run_id = $1 "
                           "ORDER BY first_seq DESC LIMIT 1",
                           held.run)}));
    if (rows[0].empty()) return rules::run_fenced(held.run);
    rules::LogTail tail;
    for (const Row r : rows[1]) tail = {r.integer(0), r.integer(1), r.flag(2)};
    const auto kept = rules::fit_log(tail, lines, max_bytes, tx.now);
    if (kept.empty()) return {};
    TG_TRY(const auto done,
           tx.commit(
               {query("INSERT INTO run_logs VALUES ($1, $2, $3, $4, $5, $6::json)", held.run,
                      kept.front().seq, tail.seq, tail.bytes, tail.full, sql::lines_text(kept))}));
    return {};
  });
}

Result<std::vector<model::RunLogLine>> PostgresStore::read_log(const RunId& run, std::int64_t after,
                                                               std::size_t limit) {
  return db_.read(
      [&](Session& db) -> Result<std::vector<model::RunLogLine>> {
        // From the row that holds `after` + 1; a row has at least one line, so `limit` rows are
        // enough.
        TG_TRY(
            const auto rows,
            db.snapshot(
                {query("SELECT 1 FROM sync_runs WHERE id = $1", run),
                 query("SELECT first_seq, lines FROM run_logs WHERE run_id = $1 AND first_seq >= "
                       "coalesce((SELECT max(first_seq) FROM run_logs WHERE run_id = $1 AND "
                       "first_seq <= $2 + 1), 0) ORDER BY first_seq LIMIT $3",
                       run, after, limit + 1)}));
        if (rows[0].empty()) return rules::run_not_found(run);
        std::vector<model::RunLogLine> lines;
        for (const Row r : rows[1]) {
          TG_CHECK(sql::read_lines(r.integer(0), r.view(1), after, limit, lines));
        }
        return lines;
      },
      Pool::Use::Slow);
}

}  // namespace tidegate::store::postgres
