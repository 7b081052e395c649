#include "control/api/job_bodies.h"

#include "control/api/answer.h"
#include "control/model/job_json.h"

namespace tidegate::api {
namespace {

constexpr std::size_t kMaxEntries = 500;  // about 1.5 KB each; then all are dropped

}  // namespace

std::string JobBodies::body(const model::SyncJob& job) {
  const Version version{job.revision, job.run_count, job.next_slot, job.last_run_at,
                        job.pause.has_value()};
  {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(job.id);
    if (it != entries_.end() && it->second.version == version) return it->second.body;
  }
  std::string text = answer(model::to_json(job)).body;
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= kMaxEntries) entries_.clear();
  entries_.insert_or_assign(job.id, Entry{version, text});
  return text;
}

}  // namespace tidegate::api
