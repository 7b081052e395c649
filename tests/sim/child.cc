#include "tests/sim/child.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <memory>

namespace tidegate::sim {
namespace {

using protocol::ExitCode;
using worker::testing::ChildAct;
using worker::testing::ChildView;
using worker::testing::Script;

constexpr const char* kEntity = "t";
constexpr Millis kLeaseLook{100};
constexpr Millis kForEver{std::int64_t{24} * 3'600'000};
constexpr Millis kRowEvery{100};           // the source grows
constexpr std::int64_t kRowsOfLoad = 100;  // of a full_append

enum class Fate { Good, Transient, Data, Signal, Stalls, Hangs };

// One attempt.
class Child {
 public:
  Child(ChildWorld& world, const protocol::RunSpec& run, Fate fate)
      : world_(world),
        run_(run),
        lane_(lane_of(run)),
        replaces_(run.mode == protocol::SyncMode::Full),
        fate_(fate),
        commits_left_(replaces_ ? 1 : 1 + static_cast<int>(world.rng.below(3))),
        fails_before_(static_cast<int>(world.rng.below(3))) {}

  ChildAct act(const ChildView& view) {
    switch (phase_) {
      case Phase::Start:
        phase_ = Phase::Claim;
        return {.wait = some(500)};
      case Phase::Claim:
        return claim();
      case Phase::Work:
        if (view.cancelled) return ends(ExitCode::Cancelled, "cancelled");
        return work(view);
      case Phase::Check:
        if (view.cancelled) return ends(ExitCode::Cancelled, "cancelled");
        return check_lease(view);
      case Phase::Commit:
        return commit();
      case Phase::End:
        return ends(ExitCode::Done, {});
    }
    return {.wait = kForEver};
  }

 private:
  enum class Phase { Start, Claim, Work, Check, Commit, End };

  Millis some(std::int64_t most) {
    return Millis(1 +
                  static_cast<std::int64_t>(world_.rng.below(static_cast<std::uint64_t>(most))));
  }

  ChildAct claim() {
    if (!world_.destination.claim(lane_, run_.run_id, run_.fence)) {
      return ends(ExitCode::Fenced, "fenced");
    }
    const Lane& lane = world_.destination.lane(lane_);
    const auto known = run_.known_state.find(kEntity);
    // What is known of a full_append is of the run before, which has a lane of its own.
    const bool own = run_.mode != protocol::SyncMode::FullAppend;
    if (own && known != run_.known_state.end() && known->second.epoch == lane.epoch &&
        known->second.sequence > lane.sequence) {
      world_.report.violation(
          fmt::format("run {}: the store remembers commit {} of {}, and the "
                      "destination has {}",
                      run_.run_id.str(), known->second.sequence, lane_, lane.sequence));
    }
    epoch_ = std::max(lane.epoch, run_.reset_epoch);
    rows_ = epoch_ > lane.epoch ? 0 : lane.rows;
    phase_ = Phase::Work;
    return {.wait = some(world_.longest_work.count())};
  }

  // What it read is from now; the commit comes later.
  ChildAct work(const ChildView&) {
    if (fate_ != Fate::Good && fails_before_-- == 0) return fail_so();
    const std::int64_t source = world_.passed() / kRowEvery + 1;
    const std::int64_t most = run_.mode == protocol::SyncMode::FullAppend ? kRowsOfLoad : source;
    to_ = commits_left_ == 1 || replaces_ ? most : rows_ + (most - rows_) / commits_left_;
    phase_ = Phase::Check;
    ++progress_;
    ChildAct act{.wait = some(world_.longest_work.count())};
    act.says = {protocol::Progress{.entity = kEntity, .rows_read = progress_}};
    if (world_.rng.below(4) == 0) act.says.emplace_back(protocol::LogLine{.message = "read"});
    return act;
  }

  ChildAct fail_so() {
    switch (fate_) {
      case Fate::Transient:
        return ends(ExitCode::Retryable, "transient");
      case Fate::Data:
        return ends(ExitCode::Failed, "data");
      case Fate::Signal:
        return {.ends = true, .signal = SIGSEGV};
      default:
        return {.wait = kForEver};
    }
  }

  // A lost lease pauses it, and ends it after its patience.
  ChildAct check_lease(const ChildView& view) {
    if (!run_.lease_until || view.now < view.lease_until) {
      phase_ = Phase::Commit;
      return {.wait = some(20)};
    }
    if (view.now - view.lease_until > run_.patience) return ends(ExitCode::Fenced, "fenced");
    return {.wait = kLeaseLook};
  }

  ChildAct commit() {
    const bool last = commits_left_ == 1;
    if (!world_.destination.commit(lane_, run_.run_id, run_.fence,
                                   {.replaces = replaces_,
                                    .from = rows_,
                                    .to = to_,
                                    .epoch = epoch_,
                                    .completes = last})) {
      return ends(ExitCode::Fenced, "fenced");
    }
    rows_ = to_;
    phase_ = last ? Phase::End : Phase::Work;
    --commits_left_;
    ChildAct act{.wait = last ? some(50) : some(world_.longest_work.count())};
    protocol::KnownState known{.destination_id = "d",
                               .epoch = epoch_,
                               .sequence = world_.destination.lane(lane_).sequence,
                               .state = std::to_string(rows_)};
    act.says = {protocol::StateCommitted{.entity = kEntity, .state = std::move(known)}};
    return act;
  }

  ChildAct ends(ExitCode code, const std::string& kind) {
    protocol::RunResult result;
    result.code = code;
    if (!kind.empty()) {
      result.error_kind = kind;
      result.error = kind;
    } else {
      result.entities = {{.entity = kEntity, .outcome = protocol::EntityOutcome::Succeeded}};
    }
    return {.ends = true, .result = std::move(result)};
  }

  ChildWorld& world_;
  const protocol::RunSpec run_;
  const std::string lane_;
  const bool replaces_;
  const Fate fate_;
  Phase phase_ = Phase::Start;
  int commits_left_, fails_before_;
  std::int64_t epoch_ = 0, rows_ = 0, to_ = 0, progress_ = 0;
};

}  // namespace

std::string lane_of(const protocol::RunSpec& run) {
  return run.mode == protocol::SyncMode::FullAppend ? run.job + "/" + run.run_id.str() : run.job;
}

Script child_script(ChildWorld& world, const protocol::Request& request) {
  Fate fate = Fate::Good;
  if (world.rng.below(100) < static_cast<std::uint64_t>(world.fails_in_100)) {
    fate = static_cast<Fate>(1 + world.rng.below(5));
    world.report.bite(FaultKind::ChildFailure);
  }
  Script script;
  script.obeys_cancel = fate != Fate::Stalls && fate != Fate::Hangs;
  script.obeys_term = fate != Fate::Hangs;
  script.acts = [child = std::make_shared<Child>(world, request.run, fate)](const ChildView& view) {
    return child->act(view);
  };
  return script;
}

}  // namespace tidegate::sim
