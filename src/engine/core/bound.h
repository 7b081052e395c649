#pragma once
// The lower and upper bound of an incremental read: nothing lost, nothing doubled.
//
// The lower bound is inclusive, because rows with the cursor's greatest value may still arrive
// after a read (a strict `>` loses them for ever). Rows at the bound, and rows whose cursor is
// NULL, are therefore read every time; those that are in the destination already are recognised by
// a hash. A column that left the source, or became text, changes the hash of a row that was seen:
// then such a row cannot be told from a new one, and the read is refused.
//
// Rows with a key are merged, so reading one again is never wrong and knowing too much is: a row
// that was replaced may come back as it was. Only what the last run saw is known of them, and
// nothing when the columns are not the same.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
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
  // Conflict ("reset_needed"): see above. Invalid ("bad_data"): a cursor that no state can hold, or
  // text that grows by another order than that of its letters (text_order.h).
  Result<Rows> apply(const std::shared_ptr<arrow::RecordBatch>& batch);

  // Puts cursor and seen rows after everything applied so far into `state`. Invalid: more than
  // kMaxSeen rows at the bound of an entity without a key.
  Status save(EntityState& state) const;

 private:
  // Rows that were read and will be read again, over one choice of columns.
  struct Seen {
    RowSet bound, null;
  };

  void look_at(const arrow::Schema& schema);
  Status can_be_kept() const;
  Status take_cursors(const arrow::Array& column);
  Status check_order(const CursorValue& v) const;
  bool inside(const std::optional<CursorValue>& v) const;
  bool may_be_known(const std::optional<CursorValue>& v) const;
  bool comparable(const arrow::RecordBatch& batch, std::int64_t row) const;
  std::unexpected<Error> not_comparable(const std::optional<CursorValue>& at) const;
  Status note(const arrow::RecordBatch& batch, std::int64_t row, bool null,
              const std::string& known_hash);
  void note_values(const arrow::RecordBatch& batch, std::int64_t row, bool null);
  bool take_known(const std::string& hash, RowSet& remaining);
  Status too_many(std::string_view what) const;
  SeenColumns kinds_of_seen() const;
  void save_all_known(EntityState& state, bool same_bound) const;

  Config config_;
  std::vector<std::string> known_names_;  // sorted; what the known hashes cover
  SeenColumns columns_;                   // of the batches
  std::vector<std::string> names_;        // of columns_
  bool same_names_ = true;
  // Known columns that are not in the batches; or there, of a kind whose texts differ.
  std::vector<std::string> gone_, changed_;
  RowSet remaining_bound_, remaining_null_;
  std::optional<CursorValue> max_;
  bool max_has_order_ = false;                      // of its own: text_order.h
  std::vector<std::optional<CursorValue>> values_;  // the cursor's, of one batch
  Seen seen_;                                       // over names_
  Seen seen_as_known_;                              // over known_names_, where they differ
  std::set<std::string, std::less<>> bound_values_, null_values_;  // columns that are not all NULL
  std::int64_t bound_count_ = 0, null_count_ = 0;
};

}  // namespace tidegate::engine
