#pragma once
// Runs, slots and logs as readers see them, and their retention.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/model/run.h"
#include "control/store/queue.h"
#include "control/store/types.h"

namespace tidegate::store {

struct RunQuery {
  WorkspaceId workspace;  // empty: all
  JobId job;              // empty: all
  std::optional<model::RunState> state;
  std::optional<Instant> since;  // created at or after
  bool oldest_first = false;
  // Without only_entities, take_over, entities, progress, attempts and warnings: together they may
  // be large.
  bool brief = false;
  Page page;  // ends early where its runs are large: rules::kPageBytes
};
struct LedgerQuery {
  WorkspaceId workspace;
  JobId job;
  std::optional<Instant> since, until;  // by slot; since inclusive, until exclusive
  Page page;                            // newest slot first
};

struct Retention {
  Millis max_age{std::int64_t{30} * 86'400'000};
  std::int64_t runs_per_job = 1000;
  std::size_t batch = 500;  // rows removed by one call at the most, so that no slot waits for it
};

// Thread-safe.
class HistoryStore {
 public:
  virtual ~HistoryStore() = default;

  virtual Result<model::Run> get_run(const WorkspaceId& ws, const RunId& id) = 0;  // NotFound
  virtual Result<Listing<model::Run>> list_runs(const RunQuery& query) = 0;
  virtual Result<Listing<model::LedgerEntry>> list_slots(const LedgerQuery& query) = 0;

  // Under the run's fence; seq is given here. Lines beyond `max_bytes` of the run are dropped and
  // the last line says so, once.
  virtual Status append_log(const HeldRun& held, std::span<const model::RunLogLine> lines,
                            std::size_t max_bytes) = 0;
  // Lines with seq > after, in order.
  virtual Result<std::vector<model::RunLogLine>> read_log(const RunId& run, std::int64_t after,
                                                          std::size_t limit) = 0;

  // Removes terminal runs with their logs and slot records beyond the retention, oldest first, and
  // idempotency keys and workers not seen for 24 h. The rows removed; 0: nothing left to do.
  virtual Result<std::size_t> prune(const Retention& retention, Instant now) = 0;
};

}  // namespace tidegate::store
