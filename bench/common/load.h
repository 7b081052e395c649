#pragma once
// What the benchmarks of a store have in common: jobs, queued runs, and workers that do nothing
// else than claim and complete. All of it goes through the Store interface; errors throw.

#include <atomic>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "control/store/store.h"

namespace tidegate::bench {

template <class T>
T must(Result<T> r) {
  if (!r) throw std::runtime_error(describe(r.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}

// One source and one destination.
void add_connections(store::Store& s, const WorkspaceId& ws);
JobId job_id(int n);
// The jobs 0 to count − 1, each with its first slot; made by `threads` at once, so that they share
// commits.
void add_jobs(store::Store& s, const WorkspaceId& ws, int count, int threads,
              const std::function<Instant(int)>& slot);
// `per_job` queued runs for each of the jobs, one a second from `first` on, which is their next
// slot. The seconds it took.
double plan_runs(store::Store& s, int jobs, int per_job, Instant first);
// Claims and completes until nothing is left; the number of runs.
int work(store::Store& s, const std::string& owner, std::size_t batch);

}  // namespace tidegate::bench
