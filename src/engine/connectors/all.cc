#include "engine/connectors/all.h"

#include <array>

#include "engine/connectors/duckdb/duckdb.h"
#include "engine/connectors/file/file_connector.h"
#include "engine/connectors/mongodb/mongodb.h"
#include "engine/connectors/mysql/mysql.h"
#include "engine/connectors/postgres/postgres.h"
#include "engine/connectors/sqlite/sqlite.h"

namespace tidegate::engine {

std::span<const Connector* const> all_connectors() {
  static const std::array<const Connector*, 6> kAll{&duckdb_connector(),   &file_connector(),
                                                    &mongodb_connector(),  &mysql_connector(),
                                                    &postgres_connector(), &sqlite_connector()};
  return kAll;
}

}  // namespace tidegate::engine
