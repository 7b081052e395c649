#pragma once
// Test only: workers, their store and their children under a virtual clock, on one thread.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "control/launch/launcher.h"
#include "control/worker/claim_loop.h"
#include "control/worker/faulty_store.h"
#include "control/worker/finisher.h"
#include "control/worker/leader_loop.h"
#include "control/worker/lease_keeper.h"
#include "control/worker/options.h"
#include "control/worker/run_supervisor.h"
#include "control/worker/run_table.h"

namespace tidegate::worker::testing {

// Stands still until it is moved; wall and boot time move together unless the wall is stepped.
class VirtualClock final : public Clock {
 public:
  explicit VirtualClock(Instant start) : wall_(start) {}
  Instant now() const override { return wall_; }
  BootInstant boot_now() const override { return boot_; }
  void advance(Millis by) {
    wall_ += by;
    boot_ += by;
  }
  void step_wall(Millis by) { wall_ += by; }

 private:
  Instant wall_;
  BootInstant boot_{Millis(1'000'000)};
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

  std::optional<BootInstant> next_event() const;
  bool has_children() const { return !children_.empty(); }
  void crash() { children_.clear(); }  // PR_SET_PDEATHSIG
  // What was asked of the children, in order: "start 1", "cancel 1", "term 1", "kill 1".
  const std::vector<std::string>& calls() const { return calls_; }
  const std::vector<protocol::Request>& requests() const { return requests_; }
  BootInstant lease_until(std::uint64_t child) const { return leases_.at(child); }

 private:
  struct ChildState {
    Script script;
    BootInstant ends_at, progress_at;
    std::int64_t rows = 0;
  };
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

// The steps of one worker process.
struct SimWorker {
  SimWorker(FaultyStore& store, VirtualClock& clock, Rng& rng, const ScriptFor& script,
            const EndpointResolver& resolve, const WorkerOptions& worker_options);
  ~SimWorker() { crash(); }
  Millis step();  // all of them once
  void crash();   // kill -9

  WorkerOptions options;
  OwnerId id;
  FakeLauncher launcher;
  RunTable table;
  LeaderLoop leader;
  ClaimLoop claims;
  LeaseKeeper keeper;
  RunSupervisor supervisor;
  Finisher finisher;
  std::unique_ptr<store::Subscription> subscription;
  bool hinted = false, frozen = false, dead = false;
  BootInstant wake_at;
};

// A test with one store, one clock and any number of workers.
class Simulation : public ::testing::Test {
 protected:
  Simulation();

  SimWorker& add_worker();
  // Lets time pass; workers and children act when they are due.
  void run_for(Millis span) { run_until(clock_.now() + span); }
  void run_until(Instant end);

  // A job that is due every `interval`, first at start_ + interval.
  JobId add_job(Seconds interval, const std::function<void(model::SyncJob&)>& change = {});
  std::vector<model::Run> runs(const JobId& job);  // oldest first
  model::SyncJob job(const JobId& id);
  std::string outcomes(const JobId& job);  // states of the runs, oldest first, by blanks
  std::vector<model::LedgerEntry> ledger(const JobId& job);  // oldest first
  RunId trigger(const JobId& job);

  Instant start_;
  VirtualClock clock_;
  SeededRng rng_{7};
  FaultyStore store_;
  WorkspaceId ws_;
  ScriptFor script_ = [](const protocol::Request&) { return Script{}; };
  EndpointResolver resolve_;
  WorkerOptions options_;
  std::vector<std::unique_ptr<SimWorker>> workers_;
  int jobs_ = 0;
};

}  // namespace tidegate::worker::testing
