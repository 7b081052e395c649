#include "engine/connectors/all.h"

#include <array>

#include "engine/connectors/sqlite/sqlite.h"

namespace tidegate::engine {

std::span<const Connector* const> all_connectors() {
  static const std::array<const Connector*, 1> kAll{&sqlite_connector()};
  return kAll;
}

}  // namespace tidegate::engine
