#include "control/worker/finisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace tidegate::worker {
namespace {

constexpr std::size_t kEndsAtOnce = 256;
// Ends are gathered for so long while most runs go on: one write for many, and the processor for
// the starts. With few runs, or when many have ended, nothing waits.
constexpr Millis kGatherEnds{20};
constexpr std::size_t kManyEnds = 128;
constexpr std::size_t kRunsAtOnce = 16;     // whose logs are written in one step
constexpr std::size_t kLinesAtOnce = 1000;  // of one run in one write
constexpr std::size_t kManyLines = 200;     // not gathered any longer

bool log_is_written(const ActiveRun& run) { return run.log.empty() && !run.writing_log; }

}  // namespace

Finisher::Finisher(store::Store& store, RunTable& table, const Clock& clock,
                   const WorkerOptions& options)
    : store_(store),
      table_(table),
      clock_(clock),
      options_(options),
      trouble_("write the ends of runs", clock) {}

// ---- ends

std::vector<store::AttemptEnd> Finisher::collect_ends() {
  std::vector<ActiveRun*> ended;
  std::vector<store::AttemptEnd> ends;
  const std::lock_guard lock(table_.mutex);
  for (auto& [id, run] : table_.runs) {
    if (!run.end || run.lost || run.finishing || !log_is_written(run)) continue;
    ended.push_back(&run);
    if (ended.size() == kEndsAtOnce) break;
  }
  const BootInstant now = clock_.boot_now();
  if (!ended.empty() && !gathering_until_) gathering_until_ = now + kGatherEnds;
  const bool few = ended.size() < kManyEnds && ended.size() * 4 < table_.runs.size();
  if (few && gathering_until_ && now < *gathering_until_) return ends;
  gathering_until_.reset();
  for (ActiveRun* run : ended) {
    run->finishing = true;
    ends.push_back(*run->end);
    ends.back().committed = run->committed;
  }
  return ends;
}

// One for each. An end that the store cannot take must not undo the others: those runs would be
// orphans, and run again.
std::vector<Status> Finisher::write_ends(std::span<const store::AttemptEnd> ends) {
  auto statuses = store_.finish_attempts(ends);
  if (statuses && statuses->size() == ends.size()) return std::move(*statuses);
  const Error error = statuses ? Error{Code::Internal, "no answer", {}, {}} : statuses.error();
  std::vector<Status> out;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (ends.size() == 1 || error.code == Code::Unavailable) {
      out.emplace_back(fail(error));
    } else {
      out.push_back(std::move(write_ends(ends.subspan(i, 1)).front()));
    }
  }
  return out;
}

// A repeated end is harmless, and the lease is renewed meanwhile. An outage has an end; a store
// that answers and refuses (a privilege is missing) is given the time in which another worker would
// have taken the run: one that can never be written must not hold its job for ever.
bool Finisher::is_tried_again(ActiveRun& run, const Error& error) const {
  if (error.code == Code::Unavailable) return true;
  const BootInstant now = clock_.boot_now();
  if (!run.refused_since) run.refused_since = now;
  return now - *run.refused_since < options_.run_ttl;
}

Finisher::Step Finisher::finish_step() {
  const BootInstant now = clock_.boot_now();
  if (now < finish_at_) return {.wait = finish_at_ - now};
  const std::vector<store::AttemptEnd> ends = collect_ends();
  if (ends.empty() && gathering_until_) return {.wait = *gathering_until_ - now};
  if (ends.empty()) {
    if (!gave_up_) trouble_.forget();
    return {.wait = options_.reread};
  }
  const std::vector<Status> statuses = write_ends(ends);

  const std::lock_guard lock(table_.mutex);
  bool again = false, taken = false;
  const Status* trouble = nullptr;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const Status& status = statuses[i];
    ActiveRun* run = table_.find(ends[i].held.run);
    const bool refused = !status && status.error().code != Code::Fenced;
    taken = taken || !refused;
    if (refused) trouble = &status;
    if (refused && run != nullptr && is_tried_again(*run, status.error())) {
      run->finishing = false;
      again = true;
      continue;
    }
    gave_up_ = gave_up_ || refused;
    if (!status) {
      log::warn("the end of a run was not taken",
                {{"run", ends[i].held.run.str()}, {"error", describe(status.error())}});
    }
    table_.remove(ends[i].held.run);
  }
  if (again) finish_at_ = clock_.boot_now() + options_.retry_store;
  if (taken) gave_up_ = false;
  trouble_.note(taken || trouble == nullptr ? Status() : *trouble);
  return {.wait = again ? options_.retry_store : kAtOnce, .changed = true};
}

// ---- logs

std::vector<Finisher::Lines> Finisher::collect_lines(Millis& wait) {
  const BootInstant now = clock_.boot_now();
  std::vector<Lines> found;
  const std::lock_guard lock(table_.mutex);
  for (const bool ended : {true, false}) {
    for (auto& [id, run] : table_.runs) {
      if (run.end.has_value() != ended || run.lost || run.writing_log || run.log.empty()) continue;
      const Millis age = now - run.log_since.value_or(now);
      if (!ended && age < options_.log_delay && run.log.size() < kManyLines) {
        wait = std::min(wait, options_.log_delay - age);
        continue;
      }
      if (found.size() == kRunsAtOnce) {
        wait = kAtOnce;
        return found;
      }
      const auto end =
          run.log.begin() + static_cast<std::ptrdiff_t>(std::min(run.log.size(), kLinesAtOnce));
      found.push_back(
          {run.held(), {std::make_move_iterator(run.log.begin()), std::make_move_iterator(end)}});
      run.log.erase(run.log.begin(), end);
      if (run.log.empty()) run.log_since.reset();
      if (const std::size_t dropped = std::exchange(run.log_dropped, 0); dropped > 0) {
        found.back().lines.push_back(
            {.seq = 0,
             .at = run.store_time(now),
             .attempt = run.claimed.run.attempt,
             .level = LogLevel::Warn,
             .entity = {},
             .message = fmt::format("{} lines were dropped: they came faster than they could be "
                                    "stored",
                                    dropped)});
      }
      run.writing_log = true;
    }
  }
  return found;
}

Finisher::Step Finisher::log_step() {
  const BootInstant now = clock_.boot_now();
  if (now < log_at_) return {.wait = log_at_ - now};
  Step step{.wait = options_.reread};
  const std::vector<Lines> found = collect_lines(step.wait);
  for (const Lines& lines : found) {
    after_log(lines, store_.append_log(lines.held, lines.lines, options_.max_log_bytes));
    step.changed = true;
  }
  if (clock_.boot_now() < log_at_) step.wait = std::max(step.wait, log_at_ - clock_.boot_now());
  return step;
}

void Finisher::after_log(const Lines& written, const Status& status) {
  const std::lock_guard lock(table_.mutex);
  ActiveRun* run = table_.find(written.held.run);
  if (run == nullptr || run->held().fence != written.held.fence) return;
  run->writing_log = false;
  if (status) return;
  if (status.error().code == Code::Fenced) {
    if (run->finishing) return;
    run->lost = true;
    table_.changed.push_back(written.held.run);
  } else if (status.error().code == Code::Unavailable) {
    run->log.insert(run->log.begin(), written.lines.begin(), written.lines.end());
    run->log_since = clock_.boot_now();
    log_at_ = clock_.boot_now() + options_.retry_store;
  } else {
    log::warn("log lines of a run were not taken",
              {{"run", written.held.run.str()}, {"error", describe(status.error())}});
  }
}

}  // namespace tidegate::worker
