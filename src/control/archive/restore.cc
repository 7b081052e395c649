#include "control/archive/restore.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/archive/check.h"
#include "control/plan/plan.h"

namespace tidegate::archive {
namespace {

constexpr std::string_view kBy = "tidegate restore";
constexpr std::size_t kBatch = 250;  // records of one step
// A server that was not seen for so long is gone.
constexpr Millis kSeenWithin{60'000};

std::string note_of(Instant made_at, const std::optional<model::Pause>& before) {
  std::string note = fmt::format("restored from backup of {}; resume when the old server is off",
                                 format_utc(made_at));
  if (before) note += fmt::format(" (was paused before by {}: {})", before->by, before->note);
  return note;
}

Status check_servers(store::Store& store) {
  TG_TRY(const auto workers, store.list_workers(kSeenWithin));
  if (workers.empty()) return {};
  std::vector<FieldError> seen;
  for (const auto& w : workers) {
    seen.push_back({fmt::format("worker {}", w.id.str()),
                    fmt::format("on {} (pid {}), seen at {}", w.host, w.pid, format_utc(w.seen_at)),
                    std::nullopt});
  }
  return fail(Error{Code::Conflict,
                    "servers work on this store; stop them first (one that was killed is forgotten "
                    "after a minute). Nothing was changed",
                    "store_in_use", std::move(seen)});
}

// Gives records to the store in batches.
class Loader {
 public:
  Loader(store::Store& store, const Progress& progress) : store_(store), progress_(progress) {}
  std::vector<store::ArchiveRecord>& batch() { return batch_; }
  Status flush_when(std::size_t size) {
    if (batch_.size() < size || batch_.empty()) return {};
    TG_CHECK(store_.load_archive(batch_));
    loaded_ += std::ssize(batch_);
    batch_.clear();
    return progress_(loaded_);
  }

 private:
  store::Store& store_;
  const Progress& progress_;
  std::vector<store::ArchiveRecord> batch_;
  std::int64_t loaded_ = 0;
};

}  // namespace

void Transform::end(model::Run& run) {
  const bool running = run.state == model::RunState::Running;
  run.state = model::RunState::Cancelled;
  run.error_kind = model::error_kind::kRestored;
  run.error =
      fmt::format("was {} when the backup of {} was made; what became of it then is not known here",
                  running ? "running" : "queued", format_utc(made_at_));
  run.finished_at = now_;
  run.owner = OwnerId();
  run.exclusive_key.clear();
  if (!run.attempts.empty() && !run.attempts.back().finished_at) {
    model::Attempt& attempt = run.attempts.back();
    attempt.finished_at = now_;
    attempt.outcome = model::kRunStateNames[static_cast<std::size_t>(run.state)];
    attempt.error_kind = run.error_kind;
    attempt.error = run.error;
  }
  ++ended_;
}

Status Transform::settle(store::ArchivedJob& j, const Facts& facts,
                         std::vector<store::ArchiveRecord>& out) {
  j.fence = std::max(j.fence, facts.fence);
  model::SyncJob& job = j.job;
  job.run_count += facts.ended;
  if (j.deleted) return {};
  TG_TRY(auto schedule, plan::after_restore(job, facts.newest_slot, now_));
  job.next_slot = schedule.next_slot;
  for (auto& record : schedule.skipped) {
    missed_ += record.count;
    out.emplace_back(std::move(record));
  }
  job.pause = model::Pause{.note = note_of(made_at_, job.pause),
                           .until = std::nullopt,
                           .since = now_,
                           .by = std::string(kBy)};
  job.revision += 1;
  job.updated_at = now_;
  ++paused_;
  return {};
}

Status Transform::apply(store::ArchiveRecord record, std::vector<store::ArchiveRecord>& out) {
  if (auto* run = std::get_if<model::Run>(&record)) {
    Facts& facts = facts_[run->job];
    facts.fence = std::max(facts.fence, run->fence);
    facts.newest_slot = std::max(facts.newest_slot, run->scheduled_for);
    if (!model::is_terminal(run->state)) {
      end(*run);
      ++facts.ended;
    }
  } else if (const auto* slots = std::get_if<model::SlotRecord>(&record)) {
    Facts& facts = facts_[slots->job];
    facts.newest_slot = std::max(facts.newest_slot, std::optional(slots->last));
  } else if (auto* job = std::get_if<store::ArchivedJob>(&record)) {
    const auto facts = facts_.extract(job->job.id);
    TG_CHECK(settle(*job, facts ? facts.mapped() : Facts(), out));
  }
  out.push_back(std::move(record));
  return {};
}

Result<CheckedBackup> check_backup(const std::string& path, const secrets::KeyRing& keys) {
  TG_TRY(auto file, FileReader::open(path));
  Check check(&keys);
  TG_TRY(auto frame, file.read([&](const store::ArchiveRecord& record, const Header&) {
    check.see(record);
    return Status();
  }));
  TG_CHECK(check.finish());
  return CheckedBackup{std::move(file), std::move(frame)};
}

Result<RestoreReport> restore(store::Store& store, CheckedBackup& backup,
                              const Progress& progress) {
  const auto& [header, trailer] = backup.frame;
  TG_CHECK(check_servers(store));
  TG_CHECK(progress(0));

  const std::string& id = trailer.sha256;
  TG_TRY(const Instant at, store.begin_restore(id));
  Transform transform(header.created_at, at);
  Loader loader(store, progress);
  TG_TRY(const auto again,
         backup.file.read([&](store::ArchiveRecord record, const Header&) -> Status {
           TG_CHECK(transform.apply(std::move(record), loader.batch()));
           return loader.flush_when(kBatch);
         }));
  if (again.trailer.sha256 != id) {
    return fail(Code::Internal,
                "the backup was changed while it was restored; empty the store and "
                "start again with a file that nobody writes");
  }
  TG_CHECK(loader.flush_when(0));
  TG_CHECK(store.end_restore(id));
  return RestoreReport{.header = header,
                       .trailer = trailer,
                       .at = at,
                       .ended_runs = transform.ended_runs(),
                       .paused_jobs = transform.paused_jobs(),
                       .missed_slots = transform.missed_slots()};
}

}  // namespace tidegate::archive
