#pragma once
// The writing half of a connector, with the commit protocol that makes a run exactly-once.
//
// Beside the data a destination keeps, per (job, entity): fence, epoch, state, writer session; and
// per table its owner (job, entity). One commit makes rows and state visible together, and only
// when the fence is still the writer's own (docs/protocol.md, "Commit").

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "engine/core/source.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// Who writes what; known before the state is read.
struct WritePlan {
  std::string job;
  std::string entity;
  RunId run_id;
  int attempt = 1;
  Fence fence{};  // {}: take the destination's + 1 (serverless)
  bool take_over = false;
};

// What the destination knows after (or, for inspect(), without) the claim.
struct WriterState {
  std::string destination_id;  // random, made with the destination's first state; "" before that
  std::int64_t epoch = 0;
  std::int64_t sequence = 0;  // commits with a state so far; each such commit() adds one
  std::string state;          // "" when nothing was committed
  Fence fence{};              // the writer's own after open(), the stored one after inspect()
  std::string table;          // the name the entity has in the destination
  bool table_exists = false;
  bool table_empty = true;  // also when it does not exist
};

enum class LoadKind : std::uint8_t {
  Replace,  // the table holds exactly the rows written, from commit on; at once for every reader
  Append,   // rows are added
  Merge,    // a row replaces the one with its key
};

// What is about to be written. `schema` is what every batch will have.
struct LoadPlan {
  LoadKind kind = LoadKind::Replace;
  std::shared_ptr<arrow::Schema> schema;
  // Merge: not empty. Replace: rows of one key are kept once. The row with the greater cursor wins,
  // else the later one. Key columns hold no NULL (the engine rejects such rows).
  std::vector<std::string> key;
  std::optional<std::string> cursor;
  protocol::SchemaChange schema_change = protocol::SchemaChange::Evolve;
  std::int64_t max_rejected = 0;  // rows; more make the caller abort
};

// What one commit makes visible: counted where the rows arrive, never the rest of another count, or
// rows that vanish there would be told by nobody.
struct CommitReport {
  std::int64_t inserted = 0;
  std::int64_t updated = 0;     // rows of a Merge that were there
  std::int64_t deleted = 0;     // rows of a Replace that were there before
  std::int64_t superseded = 0;  // rows written that another row of the same load replaced
  std::int64_t rejected = 0;    // rows the destination itself refused
  // Those of them that write() had taken and that only their place in the table refused; one more
  // than LoadPlan::max_rejected is enough. The caller hands them to reject() before it commits.
  std::vector<RejectedRow> refused;
};

// One entity of one attempt. Used by one thread. Destroying it without finish() is abort().
class Writer {
 public:
  virtual ~Writer() = default;

  // As read after the claim; commit() keeps epoch, sequence and state up to date.
  virtual const WriterState& state() const = 0;

  // Fits the table to the schema (creates, adds columns, widens types, as `schema_change` says;
  // part of the first commit where the destination can, so a failed run leaves nothing behind). The
  // sentences say what was done. Invalid: a change that is refused or impossible, naming the
  // column. Called once, before the first write.
  virtual Result<std::vector<std::string>> begin(const LoadPlan& plan) = 0;

  // Rows the destination cannot hold come back as rejected; the others are taken.
  virtual Result<std::vector<RejectedRow>> write(const arrow::RecordBatch& batch) = 0;

  // Adds to the destination's `_tidegate_rejected`, visible with the next commit. A row that an
  // earlier attempt or run kept with the same locator and text is kept once; those of a Replace
  // take the place of all of the entity.
  virtual Status reject(std::span<const RejectedRow> rows) = 0;

  // Puts everything since the last commit in its place (merges, deletes), still invisible, and says
  // what commit() will make visible. Only reject() is called between flush() and commit().
  virtual Result<CommitReport> flush() = 0;

  // Makes everything since the last commit visible together with the state and epoch, durably, and
  // adds one to the sequence. Fenced, with nothing written, when another attempt has claimed the
  // entity. A Replace commits once. REQUIRES: flush() before it.
  // nullopt keeps the stored state, epoch and sequence (a run that must not advance them).
  struct NewState {
    std::string state;
    std::int64_t epoch = 0;
  };
  virtual Status commit(const std::optional<NewState>& state) = 0;

  // After the last commit: tidies up. An error here is only worth a warning.
  virtual Status finish() = 0;

  // Undoes everything since the last commit; then records `keep` as rejected rows, fenced, so that
  // a user can see why a run failed.
  virtual Status abort(std::span<const RejectedRow> keep) = 0;
};

// What Writer::write() would give back, before anything is written. Used by one thread.
class RowCheck {
 public:
  virtual ~RowCheck() = default;

  struct Refused {
    std::int64_t row = 0;  // of the batch
    std::string why;
  };
  // Ascending. Rows that only their place in the table refuses (a constraint of the user's) are not
  // among them.
  virtual Result<std::vector<Refused>> check(const arrow::RecordBatch& batch) = 0;
};

// Made from a configuration by the connector's factory (registry.h). Used by one thread at a time.
class Destination {
 public:
  virtual ~Destination() = default;

  virtual std::string identity() const = 0;  // as Source::identity

  // The file of this machine that holds the entity's rows, or will; nullopt: there is none.
  virtual std::optional<std::string> local_file(const std::string& entity) const {
    static_cast<void>(entity);
    return std::nullopt;
  }

  // As Source::table_place(): where the entity's rows are, or will be.
  virtual Result<std::optional<std::string>> table_place(const std::string& entity) {
    static_cast<void>(entity);
    return std::nullopt;
  }

  // False: rows have no keys there. Then no Merge is asked for, and a Replace keeps every row.
  virtual bool has_keys() const { return true; }

  // Reachable and writable? Changes nothing that stays.
  virtual Status check() = 0;

  // The stored state, without a claim and without any change.
  virtual Result<WriterState> inspect(const WritePlan& plan) = 0;

  // Writer::begin() without a claim and without any change: its sentences, its refusals, and what
  // checks the load's rows (null: every row of the schema can be held).
  struct Trial {
    std::vector<std::string> changes;
    std::unique_ptr<RowCheck> rows;
  };
  virtual Result<Trial> trial(const WritePlan& plan, const LoadPlan& load) {
    static_cast<void>(plan);
    static_cast<void>(load);
    return Trial{};
  }

  // Ends an older attempt's session, bumps the fence in a short transaction of its own, then reads
  // the state. Fenced: a newer attempt holds it. Conflict: another job owns the table, or it holds
  // rows that are not Tidegate's, and take_over is not set.
  virtual Result<std::unique_ptr<Writer>> open(const WritePlan& plan) = 0;
};

}  // namespace tidegate::engine
