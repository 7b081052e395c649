#include "engine/core/intake.h"

#include <arrow/record_batch.h>

#include <algorithm>

namespace tidegate::engine {

Result<std::shared_ptr<arrow::RecordBatch>> Intake::take(ReadBatch& read,
                                                         protocol::EntityResult& counts) {
  counts.bytes += read.bytes;
  std::shared_ptr<arrow::RecordBatch> batch = std::move(read.batch);
  std::int64_t wanted = batch->num_rows();
  if (bound_) {
    TG_TRY(BoundFilter::Rows rows, bound_->apply(batch));
    batch = std::move(rows.batch);
    wanted = rows.wanted;
    counts.rows_deduplicated += rows.deduplicated;
  }
  if (left_) {
    // The bound's duplicates are not part of what was asked for.
    const std::int64_t cut = std::max<std::int64_t>(0, batch->num_rows() - *left_);
    batch = batch->Slice(0, batch->num_rows() - cut);
    wanted -= cut;
    *left_ -= batch->num_rows();
  }
  counts.rows_read += wanted + static_cast<std::int64_t>(read.rejected.size());
  return batch;
}

Status Intake::save(EntityState& state) const { return bound_ ? bound_->save(state) : Status{}; }

}  // namespace tidegate::engine
