#pragma once
// The lower and upper bound of an incremental read: nothing lost, nothing doubled.
//
// The lower bound is inclusive, because rows with the cursor's greatest value may still arrive
// after a read (a strict `>` loses them for ever). Rows at the bound, and rows whose cursor is
// NULL, are therefore read every time; those that are in the destination already are recognised by
// a hash.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/core/cursor.h"
#include "engine/core/state.h"

namespace tidegate::engine {

class BoundFilter {
 public:
  struct Config {
    std::string entity;
    std::string cursor;                   // a column of every batch
    bool has_key = false;                 // rows are merged: too many at one bound is no error
    std::optional<CursorValue> from, to;  // both inclusive; from ≤ known.cursor (lookback)
    EntityState known;                    // the last committed; its cursor absent at the start
  };
  explicit BoundFilter(Config config);

  struct Rows {
    std::shared_ptr<arrow::RecordBatch> batch;  // the new ones
    std::int64_t wanted = 0;                    // rows inside the bounds
    std::int64_t deduplicated = 0;              // of those, known to be in the destination
  };
  Result<Rows> apply(const std::shared_ptr<arrow::RecordBatch>& batch);

  // Puts cursor and seen rows after everything applied so far into `state`. Invalid: more than
  // kMaxSeen rows at the bound of an entity without a key.
  Status save(EntityState& state) const;

 private:
  Status note(const arrow::RecordBatch& batch, std::int64_t row, RowSet& set, std::int64_t& count,
              const std::string& known_hash);
  bool take_known(const std::string& hash, RowSet& remaining);
  Status too_many(std::string_view what) const;

  Config config_;
  std::vector<std::string> columns_;  // sorted; of the batches
  RowSet remaining_bound_, remaining_null_;
  std::optional<CursorValue> max_;
  RowSet seen_bound_, seen_null_;
  std::int64_t bound_count_ = 0, null_count_ = 0;
};

}  // namespace tidegate::engine
