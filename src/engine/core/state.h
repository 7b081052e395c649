#pragma once
// What a destination remembers of one entity for its job, as the JSON text that destinations keep.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/core/cursor.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// What a state is only valid for.
struct Fingerprint {
  std::string source, columns, where, cursor, key;
  bool operator==(const Fingerprint&) const = default;
};
// The names of the parts that differ, for a person: `cursor ("a" → "b")`.
std::string differences(const Fingerprint& stored, const Fingerprint& now);

// Hash of a row (hex) → how often it was seen.
using RowSet = std::map<std::string, std::int64_t, std::less<>>;

// Column → kind of its values (hash_kind(), rows.h), "" where every seen row has NULL.
using SeenColumns = std::map<std::string, std::string, std::less<>>;

struct EntityState {
  protocol::SyncMode mode = protocol::SyncMode::Full;
  Fingerprint fingerprint;
  std::string run_id;    // of the run that committed it
  bool complete = true;  // false: that run had more to come
  // Of that run.
  std::int64_t rows_read = 0, rows_written = 0, rows_rejected = 0, rows_deduplicated = 0,
               rows_superseded = 0;

  // Incremental modes. `cursor` is the greatest value committed; absent while all were NULL.
  std::optional<CursorValue> cursor;
  // Rows with cursor == `cursor`, and rows whose cursor is NULL, that are in the destination. They
  // are read again each time. Over kMaxSeen they are not kept (entities with a key only).
  RowSet seen_at_bound, seen_null;
  SeenColumns seen_columns;  // what the hashes cover
  // Of an entity with a key: more such rows may be in the destination, so the sets are good enough
  // to merge by and not to append by.
  bool seen_dropped = false;
};

inline constexpr std::int64_t kMaxSeen = 10'000;

std::string encode(const EntityState& state);
// Invalid: not a state of this or an older version.
Result<EntityState> decode_state(std::string_view text);

// Compares what the control store remembers with what the destination holds. Conflict ("destination
// changed: reset or restore") when the destination is another one, or went back in time.
struct DestinationFacts {
  std::string_view destination_id;
  std::int64_t epoch = 0, sequence = 0;
  std::string_view state;
};
Status check_known(const protocol::KnownState& known, const DestinationFacts& found,
                   std::string_view entity);

}  // namespace tidegate::engine
