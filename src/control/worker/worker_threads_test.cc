// The Worker service with real threads and timers over the memory store. Nothing here asserts a
// duration; waits are on signals.

#include <gtest/gtest.h>

#include <condition_variable>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

#include "control/store/memory/memory_store.h"
#include "control/worker/faulty_store.h"
#include "control/worker/worker.h"

namespace tidegate::worker {
namespace {

// Ends every child at once, or holds it until told.
class InstantLauncher final : public launch::Launcher {
 public:
  explicit InstantLauncher(bool hold = false, bool talks = false) : hold_(hold), talks_(talks) {}

  launch::LaunchId start(const protocol::Request&) override {
    const std::lock_guard lock(mutex_);
    const launch::LaunchId id{++last_};
    events_.push_back({id, protocol::Event(protocol::Started{})});
    if (talks_) events_.push_back({id, protocol::Event(protocol::LogLine{.message = "hello"})});
    if (hold_) {
      held_.insert(last_);
    } else {
      end(id, protocol::ExitCode::Done);
    }
    if (ready_) ready_();
    return id;
  }
  void renew(launch::LaunchId, BootInstant) override {}
  void cancel(launch::LaunchId id) override {
    const std::lock_guard lock(mutex_);
    if (held_.erase(static_cast<std::uint64_t>(id)) == 0) return;
    end(id, protocol::ExitCode::Cancelled);
    if (ready_) ready_();
  }
  void terminate(launch::LaunchId) override {}
  void kill(launch::LaunchId id) override { cancel(id); }
  std::vector<launch::LaunchEvent> poll() override {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }
  void on_ready(std::function<void()> ready) override {
    const std::lock_guard lock(mutex_);
    ready_ = std::move(ready);
  }

 private:
  void end(launch::LaunchId id, protocol::ExitCode code) {
    protocol::RunResult result;
    result.code = code;
    events_.push_back({id, protocol::Event(result)});
    events_.push_back({id, launch::Exit{.code = static_cast<int>(code)}});
  }

  const bool hold_, talks_;
  std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::set<std::uint64_t> held_;
  std::vector<launch::LaunchEvent> events_;
  std::function<void()> ready_;
};

class WorkerService : public ::testing::Test {
 protected:
  WorkerService() : store_(store::make_memory_store(clock_)) {
    ws_ = store_->find_workspace("default")->id;
    for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
      model::Connection c;
      c.workspace = ws_;
      c.kind = kind;
      c.name = model::kConnectionKindNames[static_cast<std::size_t>(kind)];
      c.id = ConnectionId(c.name);
      c.type = "file";
      EXPECT_TRUE(store_->create_connection(c, {}));
    }
    changes_ = store_->watch([this](const store::Change&) {
      const std::lock_guard lock(mutex_);
      ++seen_;
      changed_.notify_all();
    });
    options_.drain = Millis(50);
  }

  JobId add_job(int n, model::Schedule schedule, std::optional<Instant> next) {
    model::SyncJob job;
    job.id = JobId("job-" + std::to_string(n));
    job.workspace = ws_;
    job.spec.name = job.id.str();
    job.spec.source_id = ConnectionId("source");
    job.spec.destination_id = ConnectionId("destination");
    job.spec.schedule = std::move(schedule);
    job.next_slot = next;
    EXPECT_TRUE(store_->create_job(job, {}));
    return job.id;
  }

  // Looks again after every change of the store until it holds.
  template <class F>
  void wait_until(F&& holds) {
    std::uint64_t seen = 0;
    while (!holds()) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return seen_ != seen; });
      seen = seen_;
    }
  }
  std::size_t count(model::RunState state) {
    auto listed = store_->list_runs({.workspace = ws_, .state = state, .page = {.limit = 1}});
    return listed ? static_cast<std::size_t>(listed->total) : 0;
  }
  std::unique_ptr<Worker> make(launch::Launcher& launcher) { return make(launcher, *store_); }
  std::unique_ptr<Worker> make(launch::Launcher& launcher, store::Store& store) {
    return std::make_unique<Worker>(
        store, clock_, rng_, launcher,
        [](const model::Connection& c) -> Result<protocol::Endpoint> {
          return protocol::Endpoint{c.type, c.config};
        },
        options_);
  }

  SystemClock clock_;
  SystemRng rng_;
  std::shared_ptr<store::Store> store_;
  WorkspaceId ws_;
  WorkerOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t seen_ = 0;  // guarded by mutex_
  std::unique_ptr<store::Subscription> changes_;
};

TEST_F(WorkerService, DueSlotsOfManyJobsRunOnce) {
  constexpr int kJobs = 200;
  const Instant due = std::chrono::floor<Seconds>(clock_.now());
  for (int i = 0; i < kJobs; ++i) add_job(i, model::AtSchedule{due}, due);
  InstantLauncher launcher;
  auto worker = make(launcher);
  ASSERT_TRUE(worker->start());
  wait_until([&] { return count(model::RunState::Succeeded) == kJobs; });
  EXPECT_TRUE(worker->health().leading);
  worker->stop();
  EXPECT_EQ(worker->stats().attempts_ended, static_cast<std::uint64_t>(kJobs));
  EXPECT_EQ(worker->stats().planner.runs_planned, static_cast<std::uint64_t>(kJobs));
  auto runs = store_->list_runs({.workspace = ws_, .page = {.limit = 1}});
  ASSERT_TRUE(runs);
  EXPECT_EQ(runs->total, kJobs);
}

TEST_F(WorkerService, ATriggerAndACancelTakeEffectWithoutARestart) {
  InstantLauncher launcher(true);
  auto worker = make(launcher);
  ASSERT_TRUE(worker->start());
  const JobId id = add_job(1, std::monostate{}, std::nullopt);
  const RunId run = new_id<RunId>(clock_, rng_);
  ASSERT_TRUE(store_->trigger_run({.workspace = ws_, .job = id, .run = run}));
  wait_until([&] { return count(model::RunState::Running) == 1; });
  ASSERT_TRUE(store_->request_cancel(ws_, run, {}));
  wait_until([&] { return count(model::RunState::Cancelled) == 1; });
}

// Log storing and expiry blocked ticks (Cronicle): pruning had the thread that writes the logs, and
// the end of a run waits for its log.
TEST_F(WorkerService, AnEndIsRecordedWhileOldRunsAreRemoved) {
  std::latch pruning{1}, released{1};
  std::once_flag once;
  testing::FaultyStore store(store_);
  store.set_gate([&](std::string_view method) {
    if (method == "prune") {
      std::call_once(once, [&] { pruning.count_down(); });
      released.wait();
    }
    return testing::Fault::None;
  });
  options_.prune_interval = Millis(1);  // it does not lead yet at the first look
  InstantLauncher launcher(false, true);
  auto worker = make(launcher, store);
  ASSERT_TRUE(worker->start());
  pruning.wait();
  const JobId id = add_job(1, std::monostate{}, std::nullopt);
  const RunId run = new_id<RunId>(clock_, rng_);
  ASSERT_TRUE(store_->trigger_run({.workspace = ws_, .job = id, .run = run}));
  wait_until([&] { return count(model::RunState::Succeeded) == 1; });
  EXPECT_EQ(store_->read_log(run, 0, 10)->size(), 1U);
  released.count_down();
  worker->stop();
}

TEST_F(WorkerService, StopReturnsRunsToTheQueueAndHandsLeadershipOver) {
  InstantLauncher holding(true), instant;
  auto first = make(holding);
  ASSERT_TRUE(first->start());
  ASSERT_TRUE(first->start());
  const JobId id = add_job(1, std::monostate{}, std::nullopt);
  const RunId run = new_id<RunId>(clock_, rng_);
  ASSERT_TRUE(store_->trigger_run({.workspace = ws_, .job = id, .run = run}));
  wait_until([&] { return count(model::RunState::Running) == 1; });
  first->stop();
  first->stop();
  EXPECT_FALSE(first->health().ready);
  auto returned = store_->get_run(ws_, run);
  ASSERT_TRUE(returned);
  EXPECT_EQ(returned->state, model::RunState::Queued);
  EXPECT_EQ(returned->retries_used, 0);
  EXPECT_TRUE(store_->list_workers(Seconds(60))->empty());
  auto second = make(instant);
  ASSERT_TRUE(second->start());
  wait_until([&] { return count(model::RunState::Succeeded) == 1; });
  EXPECT_EQ(store_->list_workers(Seconds(60))->size(), 1U);
}

TEST_F(WorkerService, TwoWorkersShareTheRuns) {
  constexpr int kJobs = 300;
  const Instant due = std::chrono::floor<Seconds>(clock_.now());
  InstantLauncher one, two;
  auto first = make(one), second = make(two);
  ASSERT_TRUE(first->start());
  ASSERT_TRUE(second->start());
  for (int i = 0; i < kJobs; ++i) add_job(i, model::AtSchedule{due}, due);
  wait_until([&] { return count(model::RunState::Succeeded) == kJobs; });
  EXPECT_NE(first->health().leading, second->health().leading);
  first->stop();
  second->stop();
  EXPECT_EQ(first->stats().attempts_ended + second->stats().attempts_ended,
            static_cast<std::uint64_t>(kJobs));
}

}  // namespace
}  // namespace tidegate::worker
