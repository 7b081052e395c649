#pragma once
// What of the rows that were read is wanted: inside the bounds, not known yet, before the limit.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/core/bound.h"
#include "engine/core/source.h"
#include "protocol/protocol.h"

namespace tidegate::engine {

// Used by one thread.
class Intake {
 public:
  // Without a bound every row is wanted; without a limit, as many as there are.
  Intake() = default;
  Intake(std::optional<BoundFilter> bound, std::optional<std::int64_t> limit)
      : bound_(std::move(bound)), left_(limit) {}

  // The rows of the batch that are wanted and new, maybe none; read, deduplicated and bytes are
  // added to `counts`. The rejected rows are counted as read and stay in `read`, the batch does
  // not. Errors: those of BoundFilter::apply().
  Result<std::shared_ptr<arrow::RecordBatch>> take(ReadBatch& read, protocol::EntityResult& counts);

  bool bounded() const { return bound_.has_value(); }
  // The limit is reached: nothing more is wanted.
  bool full() const { return left_ == 0; }
  // As BoundFilter::save(); nothing when there is no bound.
  Status save(EntityState& state) const;

 private:
  std::optional<BoundFilter> bound_;
  std::optional<std::int64_t> left_;  // rows until the limit
};

}  // namespace tidegate::engine
