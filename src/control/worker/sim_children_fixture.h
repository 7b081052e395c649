#pragma once
// Test only: the clocks of a simulation, and children by script.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "control/launch/launcher.h"

namespace tidegate::worker::testing {

// One machine's clocks. Time stands still until it is moved; wall and boot time move together
// unless the wall is stepped.
class VirtualClock final : public Clock {
 public:
  explicit VirtualClock(Instant start) : wall_(start), passed_(std::make_shared<Millis>(0)) {}
  // Another machine's: the same time passes on it, and its clocks show another one.
  VirtualClock(const VirtualClock& other, Millis wall_ahead, Millis boot_ahead)
      : wall_(other.wall_ + wall_ahead), boot_(other.boot_ + boot_ahead), passed_(other.passed_) {}

  Instant now() const override { return wall_ + *passed_; }
  BootInstant boot_now() const override { return boot_ + *passed_; }
  Millis passed() const { return *passed_; }   // since the first clock was made
  void advance(Millis by) { *passed_ += by; }  // on every machine
  void step_wall(Millis by) { wall_ += by; }

 private:
  Instant wall_;
  BootInstant boot_{Millis(1'000'000)};
  std::shared_ptr<Millis> passed_;
};

// A child that acts by itself: what it sees, and what it does until it acts again.
struct ChildView {
  BootInstant now, lease_until;
  bool cancelled = false;
};
struct ChildAct {
  Millis wait{0};
  std::vector<protocol::Event> says;
  bool ends = false;
  std::optional<protocol::RunResult> result = {};  // ends with its code
  int signal = 0;                                  // ends by it
};

// What a child does in its life.
struct Script {
  Millis runs_for{1'000};
  Millis progress_every{0};    // 0: none
  bool progresses = true;      // false: it reports the same numbers again and again
  protocol::RunResult result;  // at the end
  int signal = 0;              // ends by it instead, with no result
  bool obeys_cancel = true, obeys_term = true;
  std::optional<Error> not_started;
  std::vector<protocol::Event> says;  // right after the start
  // Instead of runs_for, progress and result: called at the start, when the time it gave has passed
  // and when it is cancelled.
  std::function<ChildAct(const ChildView&)> acts = {};
};
using ScriptFor = std::function<Script(const protocol::Request&)>;

// Children of one worker, by script.
class FakeLauncher final : public launch::Launcher {
 public:
  FakeLauncher(const VirtualClock& clock, const ScriptFor& script)
      : clock_(clock), script_(script) {}

  launch::LaunchId start(const protocol::Request& request) override;
  void renew(launch::LaunchId id, BootInstant until) override;
  void cancel(launch::LaunchId id) override;
  void terminate(launch::LaunchId id) override;
  void kill(launch::LaunchId id) override;
  std::vector<launch::LaunchEvent> poll() override;
  void on_ready(std::function<void()>) override {}

  void live();  // children do what is due, whether or not their worker looks
  std::optional<BootInstant> next_due() const;  // when one has something to do
  BootInstant boot_now() const { return clock_.boot_now(); }
  bool has_events() const { return !events_.empty(); }
  bool has_children() const { return !children_.empty(); }
  void crash();         // the worker was killed, and they with it (PR_SET_PDEATHSIG)
  bool crash_child();   // the oldest ends by a signal; false: there is none
  bool frozen = false;  // all children are stopped

  // What was asked of the children, in order: "start 1", "cancel 1", "term 1", "kill 1".
  const std::vector<std::string>& calls() const { return calls_; }
  const std::vector<protocol::Request>& requests() const { return requests_; }
  BootInstant lease_until(std::uint64_t child) const { return leases_.at(child); }
  struct Living {
    const protocol::RunSpec& run;
    BootInstant lease_until;  // as it was told
  };
  std::vector<Living> living() const;

 private:
  struct ChildState {
    Script script;
    protocol::RunSpec run;
    BootInstant ends_at, progress_at;  // ends_at: of one with `acts`, when it acts
    std::int64_t rows = 0;
    bool cancelled = false;
  };
  void act(std::uint64_t id);
  void end(std::uint64_t id, int signal, std::optional<protocol::RunResult> result);

  const VirtualClock& clock_;
  const ScriptFor& script_;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, ChildState> children_;
  std::map<std::uint64_t, BootInstant> leases_;
  std::vector<launch::LaunchEvent> events_;
  std::vector<std::string> calls_;
  std::vector<protocol::Request> requests_;
};

}  // namespace tidegate::worker::testing
