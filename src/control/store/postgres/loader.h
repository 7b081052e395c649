#pragma once
// Runs with all that executing them needs.

#include <map>
#include <string>
#include <vector>

#include "control/store/postgres/rows.h"
#include "control/store/queue.h"

namespace tidegate::store::postgres {

// By run id, in any order.
Query load_runs(const std::vector<RunId>& ids);
Query load_expired(std::size_t limit);  // running, with a lease that ended

// Reads the rows of such a query; a connection is parsed once.
class RunLoader {
 public:
  struct Loaded {
    ClaimedRun run;
    Fence fence{};  // of the job's newest attempt
  };
  Result<Loaded> load(const Row& row);

 private:
  Result<model::Connection> connection(const Row& row, const RunId& run);
  std::map<ConnectionId, model::Connection> known_;
};

}  // namespace tidegate::store::postgres
