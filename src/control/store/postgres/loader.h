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

// Reads the rows of such a query. Connections are looked up and parsed once each, not once a run:
// many runs share few.
class RunLoader {
 public:
  struct Loaded {
    ClaimedRun run;
    Fence fence{};  // of the job's newest attempt
  };
  // Before the rows are loaded.
  Status learn_connections(Session& db, const Rows& rows);
  Result<Loaded> load(const Row& row);

 private:
  Result<model::Connection> connection(const ConnectionId& id, const RunId& run) const;
  std::map<ConnectionId, Result<model::Connection>> known_;
};

}  // namespace tidegate::store::postgres
