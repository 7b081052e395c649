#include "control/worker/lease_keeper.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace tidegate::worker {
namespace {

// Hints come with every write of progress; a request to cancel is seen within this time.
constexpr Millis kLookEvery{250};

}  // namespace

LeaseKeeper::LeaseKeeper(store::Store& store, RunTable& table, launch::Launcher& launcher,
                         const Clock& clock, OwnerId owner, const WorkerOptions& options)
    : store_(store),
      table_(table),
      launcher_(launcher),
      clock_(clock),
      owner_(std::move(owner)),
      options_(options),
      trouble_("renew run leases", clock) {}

void LeaseKeeper::hint(const std::string& run) {
  const std::lock_guard lock(hints_mutex_);
  hints_.insert(run);
}

LeaseKeeper::Step LeaseKeeper::step() {
  Step step;
  if (clock_.boot_now() >= renew_at_) {
    step.changed = renew();
  }
  bool hints_wait = false;
  if (clock_.boot_now() >= look_at_) {
    step.changed = look_at_hints() || step.changed;
  } else {
    const std::lock_guard lock(hints_mutex_);
    hints_wait = !hints_.empty();
  }
  const BootInstant now = clock_.boot_now();
  step.wait = renew_at_ - now;
  if (hints_wait) step.wait = std::min(step.wait, look_at_ - now);
  step.wait = std::max(step.wait, kAtOnce);
  return step;
}

std::vector<store::Renewal> LeaseKeeper::collect() {
  std::vector<store::Renewal> renewals;
  const std::lock_guard lock(table_.mutex);
  for (auto& [id, run] : table_.runs) {
    if (run.lost) continue;
    store::Renewal renewal{.held = run.held(), .progress = {}, .committed = run.committed};
    if (std::exchange(run.progress_changed, false)) renewal.progress = run.progress;
    renewals.push_back(std::move(renewal));
  }
  return renewals;
}

bool LeaseKeeper::renew() {
  const BootInstant sent_at = clock_.boot_now();
  renew_at_ = sent_at + options_.run_renew;
  const std::vector<store::Renewal> renewals = collect();
  if (renewals.empty()) {
    trouble_.forget();
    return false;
  }
  auto outcomes = store_.renew_runs(owner_, options_.run_ttl, renewals);
  trouble_.note(outcomes ? Status() : fail(outcomes.error()));
  if (outcomes) return take(renewals, *outcomes, sent_at);
  // Nothing is known to be lost. The children pause before their next commit when their lease ends.
  renew_at_ = clock_.boot_now() + options_.retry_store;
  const std::lock_guard lock(table_.mutex);
  for (const store::Renewal& renewal : renewals) {
    ActiveRun* run = table_.find(renewal.held.run);
    if (run != nullptr && !renewal.progress.empty()) run->progress_changed = true;
  }
  return false;
}

bool LeaseKeeper::take(const std::vector<store::Renewal>& sent,
                       const std::vector<store::RenewOutcome>& outcomes, BootInstant sent_at) {
  const BootInstant until = sent_at + options_.run_ttl - options_.lease_margin;
  bool changed = false;
  const std::lock_guard lock(table_.mutex);
  for (std::size_t i = 0; i < sent.size() && i < outcomes.size(); ++i) {
    ActiveRun* run = table_.find(sent[i].held.run);
    if (run == nullptr || run->held().fence != sent[i].held.fence) continue;
    if (!outcomes[i].held) {
      // The write of its end decides, when that is under way: it may be the reason.
      if (run->finishing) continue;
      run->lost = true;
    } else {
      const auto acknowledged = static_cast<std::ptrdiff_t>(sent[i].committed.size());
      run->committed.erase(run->committed.begin(), run->committed.begin() + acknowledged);
      if (!run->end) launcher_.renew(run->launch, until);
      if (!outcomes[i].cancel_requested || run->claimed.run.cancel_requested) continue;
      run->claimed.run.cancel_requested = true;
    }
    table_.changed.push_back(sent[i].held.run);
    changed = true;
  }
  return changed;
}

bool LeaseKeeper::look_at_hints() {
  std::set<std::string> hints;
  {
    const std::lock_guard lock(hints_mutex_);
    hints.swap(hints_);
  }
  if (hints.empty()) return false;
  look_at_ = clock_.boot_now() + kLookEvery;
  std::vector<std::pair<WorkspaceId, store::HeldRun>> asked;
  {
    const std::lock_guard lock(table_.mutex);
    for (const auto& [id, run] : table_.runs) {
      if (run.end || run.lost || run.claimed.run.cancel_requested) continue;
      if (hints.contains("") || hints.contains(id.str())) {
        asked.emplace_back(run.claimed.run.workspace, run.held());
      }
    }
  }
  bool changed = false;
  for (const auto& [workspace, held] : asked) {
    auto stored = store_.get_run(workspace, held.run);
    if (!stored || stored->fence != held.fence || !stored->cancel_requested) continue;
    const std::lock_guard lock(table_.mutex);
    ActiveRun* run = table_.find(held.run);
    if (run == nullptr) continue;
    run->claimed.run.cancel_requested = true;
    table_.changed.push_back(held.run);
    changed = true;
  }
  return changed;
}

}  // namespace tidegate::worker
