// The SQLite store alone. Usage: store_bench throughput|fill|open|read PATH [NUMBERS…]; JSON on
// stdout.

#include <fmt/format.h>
#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "control/store/sqlite/sqlite_store.h"
#include "load.h"

namespace tidegate {
namespace {

using Steady = std::chrono::steady_clock;
using namespace bench;

constexpr int kJobMakers = 64;  // at once: they share commits

std::atomic<std::int64_t> commits{0};
std::vector<sqlite3*> connections;  // every one of this process; guarded by connections_mutex
std::mutex connections_mutex;

// On every connection that is opened from now on.
int count_writes(sqlite3* db, const char**, const struct sqlite3_api_routines*) {
  const std::lock_guard lock(connections_mutex);
  connections.push_back(db);
  sqlite3_commit_hook(
      db,
      [](void*) {
        ++commits;
        return 0;
      },
      nullptr);
  return SQLITE_OK;
}

// Rows inserted, updated or deleted so far. The update hook would not do: it is not called for
// WITHOUT ROWID tables. REQUIRES: every connection is still open and none is in use.
std::int64_t row_writes() {
  const std::lock_guard lock(connections_mutex);
  std::int64_t rows = 0;
  for (sqlite3* db : connections) rows += sqlite3_total_changes64(db);
  return rows;
}

double seconds_since(Steady::time_point start) {
  return std::chrono::duration<double>(Steady::now() - start).count();
}

double memory_mb(std::string_view key) {
  std::ifstream in("/proc/self/status");
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with(key)) return std::strtod(line.c_str() + key.size() + 1, nullptr) / 1024;
  }
  return 0;
}

const SystemClock kClock;

std::unique_ptr<store::Store> open(const std::string& path) {
  return must(store::open_sqlite_store({.path = path}, kClock));
}

Instant this_second() { return std::chrono::floor<Seconds>(kClock.now()); }

void throughput(const std::string& path, int jobs, int per_job, int threads, std::size_t batch) {
  sqlite3_auto_extension(reinterpret_cast<void (*)()>(count_writes));
  auto s = open(path);
  const auto ws = must(s->find_workspace("default")).id;
  add_connections(*s, ws);
  const Instant first = this_second() - std::chrono::hours(1);
  add_jobs(*s, ws, jobs, kJobMakers, [&](int) { return first; });
  const std::int64_t rows_before_plan = row_writes();
  const double plan_seconds = plan_runs(*s, jobs, per_job, first);
  const std::int64_t rows_before = row_writes();
  commits = 0;
  std::atomic<int> done{0};
  const auto start = Steady::now();
  {
    std::vector<std::jthread> workers;
    for (int t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] { done += work(*s, fmt::format("w{}", t), batch); });
    }
  }
  const double took = seconds_since(start);
  const auto rows = static_cast<double>(row_writes() - rows_before);
  const auto plan_rows = static_cast<double>(rows_before - rows_before_plan);
  fmt::print(
      "{{\"runs\": {}, \"seconds\": {:.3f}, \"runs_per_s\": {:.0f}, \"rows_per_run\": {:.3f}, "
      "\"commits_per_run\": {:.3f}, \"planned_per_s\": {:.0f}, \"plan_rows_per_run\": {:.3f}}}\n",
      done.load(), took, done / took, rows / done, double(commits) / done,
      jobs * per_job / plan_seconds, plan_rows / done);
}

void fill(const std::string& path, int jobs, int runs_per_job) {
  auto s = open(path);
  const auto ws = must(s->find_workspace("default")).id;
  add_connections(*s, ws);
  // One in a hundred is due now, the rest within the coming hour.
  const Instant now = this_second();
  add_jobs(*s, ws, jobs, kJobMakers, [&](int n) {
    return n % 100 == 0 || runs_per_job > 0 ? now - Seconds(60) : now + Seconds(1 + n % 3600);
  });
  if (runs_per_job > 0) {
    plan_runs(*s, jobs, runs_per_job, now - Seconds(60));
    work(*s, "w", 200);
  }
}

void open_and_plan(const std::string& path) {
  const auto start = Steady::now();
  auto s = open(path);
  const double opened = seconds_since(start);
  const auto due = must(s->due_jobs(kClock.now(), 500));
  fmt::print("{{\"open_ms\": {:.1f}, \"first_due_ms\": {:.1f}, \"due\": {}, \"rss_mb\": {:.1f}}}\n",
             opened * 1e3, seconds_since(start) * 1e3, due.jobs.size(), memory_mb("VmHWM:"));
}

void read(const std::string& path, int seconds) {
  auto s = open(path);
  const auto ws = must(s->find_workspace("default")).id;
  (void)s->create_token({.id = TokenId("t"), .name = "t", .hash = "hash"});
  const JobId id = job_id(7);
  const auto start = Steady::now();
  std::int64_t reads = 0;
  while (seconds_since(start) < seconds) {
    for (int i = 0; i < 1000; ++i, ++reads) {
      if (!must(s->find_token("hash"))) throw std::runtime_error("no token");
      must(s->find_workspace("default"));
      must(s->get_job(ws, id));
    }
  }
  fmt::print("{{\"requests_per_s\": {:.0f}, \"rss_mb\": {:.1f}}}\n",
             double(reads) / seconds_since(start), memory_mb("VmRSS:"));
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  using namespace tidegate;
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto number = [&](std::size_t i) { return std::stoi(args.at(i)); };
  try {
    if (args.at(0) == "throughput") {
      throughput(args.at(1), number(2), number(3), number(4), static_cast<std::size_t>(number(5)));
    } else if (args.at(0) == "fill") {
      fill(args.at(1), number(2), number(3));
    } else if (args.at(0) == "open") {
      open_and_plan(args.at(1));
    } else if (args.at(0) == "read") {
      read(args.at(1), number(2));
    } else {
      throw std::out_of_range("unknown command");
    }
  } catch (const std::out_of_range&) {
    fmt::print(
        stderr,
        "usage: store_bench throughput PATH JOBS RUNS_PER_JOB THREADS BATCH | fill PATH JOBS "
        "RUNS_PER_JOB | open PATH | read PATH SECONDS\n");
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "store_bench: {}\n", e.what());
    return 1;
  }
}
