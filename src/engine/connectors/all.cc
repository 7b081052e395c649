#include "engine/connectors/all.h"

#include <array>

#include "engine/connectors/file/file_connector.h"
#include "engine/connectors/mongodb/mongodb.h"
#include "engine/connectors/postgres/postgres.h"
#include "engine/connectors/sqlite/sqlite.h"

namespace tidegate::engine {

std::span<const Connector* const> all_connectors() {
  static const std::array<const Connector*, 4> kAll{&file_connector(), &mongodb_connector(),
                                                    &postgres_connector(), &sqlite_connector()};
  return kAll;
}

}  // namespace tidegate::engine
