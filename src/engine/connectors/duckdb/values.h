#pragma once
// Batches as DuckDB takes them: which values have no form there, and the others in the Arrow types
// that are handed over. DuckDB itself does not ask: it rounds nanoseconds, lets decimals have more
// digits than their column, and takes some numbers for infinity.

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/destination.h"

namespace tidegate::engine::duckdb {

struct Handed {
  std::shared_ptr<arrow::RecordBatch> rows;  // all of them; columns c0, c1, …
  std::vector<RowCheck::Refused> refused;    // ascending; their values in `rows` mean nothing
};

// Used by one thread.
class Values {
 public:
  // `fields`: those of the schema that are written. Unsupported, naming the column.
  static Result<Values> make(const arrow::Schema& schema, const std::vector<int>& fields);

  // Of handed batches.
  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  Result<Handed> hand(const arrow::RecordBatch& batch) const;

 private:
  std::vector<int> fields_;
  std::vector<std::string> names_;
  std::shared_ptr<arrow::Schema> schema_;
};

}  // namespace tidegate::engine::duckdb
