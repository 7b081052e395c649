#pragma once
// From what was asked and what the destination remembers to what is read and written. Pure.

#include <arrow/type_fwd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

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
  std::optional<CursorKind> kind;
  std::optional<std::string> where;  // the job's own
  std::optional<Millis> lookback, lag;
  Fingerprint fingerprint;
};

constexpr bool is_incremental(protocol::SyncMode mode) {
  return mode == protocol::SyncMode::Incremental || mode == protocol::SyncMode::IncrementalAppend;
}

// Invalid with what is missing and the candidates: an incremental mode without a cursor, a merge
// without a key, unknown columns, a lookback that appends.
Result<EntityRequest> make_request(const protocol::RunSpec& run, const EntityInfo& entity,
                                   const std::string& source_identity);

struct EntityDecision {
  bool done = false;  // an earlier attempt of this run committed the whole entity: nothing to do
  EntityState known;  // the state to go on from; empty when starting from zero
  LoadKind load = LoadKind::Replace;
  std::optional<CursorValue> from, to;
  bool advance = true;  // the run may write a new state
  std::int64_t epoch = 0;
  std::vector<std::string> warnings;
};

// Conflict: the destination changed, or the job's settings no longer fit its state (reset).
// Invalid: a limited run that could only replace or double rows.
Result<EntityDecision> decide(const protocol::RunSpec& run, const EntityRequest& request,
                              const WriterState& found, Instant now);

}  // namespace tidegate::engine
