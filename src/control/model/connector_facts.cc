#include "control/model/connector_facts.h"

#include <fmt/format.h>

namespace tidegate::model {

// The engine's Destination::has_keys().
std::string mode_problem(protocol::SyncMode mode, std::string_view name, std::string_view type) {
  if (mode != protocol::SyncMode::Incremental || !writes_folder(type)) return "";
  return fmt::format(
      "incremental puts rows in the place of older ones, which the destination \"{}\" ({}) cannot; "
      "use full, full_append or incremental_append, or choose a database as destination",
      name, type);
}

}  // namespace tidegate::model
