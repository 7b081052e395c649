#pragma once
// The destination's table: how it is, how it must be, and the steps between.

#include <arrow/type_fwd.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/connectors/duckdb/db.h"
#include "engine/connectors/duckdb/types.h"
#include "engine/core/destination.h"

namespace tidegate::engine::duckdb {

struct TableColumn {
  std::string name;
  ColumnType type;
  bool not_null = false;
  bool operator==(const TableColumn&) const = default;
};

struct TableLayout {
  bool exists = false;
  bool empty = true;
  // It has constraints, indexes, defaults, collations or comments, which a new table in its place
  // would lose.
  bool own_rules = false;
  std::vector<TableColumn> columns;  // those that can be written

  // nullptr: there is none. Names are compared as DuckDB does, without case.
  const TableColumn* find(std::string_view name) const;
};

Result<TableLayout> read_layout(Db& db, const std::string& table);

// A plan that apply() carries out inside a transaction.
struct LayoutChange {
  std::vector<std::string> sentences;  // what will be done, for the run's record
  // Per field that is written: the table's column, the type in which its values arrive, and its
  // index in the load's schema.
  std::vector<TableColumn> written;
  std::vector<ColumnType> handed;
  std::vector<int> fields;
  bool create = false;
  std::vector<TableColumn> columns;  // all of the table, as they will be
  std::vector<TableColumn> added, widened;
};

// Invalid naming the column: a change that schema_change refuses, that no type can hold, or a name
// that the table cannot have.
Result<LayoutChange> plan_layout(const std::string& table, const TableLayout& now,
                                 const LoadPlan& load);

// REQUIRES: a transaction.
Status apply_layout(Db& db, const std::string& table, const LayoutChange& change);
Status create_table(Db& db, const std::string& table, const std::vector<TableColumn>& columns);

// DuckDB's way to compare names.
bool same_name(std::string_view a, std::string_view b);

}  // namespace tidegate::engine::duckdb
