#pragma once
// One simulated life: workers on machines of their own, one store, one destination, people; under
// faults that a seed decides. When the faults stop, everything due must resolve.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/worker/sim_fixture.h"
#include "tests/sim/child.h"
#include "tests/sim/recording_store.h"
#include "tests/sim/scenario.h"

namespace tidegate::sim {

// Bounds that hold when the faults have stopped.
inline constexpr Millis kLedWithin{10'000};        // somebody leads
inline constexpr Millis kPlannedWithin{20'000};    // and no slot is due any more
inline constexpr Millis kProgressWithin{120'000};  // while runs are left, another one ends

class World {
 public:
  explicit World(std::uint64_t seed);
  Report live();  // once

 private:
  // One start of a server process.
  struct Process {
    Process(const std::shared_ptr<RecordingStore>& store, const worker::testing::VirtualClock& at)
        : clock(at), view(store) {}
    worker::testing::VirtualClock clock;
    worker::testing::FaultyStore view;
    worker::testing::ScriptFor script;
    worker::testing::SimWorker* worker = nullptr;
    Millis thaws_at{0};
    std::optional<Millis> failing_since;  // calls of its leader loop
    bool leader_call_fails = false;       // the one that is under way
    Millis no_orphans_before{0};          // an outage that lasted had just ended
  };
  using Act = std::function<void()>;

  bool faulty() const { return passed() < faults_end_; }
  Millis passed() const { return clock_.passed(); }
  Millis some(Millis least, Millis most) { return span(rng_, least, most); }
  void violation(const std::string& what);

  // world.cc
  void build();
  void start_process(const worker::testing::VirtualClock& at);
  void live_until(Millis end);
  void look(worker::testing::SimWorker& worker);
  void quieten();

  // faults.cc
  void plan_faults();
  void anywhen(int times, const Act& act);
  worker::testing::Fault gate(Process& process, std::string_view method);
  worker::testing::Fault call_fault();
  bool answer(Process& process, std::string_view method);
  void note_failure(Process& process);
  void pass_time(Process& process);
  void wait_until(Process& process, Millis until);
  void freeze(Process& process, bool children);
  void feed(const store::Change& change, const store::ChangeHandler& handler);
  void crash(Process& process);
  void drain(Process& process);
  Process* any_process();  // one that lives; null: none does

  // people.cc
  worker::testing::Fault people_gate();
  void add_job();
  void do_something();
  void edit_job(const model::SyncJob& job);
  template <class F>
  void until_answered(F&& call);
  std::optional<model::SyncJob> any_job();

  // outcome.cc
  void check_leader();
  void check_planned();
  void resolve();
  void check_books();
  void check_run(const model::Run& run);
  void check_counters(const model::SyncJob& job, const std::vector<model::Run>& runs);
  std::vector<model::Run> runs(const JobId& job);
  std::vector<model::LedgerEntry> ledger(const JobId& job);

  SeededRng rng_;
  Scenario scenario_;
  Report report_;
  worker::testing::VirtualClock clock_;  // true time, and the store's
  Destination destination_;
  ChildWorld children_;
  std::shared_ptr<RecordingStore> store_;
  worker::testing::FaultyStore people_;
  worker::testing::Stage stage_{clock_};
  worker::EndpointResolver resolve_;
  std::deque<Process> processes_;
  WorkspaceId ws_;
  Millis faults_end_{0};
  Millis away_until_{0};  // the store
  int jobs_made_ = 0;
};

}  // namespace tidegate::sim
