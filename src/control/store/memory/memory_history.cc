#include <algorithm>
#include <iterator>

#include "base/json.h"
#include "control/model/storage_json.h"
#include "control/store/memory/memory_state.h"

namespace tidegate::store {

using model::LedgerEntry;
using model::Run;

RunRow* MemoryStore::find_run(const WorkspaceId& ws, const RunId& id) {
  const auto it = runs_.find(id);
  if (it == runs_.end()) return nullptr;
  return ws.empty() || it->second.run.workspace == ws ? &it->second : nullptr;
}

Result<Run> MemoryStore::get_run(const WorkspaceId& ws, const RunId& id) {
  const std::scoped_lock lock(mutex_);
  const RunRow* row = find_run(ws, id);
  if (row == nullptr) return rules::run_not_found(id);
  return row->run;
}

namespace {

// RunQuery::brief
Run brief(Run run) {
  run.only_entities.clear();
  run.take_over = false;
  run.entities.clear();
  run.progress.clear();
  run.attempts.clear();
  run.warnings.clear();
  return run;
}

}  // namespace

Result<Listing<Run>> MemoryStore::list_runs(const RunQuery& query) {
  const std::scoped_lock lock(mutex_);
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "runs", 2));
  std::vector<const Run*> found;
  for (const auto& [id, row] : runs_) {
    const Run& run = row.run;
    if ((query.workspace.empty() || run.workspace == query.workspace) &&
        (query.job.empty() || run.job == query.job) &&
        (!query.state || run.state == *query.state) &&
        (!query.since || run.created_at >= *query.since)) {
      found.push_back(&run);
    }
  }
  using Key = std::pair<std::int64_t, std::string>;
  const auto key = [](const Run* r) { return Key{to_ms(r->created_at), r->id.str()}; };
  std::ranges::sort(found, {}, key);
  if (!query.oldest_first) std::ranges::reverse(found);
  auto it = found.begin();
  if (cursor) {
    TG_TRY(const auto at, rules::cursor_int((*cursor)[0]));
    const Key after{at, (*cursor)[1]};
    it = std::ranges::find_if(
        found, [&](const Run* r) { return query.oldest_first ? key(r) > after : key(r) < after; });
  }
  Listing<Run> list{.items = {}, .next_cursor = {}, .total = std::ssize(found)};
  const std::size_t limit = rules::page_limit(query.page);
  std::size_t bytes = 0;
  for (; it != found.end() && list.items.size() < limit && bytes < rules::kPageBytes; ++it) {
    list.items.push_back(query.brief ? brief(**it) : **it);
    bytes += json::write(model::to_stored(list.items.back())).size();
  }
  if (it != found.end()) {
    list.next_cursor = rules::run_cursor(list.items.back());
  }
  return list;
}

Result<Listing<LedgerEntry>> MemoryStore::list_slots(const LedgerQuery& query) {
  const std::scoped_lock lock(mutex_);
  TG_TRY(const auto cursor, rules::decode_cursor(query.page, "slots", 1));
  const auto job = jobs_.find(query.job);
  if (job == jobs_.end() ||
      (!query.workspace.empty() && job->second.job.workspace != query.workspace)) {
    return rules::job_not_found(query.job);
  }
  std::vector<LedgerEntry> found;
  const auto add = [&](LedgerEntry e) {
    if ((!query.since || e.last >= *query.since) && (!query.until || e.first < *query.until)) {
      found.push_back(std::move(e));
    }
  };
  for (const auto& [slot, id] : job->second.by_slot) {
    const Run& run = runs_.at(id).run;
    const bool ended = model::is_terminal(run.state);
    add({slot, slot, 1,
         ended ? std::string(model::kRunStateNames[static_cast<std::size_t>(run.state)])
               : "planned",
         run.error_kind, id});
  }
  for (const auto& [slot, r] : job->second.records) {
    add({r.first,
         r.last,
         r.count,
         std::string(model::kSlotOutcomeNames[static_cast<std::size_t>(r.outcome)]),
         r.reason,
         {}});
  }
  std::ranges::sort(found, std::greater{}, &LedgerEntry::first);
  Listing<LedgerEntry> list{.items = {}, .next_cursor = {}, .total = std::ssize(found)};
  auto it = found.begin();
  if (cursor) {
    TG_TRY(const auto at, rules::cursor_int((*cursor)[0]));
    it = std::ranges::find_if(found, [&](const auto& e) { return to_ms(e.first) < at; });
  }
  const std::size_t limit = rules::page_limit(query.page);
  for (; it != found.end() && list.items.size() < limit; ++it) list.items.push_back(*it);
  if (it != found.end()) {
    list.next_cursor = rules::slot_cursor(list.items.back());
  }
  return list;
}

Status MemoryStore::append_log(const HeldRun& owner, std::span<const model::RunLogLine> lines,
                               std::size_t max_bytes) {
  const std::scoped_lock lock(mutex_);
  if (!held(owner)) return rules::run_fenced(owner.run);
  RunRow& row = runs_.at(owner.run);
  std::ranges::move(rules::fit_log(row.log_tail, lines, max_bytes, clock_.now()),
                    std::back_inserter(row.log));
  return {};
}

Result<std::vector<model::RunLogLine>> MemoryStore::read_log(const RunId& run, std::int64_t after,
                                                             std::size_t limit) {
  const std::scoped_lock lock(mutex_);
  const RunRow* row = find_run(WorkspaceId(), run);
  if (row == nullptr) return rules::run_not_found(run);
  const auto first = std::ranges::upper_bound(row->log, after, {}, &model::RunLogLine::seq);
  const auto count =
      std::min<std::ptrdiff_t>(row->log.end() - first, static_cast<std::ptrdiff_t>(limit));
  return std::vector(first, first + count);
}

std::size_t MemoryStore::prune_job(JobRow& row, const Retention& retention, Instant now,
                                   std::size_t budget) {
  const Instant oldest = now - retention.max_age;
  std::size_t removed = 0;
  std::int64_t ended = std::ssize(row.runs) - std::ssize(row.active);
  for (auto it = row.runs.begin(); it != row.runs.end() && removed < budget;) {
    const Run& run = runs_.at(it->second).run;
    const bool old = run.finished_at && *run.finished_at < oldest;
    if (!model::is_terminal(run.state) || (!old && ended <= retention.runs_per_job)) {
      ++it;
      continue;
    }
    if (run.scheduled_for) row.by_slot.erase(*run.scheduled_for);
    runs_.erase(it->second);
    it = row.runs.erase(it);
    --ended;
    ++removed;
  }
  while (!row.records.empty() && removed < budget &&
         (row.records.begin()->second.last < oldest ||
          std::ssize(row.records) > retention.runs_per_job)) {
    row.records.erase(row.records.begin());
    ++removed;
  }
  return removed;
}

Result<std::size_t> MemoryStore::prune(const Retention& retention, Instant now) {
  const std::scoped_lock lock(mutex_);
  std::size_t removed = 0;
  for (auto it = jobs_.begin(); it != jobs_.end() && removed < retention.batch;) {
    removed += prune_job(it->second, retention, now, retention.batch - removed);
    if (it->second.deleted && it->second.runs.empty() && it->second.records.empty() &&
        removed < retention.batch) {
      it = jobs_.erase(it);
      ++removed;
    } else {
      ++it;
    }
  }
  for (auto it = keys_.begin(); it != keys_.end() && removed < retention.batch;) {
    const bool old = it->second.at + rules::kIdempotencyKept <= now;
    it = old ? keys_.erase(it) : std::next(it);
    removed += old ? 1 : 0;
  }
  for (auto it = workers_.begin(); it != workers_.end() && removed < retention.batch;) {
    const bool old = it->second.seen_at + rules::kSilentWorkersKept <= now;
    it = old ? workers_.erase(it) : std::next(it);
    removed += old ? 1 : 0;
  }
  return removed;
}

}  // namespace tidegate::store
