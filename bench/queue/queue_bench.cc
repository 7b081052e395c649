// The run queue of the PostgreSQL store. TIDEGATE_BENCH_POSTGRES names an empty database.
//   queue_bench fill JOBS RUNS_PER_JOB   jobs, and queued runs of them; JSON
//   queue_bench drain WORKERS BATCH      claims and completes all of them; JSON
//   queue_bench worker                   a whole worker, idle, children stubbed: "ready"; at the
//   end
//                                        of stdin each run it started and when (ns since 1970)
//   queue_bench enqueue RUNS GAP_MS      a run by hand of one job after another; each with the time
//                                        before the call and after it

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "control/store/postgres/postgres_store.h"
#include "control/worker/worker.h"
#include "load.h"
#include "stub_launcher.h"

namespace tidegate {
namespace {

using namespace bench;
using Steady = std::chrono::steady_clock;

constexpr int kJobMakers = 8;  // at once: as many as the pool has connections for
constexpr int kPlaces = 16;    // of the idle worker

const SystemClock kClock;
SystemRng rng;

std::unique_ptr<store::Store> open() {
  const char* url = std::getenv("TIDEGATE_BENCH_POSTGRES");
  if (url == nullptr) throw std::runtime_error("set TIDEGATE_BENCH_POSTGRES to a database's URL");
  store::PostgresOptions options;
  options.url = Secret(url);
  return must(store::open_postgres_store(options, rng));
}

std::int64_t ns(std::chrono::system_clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
}

std::int64_t count(store::Store& s, model::RunState state) {
  return must(s.list_runs({.state = state, .page = {.limit = 1}})).total;
}

void fill(int jobs, int per_job) {
  const auto s = open();
  const auto ws = must(s->find_workspace("default")).id;
  add_connections(*s, ws);
  const Instant first = std::chrono::floor<Seconds>(kClock.now()) - std::chrono::hours(1);
  add_jobs(*s, ws, jobs, kJobMakers, [&](int) { return first; });
  const double took = plan_runs(*s, jobs, per_job, first);
  fmt::print("{{\"runs\": {}, \"planned_per_s\": {:.0f}}}\n", jobs * per_job,
             jobs * per_job / took);
}

void drain(int workers, std::size_t batch) {
  const auto s = open();
  const std::int64_t queued = count(*s, model::RunState::Queued);
  std::atomic<int> done{0};
  const auto start = Steady::now();
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < workers; ++w) {
      threads.emplace_back([&, w] { done += work(*s, fmt::format("w{}", w), batch); });
    }
  }
  const double took = std::chrono::duration<double>(Steady::now() - start).count();
  const std::int64_t succeeded = count(*s, model::RunState::Succeeded);
  fmt::print("{{\"runs\": {}, \"runs_per_s\": {:.0f}, \"complete\": {}}}\n", done.load(),
             done / took, done == queued && succeeded >= queued);
}

void run_worker() {
  const auto s = open();
  StubLauncher launcher;
  worker::WorkerOptions options;
  options.plans = false;
  options.max_concurrent_runs = kPlaces;
  worker::Worker worker(
      *s, kClock, rng, launcher,
      [](const model::Connection& c) -> Result<protocol::Endpoint> {
        return protocol::Endpoint{c.type, c.config};
      },
      options);
  must(worker.start());
  fmt::print("ready\n");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  worker.stop();
  for (const auto& [run, at] : launcher.started()) fmt::print("{} {}\n", run.str(), ns(at));
}

void enqueue(int runs, int gap_ms) {
  const auto s = open();
  const auto ws = must(s->find_workspace("default")).id;
  add_connections(*s, ws);
  add_jobs(*s, ws, runs, kJobMakers, [&](int) { return kClock.now() + std::chrono::hours(9); });
  for (int n = 0; n < runs; ++n) {
    // Jitter, so that no rhythm of the worker's falls together with this one's.
    const auto jitter = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(gap_ms)));
    std::this_thread::sleep_for(Millis(gap_ms / 2 + jitter));
    store::TriggerRun run;
    run.workspace = ws;
    run.job = job_id(n);
    run.run = new_id<RunId>(kClock, rng);
    run.triggered_by = "bench";
    const auto before = std::chrono::system_clock::now();
    must(s->trigger_run(run));
    const auto after = std::chrono::system_clock::now();
    fmt::print("{} {} {}\n", run.run.str(), ns(before), ns(after));
  }
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  using namespace tidegate;
  log::configure(LogLevel::Warn, log::Format::Text);
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    if (args.size() == 3 && args[0] == "fill") {
      fill(std::stoi(args[1]), std::stoi(args[2]));
    } else if (args.size() == 3 && args[0] == "drain") {
      drain(std::stoi(args[1]), std::stoul(args[2]));
    } else if (args.size() == 1 && args[0] == "worker") {
      run_worker();
    } else if (args.size() == 3 && args[0] == "enqueue") {
      enqueue(std::stoi(args[1]), std::stoi(args[2]));
    } else {
      fmt::print(stderr,
                 "usage: queue_bench fill JOBS RUNS_PER_JOB | drain WORKERS BATCH | worker "
                 "| enqueue RUNS GAP_MS\n");
      return 2;
    }
  } catch (const std::exception& e) {
    fmt::print(stderr, "queue_bench: {}\n", e.what());
    return 1;
  }
}
