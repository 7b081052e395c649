#pragma once
// The rows of a load as a file holds them, and those of them that it cannot hold.

#include <arrow/type_fwd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/connectors/file/file_layout.h"
#include "engine/core/destination.h"

namespace tidegate::engine::file {

// Casts every value of the column to the type of `to`, without losing anything. A value that it
// does not hold is NULL, and its row in `bad` (ascending).
Result<std::shared_ptr<arrow::Array>> cast_exactly(const std::shared_ptr<arrow::Array>& array,
                                                   const arrow::Field& from, const arrow::Field& to,
                                                   std::vector<std::int64_t>& bad);

// Used by one thread.
class RowFit final : public RowCheck {
 public:
  // `load`: of the batches.
  RowFit(const FileLayout& layout, const arrow::Schema& load);

  struct Fitted {
    std::shared_ptr<arrow::RecordBatch> rows;  // of FileLayout::schema, without the refused ones
    std::vector<Refused> refused;
  };
  Result<Fitted> fit(const arrow::RecordBatch& batch) const;

  // Those that fit() refuses.
  Result<std::vector<Refused>> check(const arrow::RecordBatch& batch) override;

 private:
  Result<std::shared_ptr<arrow::Array>> fit_column(std::size_t column,
                                                   std::shared_ptr<arrow::Array> array,
                                                   std::vector<Refused>& refused) const;

  const Format format_;
  const std::shared_ptr<arrow::Schema> schema_;
  const std::vector<int> fields_;
  // Of the load, by column of the file: as it is read, and as a column of its own would hold it.
  std::vector<std::shared_ptr<arrow::Field>> plain_, held_;
};

}  // namespace tidegate::engine::file
