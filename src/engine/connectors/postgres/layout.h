#pragma once
// The destination's table: how it is, how it must be, and the steps between.

#include <arrow/type_fwd.h>

#include <string>
#include <vector>

#include "engine/connectors/postgres/connection.h"
#include "engine/connectors/postgres/target_types.h"
#include "engine/core/destination.h"

namespace tidegate::engine::postgres {

struct DestinationColumn {
  std::string name;
  TargetType type;
  bool operator==(const DestinationColumn&) const = default;
};

struct TableLayout {
  bool exists = false, partitioned = false;
  bool empty = true;
  std::string referenced_by;               // tables whose foreign keys refer to it, for people
  std::vector<DestinationColumn> columns;  // those that can be written
  std::vector<std::string> computed;       // by the database: GENERATED ALWAYS AS (…)
  std::vector<std::string> primary_key;
  std::string primary_key_name;                  // of the constraint
  std::vector<std::vector<std::string>> unique;  // indexes without a condition

  // nullptr: there is none. Names are compared letter by letter.
  const DestinationColumn* find(std::string_view name) const;
};

struct Place {
  std::string schema, table;
};

Result<TableLayout> read_layout(Connection& db, const Place& place);

// A plan that apply() carries out inside a transaction.
struct LayoutChange {
  std::vector<std::string> sentences;  // what will be done, for the run's record
  // Per field that is written: the destination's column, the type that its values arrive as, and
  // its index in the load's schema.
  std::vector<DestinationColumn> written;
  std::vector<TargetType> staged;
  std::vector<int> fields;
  std::vector<std::string> key;
  bool create = false, drop_primary_key = false, add_primary_key = false;
  std::vector<DestinationColumn> columns;  // of a new table
  std::vector<DestinationColumn> added, widened;
  bool operator==(const LayoutChange&) const = default;
};

// Invalid naming the column: a change that schema_change refuses, that no type can hold, or a name
// that the table cannot have.
Result<LayoutChange> plan_layout(const Place& place, const TableLayout& now, const LoadPlan& load);

// REQUIRES: a transaction.
Status apply_layout(Connection& db, const Place& place, const TableLayout& now,
                    const LayoutChange& change);

// The name, cut to what PostgreSQL keeps of one (63 bytes), told apart by a hash.
std::string short_name(std::string_view prefix, std::string_view name);

// A name for the primary key that Tidegate makes, which nothing else in the schema has: a table
// that was renamed keeps its key's.
Result<std::string> own_key_name(Connection& db, const Place& place);

// `"schema"."table"`.
std::string qualified(const Connection& db, const Place& place);
// `"a", "b"`.
std::string column_list(const Connection& db, const std::vector<std::string>& names);

}  // namespace tidegate::engine::postgres
