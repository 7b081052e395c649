#include "control/worker/claim_loop.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "control/worker/attempt_log.h"
#include "control/worker/run_request.h"

namespace tidegate::worker {
namespace {

constexpr std::size_t kClaimAtOnce = 256;

}  // namespace

ClaimLoop::ClaimLoop(store::Store& store, RunTable& table, launch::Launcher& launcher,
                     const Clock& clock, OwnerId owner, const EndpointResolver& resolve,
                     std::function<bool()> may_execute, const WorkerOptions& options)
    : store_(store),
      table_(table),
      launcher_(launcher),
      clock_(clock),
      owner_(std::move(owner)),
      resolve_(resolve),
      may_execute_(std::move(may_execute)),
      options_(options),
      trouble_("claim runs", clock) {}

std::size_t ClaimLoop::take_places() {
  if (!may_execute_()) return 0;
  const std::lock_guard lock(table_.mutex);
  const auto limit = static_cast<std::size_t>(std::max(0, options_.max_concurrent_runs));
  if (table_.draining || table_.runs.size() >= limit) return 0;
  table_.claiming = true;
  return limit - table_.runs.size();
}

Millis ClaimLoop::step() {
  const std::size_t places = take_places();
  const Millis wait = claim(places);
  const std::lock_guard lock(table_.mutex);
  table_.claiming = false;
  return wait;
}

Millis ClaimLoop::claim(std::size_t places) {
  const BootInstant sent = clock_.boot_now();
  const bool more_places = places > free_before_;
  free_before_ = places;
  if (places == 0) {
    trouble_.forget();
    return options_.reread;
  }
  if (!hinted_.load() && !more_places && sent < look_at_) return look_at_ - sent;

  hinted_.store(false);  // before the look: a hint during it must not be lost
  const std::size_t most = std::min(places, kClaimAtOnce);
  auto claim = store_.claim_runs({.owner = owner_, .max = most, .lease_ttl = options_.run_ttl});
  trouble_.note(claim ? Status() : fail(claim.error()));
  if (!claim) {
    look_at_ = sent + options_.retry_store;
    return options_.retry_store;
  }
  const std::size_t claimed = claim->runs.size();
  for (store::ClaimedRun& run : claim->runs) begin(std::move(run), sent);
  free_before_ = places - claimed;
  // A full batch leaves more behind; otherwise the next one is known or told.
  Millis wait = options_.reread;
  if (claimed == most && places > claimed) {
    wait = kAtOnce;
  } else if (claim->next) {
    // By the store's clock: this machine's may show another time.
    const auto now = store_.now();
    wait = now ? std::clamp(*claim->next - *now, kAtOnce, options_.reread) : options_.retry_store;
  }
  look_at_ = clock_.boot_now() + wait;
  return wait;
}

void ClaimLoop::begin(store::ClaimedRun claimed, BootInstant sent) {
  const RunId id = claimed.run.id;
  ActiveRun run;
  run.claimed = std::move(claimed);
  run.started_at = run.active_at = clock_.boot_now();
  for (auto& line : another_began(run.claimed.run, run.store_time(run.started_at)))
    run.log.push_back(std::move(line));
  if (!run.log.empty()) run.log_since = run.started_at;
  const BootInstant lease_until = sent + options_.run_ttl - options_.lease_margin;
  auto request = run_request(run.claimed, lease_until, resolve_, options_, run.masker);

  const std::lock_guard lock(table_.mutex);
  // This server was frozen, lost the run and was quicker to claim it again than to see that.
  if (const ActiveRun* old = table_.find(id); old != nullptr) {
    if (!old->end) launcher_.kill(old->launch);
    table_.remove(id);  // what the old child still says is nobody's
  }
  table_.changed.push_back(id);  // its deadlines are new to the supervisor
  if (request) {
    run.launch = launcher_.start(*request);
    table_.by_launch[static_cast<std::uint64_t>(run.launch)] = id;
  } else {
    run.end = configuration_failure(run.held(), request.error());
  }
  table_.runs.insert_or_assign(id, std::move(run));
}

}  // namespace tidegate::worker
