#include "control/model/connector_facts.h"

#include <fmt/format.h>

namespace tidegate::model {

using protocol::SyncMode;

// The engine's Destination::has_keys().
std::vector<FieldError> destination_problems(const JobSpec& job, std::string_view name,
                                             std::string_view type) {
  std::vector<FieldError> problems;
  if (!writes_folder(type)) return problems;
  if (job.mode == SyncMode::Incremental) {
    problems.push_back(
        {"syncMode",
         fmt::format("incremental puts rows in the place of older ones, which the destination "
                     "\"{}\" ({}) cannot; use full, full_append or incremental_append, or choose a "
                     "database as destination",
                     name, type),
         {}});
  }
  if (job.mode != SyncMode::Full) return problems;
  for (const auto& [entity, options] : job.entities) {
    if (options.primary_key.empty()) continue;
    problems.push_back(
        {fmt::format("entities[\"{}\"].primaryKey", entity),
         fmt::format("of rows that share a key full keeps one, which the destination \"{}\" ({}) "
                     "cannot; leave the primary key out, or choose a database as destination",
                     name, type),
         {}});
  }
  return problems;
}

}  // namespace tidegate::model
