#pragma once
// Writes what runs leave behind: their logs, then their ends, each many at once. Steps over Store
// and Clock: no thread, no sleep.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/time.h"
#include "control/store/store.h"
#include "control/worker/options.h"
#include "control/worker/run_table.h"
#include "control/worker/store_trouble.h"

namespace tidegate::worker {

// log_step() and finish_step() each from one thread; trouble() from any.
class Finisher {
 public:
  // REQUIRES: everything outlives this.
  Finisher(store::Store& store, RunTable& table, const Clock& clock, const WorkerOptions& options);

  struct Step {
    Millis wait{0};
    bool changed = false;  // something for the other steps: a place is free, a log is written
  };
  // Writes the ends of runs whose log is written: logs carry the fence that the end gives up.
  Step finish_step();
  // Writes gathered log lines, those of ended runs first.
  Step log_step();
  // Of finish_step().
  const StoreTrouble& trouble() const { return trouble_; }

 private:
  struct Lines {
    store::HeldRun held;
    std::vector<model::RunLogLine> lines;
  };
  std::vector<store::AttemptEnd> collect_ends();
  std::vector<Status> write_ends(std::span<const store::AttemptEnd> ends);
  bool is_tried_again(ActiveRun& run, const Error& error) const;
  std::vector<Lines> collect_lines(Millis& wait);
  void after_log(const Lines& written, const Status& status);

  store::Store& store_;
  RunTable& table_;
  const Clock& clock_;
  const WorkerOptions& options_;
  std::optional<BootInstant> gathering_until_;  // some runs have ended; more are likely to
  BootInstant finish_at_, log_at_;              // not before: the store failed
  StoreTrouble trouble_;
  bool gave_up_ = false;  // an end, and none was taken since
};

}  // namespace tidegate::worker
