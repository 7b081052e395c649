#pragma once
// From what was asked and what the destination remembers to what is read and written. Pure.

#include <arrow/type_fwd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/bound.h"
#include "engine/core/catalog.h"
#include "engine/core/destination.h"
#include "engine/core/state.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// The column that full_append adds: the run that loaded the row.
inline constexpr std::string_view kLoadIdColumn = "_tidegate_load_id";

// One entity's part of a run, checked against its schema.
struct EntityRequest {
  std::string entity;
  protocol::SyncMode mode = protocol::SyncMode::Full;
  std::shared_ptr<arrow::Schema> source_schema;  // of the columns read
  std::shared_ptr<arrow::Schema> schema;         // of the rows written
  std::vector<std::string> key;
  std::optional<std::string> cursor;
  std::optional<CursorKind> kind;    // absent also for a cursor column without any value
  std::optional<std::string> where;  // the job's own
  std::optional<Millis> lookback, lag;
  bool destination_has_keys = true;
  Fingerprint fingerprint;
  std::vector<std::string> warnings;

  // Rows of one key are kept once; the modes that append keep every version.
  bool keyed() const {
    return !key.empty() &&
           (mode == protocol::SyncMode::Full || mode == protocol::SyncMode::Incremental);
  }
};

constexpr bool is_incremental(protocol::SyncMode mode) {
  return mode == protocol::SyncMode::Incremental || mode == protocol::SyncMode::IncrementalAppend;
}

// Invalid with what is missing and the candidates: an incremental mode without a cursor, a merge
// without a key or into a destination that has none, unknown columns, a lookback that appends.
Result<EntityRequest> make_request(const protocol::RunSpec& run, const EntityInfo& entity,
                                   const std::string& source_identity,
                                   bool destination_has_keys = true);

struct EntityDecision {
  bool done = false;  // an earlier attempt of this run committed the whole entity: nothing to do
  EntityState known;  // the state to go on from; empty when starting from zero
  LoadKind load = LoadKind::Replace;
  std::optional<CursorValue> from, to;
  bool advance = true;  // the run may write a new state
  // Without `advance`: what takes the stored state's place when rows were merged. It stands where
  // it stood, and no longer knows the rows at the bound, which may be among the replaced ones.
  std::optional<EntityState> weakened;
  std::int64_t epoch = 0;
  std::vector<std::string> warnings;
};

// Conflict: the destination changed, or the job's settings no longer fit its state (reset).
// Invalid: a limited run that could only replace or double rows.
Result<EntityDecision> decide(const protocol::RunSpec& run, const EntityRequest& request,
                              const WriterState& found, Instant now);

// What is read of it.
ReadParams read_params(const protocol::RunSpec& run, const EntityRequest& request,
                       const EntityDecision& decision);
// Tells the new rows from the known ones; nullopt where all are read each time.
std::optional<BoundFilter> bound_filter(const EntityRequest& request,
                                        const EntityDecision& decision);

}  // namespace tidegate::engine
