#pragma once
// A source in memory whose rows and faults a test decides. Also the rows' model: what a destination
// must hold in the end.

#include <arrow/type_fwd.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/core/source.h"

namespace tidegate::engine::contract {

struct ScriptedEntity {
  std::shared_ptr<arrow::Schema> schema;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  std::vector<std::string> primary_key;
  bool ordered = false;                       // claims and keeps the cursor's order
  std::vector<RejectedRow> rejected;          // come with the first batch
  std::function<Status(int batch)> on_batch;  // before each batch; an error ends the read
};

// Sends every row, whatever bounds are asked for: the engine must cope with a superset.
class ScriptedSource final : public Source {
 public:
  std::map<std::string, ScriptedEntity> entities;
  std::string name = "scripted";

  std::string identity() const override { return name; }
  Status check() override { return {}; }
  Result<Catalog> discover(const Wanted& wanted) override;
  Result<std::unique_ptr<Reader>> open(const ReadParams& params,
                                       const Partition& partition) override;
};

// A batch from JSON rows (arrow's own test notation): `[[1, "a"], [2, null]]`.
std::shared_ptr<arrow::RecordBatch> batch_of(const std::shared_ptr<arrow::Schema>& schema,
                                             const std::string& json_rows);

// Every row as text that is equal for equal values, sorted: `id=1|name=a`. NULL is `∅`.
std::vector<std::string> row_texts(const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches,
                                   const std::vector<std::string>& columns);

// All rows of an entity of any source.
Result<std::vector<std::shared_ptr<arrow::RecordBatch>>> read_everything(Source& source,
                                                                         const std::string& entity);

}  // namespace tidegate::engine::contract
