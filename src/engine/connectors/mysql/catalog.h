#pragma once
// What a database holds, asked of information_schema in a few statements whatever the number of its
// tables.

#include <map>
#include <string>
#include <vector>

#include "engine/connectors/mysql/connection.h"
#include "engine/connectors/mysql/types.h"
#include "engine/core/catalog.h"

namespace tidegate::engine::mysql {

struct TableColumn {
  std::string name;
  ColumnType type;
};

struct Found {
  Catalog catalog;
  std::map<std::string, std::vector<TableColumn>, std::less<>> tables;  // by entity
};

// Entities are the tables and views that the user may see, called as they are.
Result<Found> read_catalog(Connection& db, const Wanted& wanted);

// table.column of every column that a check constraint json_valid() makes JSON. `table`: "": all.
Result<std::vector<std::string>> json_columns(Connection& db, const std::string& table);

}  // namespace tidegate::engine::mysql
