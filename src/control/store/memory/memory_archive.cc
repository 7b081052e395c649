#include <algorithm>
#include <limits>

#include "base/overloaded.h"
#include "control/store/archive_walk.h"
#include "control/store/memory/memory_state.h"

namespace tidegate::store {

namespace {

constexpr std::size_t kPage = 100;

}  // namespace

// One job, and one log, to a page.
class MemoryStore::Pages final : public ArchivePages {
 public:
  explicit Pages(MemoryStore& store) : store_(store) {}

  bool is_snapshot() const override { return false; }

  Result<std::vector<ArchiveRecord>> head() override {
    TG_CHECK(store_.check_whole());
    const std::scoped_lock lock(store_.mutex_);
    std::vector<ArchiveRecord> page;
    for (const auto& [id, w] : store_.workspaces_) page.emplace_back(w);
    for (const auto& [id, t] : store_.tokens_) page.emplace_back(t);
    page.emplace_back(ArchivedFence{store_.leader_.fence});
    return page;
  }

  Result<std::vector<model::Connection>> connections(const ConnectionId& after) override {
    const std::scoped_lock lock(store_.mutex_);
    std::vector<model::Connection> page;
    auto it = store_.connections_.upper_bound(after);
    for (; it != store_.connections_.end() && page.size() < kPage; ++it) page.push_back(it->second);
    return page;
  }

  Result<std::vector<ArchivedJob>> jobs(const JobId& after) override {
    const std::scoped_lock lock(store_.mutex_);
    const auto it = store_.jobs_.upper_bound(after);
    if (it == store_.jobs_.end()) return std::vector<ArchivedJob>();
    return std::vector{ArchivedJob{it->second.job, it->second.fence, it->second.deleted}};
  }

  Result<std::vector<model::SlotRecord>> slots(const std::vector<JobId>& jobs,
                                               const SlotAfter& after) override {
    const std::scoped_lock lock(store_.mutex_);
    std::vector<model::SlotRecord> page;
    const auto job = store_.jobs_.find(jobs.front());
    if (job == store_.jobs_.end()) return page;
    const auto& records = job->second.records;
    auto it = after.job.empty() ? records.begin() : records.upper_bound(after.first);
    for (; it != records.end() && page.size() < kPage; ++it) page.push_back(it->second);
    return page;
  }

  Result<std::vector<model::Run>> runs(const std::vector<JobId>& jobs,
                                       const RunAfter& after) override {
    const std::scoped_lock lock(store_.mutex_);
    std::vector<model::Run> page;
    const auto job = store_.jobs_.find(jobs.front());
    if (job == store_.jobs_.end()) return page;
    const auto& all = job->second.runs;
    auto it = after.job.empty() ? all.begin() : all.upper_bound({after.created_at, after.id});
    for (; it != all.end() && page.size() < kPage; ++it) {
      page.push_back(store_.runs_.at(it->second).run);
    }
    return page;
  }

  Result<std::vector<ArchivedLog>> logs(const std::vector<RunId>& runs,
                                        const LogAfter& after) override {
    const std::scoped_lock lock(store_.mutex_);
    auto at = after.run.empty() ? runs.begin() : std::ranges::find(runs, after.run);
    std::int64_t seq = after.seq;
    for (; at != runs.end(); ++at, seq = 0) {
      const auto run = store_.runs_.find(*at);
      if (run == store_.runs_.end()) continue;
      const auto& log = run->second.log;
      const auto first = std::ranges::upper_bound(log, seq, {}, &model::RunLogLine::seq);
      if (first == log.end()) continue;
      const auto count = std::min<std::ptrdiff_t>(log.end() - first, kPage);
      return std::vector{ArchivedLog{*at, {first, first + count}}};
    }
    return std::vector<ArchivedLog>();
  }

 private:
  MemoryStore& store_;
};

Result<std::unique_ptr<ArchiveReader>> MemoryStore::read_archive() {
  return walk_archive(std::make_unique<Pages>(*this));
}

Result<Instant> MemoryStore::begin_restore(const std::string& archive) {
  Write write(*this);
  const OwnerId owner = rules::restore_owner(archive);
  if (leader_.owner == owner) return leader_.acquired_at;
  if (rules::is_restore(leader_.owner)) return rules::other_restore(leader_.owner);
  if (!leader_.owner.empty() && leader_.until > clock_.boot_now()) {
    return rules::store_in_use(leader_.owner);
  }
  rules::Contents has;
  has.jobs = !jobs_.empty();
  has.connections = !connections_.empty();
  for (const auto& [id, w] : workspaces_) {
    has.workspaces = has.workspaces || id.str() != rules::kDefaultWorkspaceId;
  }
  for (const auto& [id, t] : tokens_) has.tokens = has.tokens || !rules::made_at_start(t);
  TG_CHECK(rules::check_empty(has));
  workspaces_.clear();
  tokens_.clear();
  keys_.clear();
  leader_ = {.owner = owner,
             .fence = rules::next_fence(leader_.fence, clock_.now()),
             .until = BootInstant::max(),
             .acquired_at = clock_.now()};
  return leader_.acquired_at;
}

Status MemoryStore::check_whole() {
  const std::scoped_lock lock(mutex_);
  return rules::check_whole(leader_.owner);
}

void MemoryStore::load_one(const ArchiveRecord& record) {
  std::visit(Overloaded{
                 [&](const model::Workspace& w) { workspaces_.try_emplace(w.id, w); },
                 [&](const model::Token& t) { tokens_.try_emplace(t.id, t); },
                 [&](const ArchivedFence& f) { leader_.fence = std::max(leader_.fence, f.fence); },
                 [&](const model::Connection& c) { connections_.try_emplace(c.id, c); },
                 [&](const model::SlotRecord& r) { jobs_[r.job].records.try_emplace(r.first, r); },
                 [&](const model::Run& run) {
                   if (!runs_.try_emplace(run.id, RunRow{.run = run}).second) return;
                   JobRow& row = jobs_[run.job];
                   row.runs.emplace(run.created_at, run.id);
                   if (run.scheduled_for) row.by_slot[*run.scheduled_for] = run.id;
                 },
                 [&](const ArchivedLog& log) {
                   RunRow& row = runs_.at(log.run);
                   for (const auto& line : log.lines) {
                     if (line.seq <= row.log_tail.seq) continue;
                     row.log.push_back(line);
                     row.log_tail.seq = line.seq;
                     row.log_tail.bytes += rules::log_bytes({&line, 1});
                   }
                 },
                 [&](const ArchivedJob& j) {
                   JobRow& row = jobs_[j.job.id];
                   if (!row.job.id.empty()) return;
                   row.job = j.job;
                   row.fence = j.fence;
                   row.deleted = j.deleted;
                   row.revisions[j.job.revision] = j.job.spec;
                 },
             },
             record);
}

Status MemoryStore::load_archive(std::span<const ArchiveRecord> records) {
  TG_CHECK(rules::check_loadable(records));
  Write write(*this);
  for (const ArchiveRecord& record : records) load_one(record);
  return {};
}

Status MemoryStore::end_restore(const std::string& archive) {
  Write write(*this);
  if (leader_.owner == rules::restore_owner(archive)) leader_.owner = OwnerId();
  for (const auto kind : {ChangeKind::Workspace, ChangeKind::Token, ChangeKind::Connection,
                          ChangeKind::Job, ChangeKind::Run}) {
    write.note(kind, "");
  }
  return {};
}

}  // namespace tidegate::store
