#pragma once
// Runs with all that executing them needs.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/store/postgres/rows.h"
#include "control/store/postgres/spec_cache.h"
#include "control/store/queue.h"

namespace tidegate::store::postgres {

// What a query of runs to load selects: these columns of runs; of the job its states and
// reset_epoch.
#define TG_LOADED_RUN_COLUMNS(began_at) TG_RUN_COLUMNS ", " began_at ", source_id, destination_id"
inline constexpr int kLoadedColumns = 27;

Query load_expired(std::size_t limit);  // running, with a lease that ended

// Reads the rows of such a query. Connections and specs are looked up and parsed once each, not
// once a run: many runs share few.
class RunLoader {
 public:
  explicit RunLoader(SpecCache& cache) : cache_(cache) {}
  // Before the rows are loaded.
  Status learn(Session& db, const Rows& rows);
  Result<ClaimedRun> load(const Row& row) const;

 private:
  using Connection = std::shared_ptr<const model::Connection>;
  Result<Connection> connection(std::string_view id, const RunId& run) const;

  SpecCache& cache_;
  std::map<std::string, Result<Connection>, std::less<>> connections_;
  std::map<SpecCache::Key, Result<SpecCache::Spec>> specs_;
};

}  // namespace tidegate::store::postgres
