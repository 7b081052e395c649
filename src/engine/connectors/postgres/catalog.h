#pragma once
// What a PostgreSQL database holds, asked of its catalog in a few statements whatever the number of
// its tables.

#include <map>
#include <string>
#include <vector>

#include "engine/connectors/postgres/connection.h"
#include "engine/connectors/postgres/types.h"
#include "engine/core/catalog.h"

namespace tidegate::engine::postgres {

struct TableColumn {
  std::string name;
  ColumnType type;
};

// A table, partitioned table, view, materialized view or foreign table.
struct Relation {
  std::int64_t oid = 0;
  std::string schema, name;
  std::vector<TableColumn> columns;
  std::vector<std::string> hidden;  // those of them that the user may not read
  std::string grant;                // what lets him
};

struct Found {
  Catalog catalog;
  std::map<std::string, Relation, std::less<>> tables;  // by entity
};

// Entities are `name` for tables of the schema public and `schema.name` for others. A table that
// the user may not read is a bad entity that says what to GRANT; one of which he may read some
// columns can be read without the others.
Result<Found> read_catalog(Connection& db, const std::vector<std::string>& schemas,
                           const Wanted& wanted);

}  // namespace tidegate::engine::postgres
