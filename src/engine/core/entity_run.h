#pragma once
// One entity of one run: read on one thread, written on another, committed once or at checkpoints.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/destination.h"
#include "engine/core/events.h"
#include "engine/core/intake.h"
#include "engine/core/lease.h"
#include "engine/core/plan.h"
#include "engine/core/queue.h"
#include "engine/core/source.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// Everything the entities of one run share. Outlives them.
struct RunEnvironment {
  const protocol::RunSpec& spec;
  Source& source;
  Destination& destination;
  LeaseGuard& lease;
  EventSink& events;
  const Context& context;
  // An ordered incremental read commits and remembers its position after so many rows.
  std::int64_t checkpoint_rows = 250'000;
};

class EntityRun {
 public:
  EntityRun(RunEnvironment& env, const EntityInfo& info) : env_(env), info_(info) {}

  // Never throws; whatever goes wrong is in the result, and nothing uncommitted stays.
  protocol::EntityResult execute();

 private:
  Status run();
  void count_earlier_attempts();
  Status prepare(Writer& writer);
  void load_in_checkpoints(const WriterState& found);
  Status transfer(Writer& writer);
  Status read_all(BatchQueue& queue);
  Status write_all(BatchQueue& queue, Writer& writer);
  Status take(ReadBatch& item, Writer& writer);
  Status write_rows(std::shared_ptr<arrow::RecordBatch> batch, Writer& writer);
  Result<std::shared_ptr<arrow::RecordBatch>> without_null_keys(
      const std::shared_ptr<arrow::RecordBatch>& batch, std::vector<RejectedRow>& rejected) const;
  Status reject(std::vector<RejectedRow> rows, Writer& writer);
  Status checkpoint(Writer& writer, bool last);
  Status reconcile(const CommitReport& report) const;
  void add(const CommitReport& report);
  Result<std::optional<Writer::NewState>> next_state(const WriterState& found, bool last) const;
  std::string what_stays() const;
  void keep_counts();
  // All that the state tells; `rejected_again` rows of it will be met once more.
  void count_as_before(std::int64_t rejected_again);
  void fail_with(const Error& error);
  void progress(bool now);

  RunEnvironment& env_;
  const EntityInfo& info_;
  EntityRequest request_;
  EntityDecision decision_;
  ReadParams params_;
  std::vector<Partition> partitions_;
  std::unique_ptr<Reader> first_;  // of partitions_[0], until it is read
  Intake intake_;
  protocol::EntityResult result_;
  // The first rejected rows since the last commit, for the error and after an abort.
  std::vector<RejectedRow> kept_;
  std::int64_t since_checkpoint_ = 0;
  // Rows of the commits so far, and handed to the writer in all.
  std::int64_t handed_ = 0, settled_ = 0;
  std::chrono::steady_clock::time_point last_progress_{};
  bool ordered_ = false;
  // What the last commit had made visible: all that counts when the run fails behind it.
  struct Counts {
    std::int64_t written = 0, updated = 0, deleted = 0, deduplicated = 0, superseded = 0;
  };
  Counts committed_;
};

}  // namespace tidegate::engine
