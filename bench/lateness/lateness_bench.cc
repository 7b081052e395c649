// How late runs start: a whole worker on a durable SQLite store in a fresh folder.
//   lateness_bench burst N            N jobs due in the same second; children stubbed
//   lateness_bench spread N SECONDS   N jobs of `H/10 * * * * *` for SECONDS; children stubbed; the
//                                     API of the same process is asked meanwhile
//   lateness_bench children N ENGINE STAMPS   N jobs due in the same second, each starting ENGINE,
//                                     which adds its start time to STAMPS; prints the slot
// Prints one JSON object: lateness in ms, and whether every slot ran exactly once.

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "api_load.h"
#include "base/log.h"
#include "base/subprocess.h"
#include "control/launch/engine_launcher.h"
#include "control/plan/slots.h"
#include "control/store/sqlite/sqlite_store.h"
#include "control/worker/worker.h"
#include "stub_launcher.h"

namespace tidegate {
namespace {

using bench::StubLauncher;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "lateness_bench: %s\n", why.c_str());
  std::exit(1);
}
template <class T>
T must(Result<T> result) {
  if (!result) die(describe(result.error()));
  return std::move(*result);
}

class Bench {
 public:
  Bench() {
    char folder[] = "/var/tmp/tidegate-lateness-XXXXXX";  // a disk: /tmp may be memory
    if (mkdtemp(folder) == nullptr) die("no folder can be made in /var/tmp");
    folder_ = folder;
    store_ = must(store::open_sqlite_store({.path = folder_ + "/tidegate.db"}, clock_));
    ws_ = must(store_->find_workspace("default")).id;
  }
  ~Bench() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void add_connections(const std::string& stamps) {
    for (const auto kind : {model::ConnectionKind::Source, model::ConnectionKind::Destination}) {
      model::Connection c;
      c.workspace = ws_;
      c.kind = kind;
      c.name = model::kConnectionKindNames[static_cast<std::size_t>(kind)];
      c.id = ConnectionId(c.name);
      c.type = "file";
      c.config = {{"stamp", stamps}};
      must(store_->create_connection(c, {}));
    }
  }

  // Sixteen writers, so that commits are shared.
  void add_jobs(int count, const model::Schedule& schedule, Instant after) {
    std::vector<std::thread> writers;
    std::atomic<int> next{0};
    for (int w = 0; w < 16; ++w) {
      writers.emplace_back([&] {
        for (int i; (i = next++) < count;) {
          model::SyncJob job;
          job.id = new_id<JobId>(clock_, rng_);
          job.workspace = ws_;
          job.spec.name = fmt::format("job {}", i);
          job.spec.source_id = ConnectionId("source");
          job.spec.destination_id = ConnectionId("destination");
          job.spec.schedule = schedule;
          job.created_at = job.updated_at = clock_.now();
          job.next_slot = must(plan::first_slot(schedule, job.id, after));
          must(store_->create_job(job, {}));
          const std::lock_guard lock(jobs_mutex_);
          jobs_.push_back(job.id.str());
        }
      });
    }
    for (auto& writer : writers) writer.join();
  }

  std::unique_ptr<worker::Worker> start(launch::Launcher& launcher, int places) {
    worker::WorkerOptions options;
    options.max_concurrent_runs = places;
    options.drain = Seconds(60);
    auto worker = std::make_unique<worker::Worker>(
        *store_, clock_, rng_, launcher,
        [](const model::Connection& c) -> Result<protocol::Endpoint> {
          return protocol::Endpoint{c.type, c.config};
        },
        options);
    if (auto status = worker->start(); !status) die(describe(status.error()));
    return worker;
  }

  // Asks the worker, not the store: the measurement must not read along.
  static void wait_for_ended(const worker::Worker& worker, std::int64_t runs) {
    while (worker.stats().attempts_ended < static_cast<std::uint64_t>(runs)) {
      std::this_thread::sleep_for(Millis(100));
    }
  }

  // Every run of the store with its slot.
  std::vector<model::Run> runs() {
    std::vector<model::Run> all;
    store::RunQuery query{.workspace = ws_, .page = {.limit = 1000}};
    do {
      auto listed = must(store_->list_runs(query));
      for (auto& run : listed.items) all.push_back(std::move(run));
      query.page.cursor = listed.next_cursor;
    } while (query.page.cursor);
    return all;
  }

  SystemClock clock_;
  SystemRng rng_;
  std::string folder_;
  std::unique_ptr<store::Store> store_;
  WorkspaceId ws_;
  std::mutex jobs_mutex_;
  std::vector<std::string> jobs_;
};

constexpr int kAsksPerSecond = 50;  // of the API, beside the slots

std::string quantiles(std::vector<double> ms) {
  if (ms.empty()) die("nothing was measured");
  std::ranges::sort(ms);
  const auto at = [&](double q) {
    return ms[static_cast<std::size_t>(q * static_cast<double>(ms.size() - 1))];
  };
  return fmt::format(R"("p50":{:.1f},"p99":{:.1f},"max":{:.1f})", at(0.5), at(0.99), ms.back());
}

void print(const std::string& name, const std::vector<double>& late_ms, std::size_t expected,
           bool once, const std::string& more) {
  fmt::print(R"({{"name":"{}","runs":{},"expected":{},"exactly_once":{},{}{}}})"
             "\n",
             name, late_ms.size(), expected, once, quantiles(late_ms), more);
}

// Lateness of stubbed starts: from the slot to the launcher's call.
void report(const std::string& name, Bench& bench, StubLauncher& launcher, std::size_t expected,
            const std::string& more = {}) {
  std::unordered_map<std::string, Instant> slots;
  std::set<std::pair<std::string, Instant>> distinct;
  std::set<std::string> ids;
  const std::vector<model::Run> runs = bench.runs();
  for (const model::Run& run : runs) {
    slots[run.id.str()] = *run.scheduled_for;
    distinct.emplace(run.job.str(), *run.scheduled_for);
  }
  std::vector<double> late;
  for (const auto& [run, at] : launcher.started()) {
    late.push_back(std::chrono::duration<double, std::milli>(at - slots.at(run.str())).count());
    ids.insert(run.str());
  }
  print(name, late, expected, distinct.size() == runs.size() && ids.size() == late.size(), more);
}

Instant in_seconds(const Clock& clock, int seconds) {
  return std::chrono::ceil<Seconds>(clock.now()) + Seconds(seconds);
}

void burst(int jobs) {
  Bench bench;
  bench.add_connections("-");
  // The jobs are made first; the slot lies behind that.
  const Instant slot = in_seconds(bench.clock_, 5 + jobs / 200);
  bench.add_jobs(jobs, model::AtSchedule{slot}, bench.clock_.now());
  StubLauncher launcher;
  auto worker = bench.start(launcher, jobs);
  if (bench.clock_.now() >= slot) die("making the jobs took too long");
  Bench::wait_for_ended(*worker, jobs);
  worker->stop();
  report("burst", bench, launcher, static_cast<std::size_t>(jobs));
}

void spread(int jobs, int seconds) {
  Bench bench;
  bench.add_connections("-");
  const model::CronSchedule schedule{"H/10 * * * * *", "UTC", {}};
  const Instant begin = in_seconds(bench.clock_, 5 + jobs / 500);
  bench.add_jobs(jobs, schedule, begin - Millis(1));
  StubLauncher launcher;
  auto worker = bench.start(launcher, 4000);
  const std::int64_t expected = std::int64_t{jobs} * seconds / 10;
  std::this_thread::sleep_for(begin - bench.clock_.now());
  bench::ApiLoad api(*bench.store_, bench.clock_, bench.rng_, bench.jobs_, kAsksPerSecond);
  std::this_thread::sleep_for(begin + Seconds(seconds) - bench.clock_.now());
  const bench::ApiLoadResult asked = api.stop();
  Bench::wait_for_ended(*worker, expected);
  worker->stop();
  // Slots of the seconds while it was stopping belong to no measurement.
  report("spread", bench, launcher, static_cast<std::size_t>(expected),
         fmt::format(R"(,"api":{{"requests":{},"refused":{},{}}})", asked.ms.size(), asked.refused,
                     quantiles(asked.ms)));
}

void children(int jobs, const std::string& engine, const std::string& stamps) {
  raise_descriptor_limit();
  Bench bench;
  bench.add_connections(stamps);
  const Instant slot = in_seconds(bench.clock_, 5 + jobs / 200);
  bench.add_jobs(jobs, model::AtSchedule{slot}, bench.clock_.now());
  launch::ChildHost host(engine);
  if (auto status = host.start(); !status) die(describe(status.error()));
  launch::EngineLauncher launcher(host);
  auto worker = bench.start(launcher, jobs);
  Bench::wait_for_ended(*worker, jobs);
  worker->stop();
  host.stop();
  fmt::print(R"({{"name":"children","slot_ms":{}}})"
             "\n",
             to_ms(slot));
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  using namespace tidegate;
  log::configure(LogLevel::Warn, log::Format::Text);
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 2 && args[0] == "burst") {
    burst(std::stoi(args[1]));
  } else if (args.size() == 3 && args[0] == "spread") {
    spread(std::stoi(args[1]), std::stoi(args[2]));
  } else if (args.size() == 4 && args[0] == "children") {
    children(std::stoi(args[1]), args[2], args[3]);
  } else {
    die("usage: burst JOBS | spread JOBS SECONDS | children JOBS ENGINE STAMPS");
  }
}
