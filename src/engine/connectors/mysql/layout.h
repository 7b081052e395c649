#pragma once
// The destination's table: how it is, how it must be, and the steps between.

#include <arrow/type_fwd.h>

#include <string>
#include <vector>

#include "engine/connectors/mysql/connection.h"
#include "engine/connectors/mysql/target_types.h"
#include "engine/core/destination.h"

namespace tidegate::engine::mysql {

struct DestinationColumn {
  std::string name;
  TargetType type;
  bool not_null = false;
  bool fills_null = false;  // NULL becomes the next number, or (NOT NULL) the time of day
  bool exact = true;        // compares letter by letter, blanks at the end too
  bool settled = true;      // has no default or the like that a change of its type would lose
  bool operator==(const DestinationColumn&) const = default;
};

struct TableLayout {
  bool exists = false, empty = true;
  std::string referenced_by;               // tables whose foreign keys refer to it, for people
  std::vector<DestinationColumn> columns;  // those that can be written
  std::vector<std::string> generated;      // those that cannot
  std::vector<std::string> primary_key;
  bool own_key = false;                          // Tidegate made it
  std::vector<std::vector<std::string>> unique;  // indexes of whole columns

  // nullptr: there is none. Letters of either case are the same to MySQL.
  const DestinationColumn* find(std::string_view name) const;
};

// Invalid: it is no table of InnoDB's, so no transaction covers its rows.
Result<TableLayout> read_layout(Connection& db, const std::string& table);

struct LayoutChange {
  std::vector<std::string> sentences;  // what will be done, for the run's record
  // Per field that is written: the destination's column, the type that its values arrive as, and
  // its index in the load's schema.
  std::vector<DestinationColumn> written;
  std::vector<TargetType> staged;
  std::vector<int> fields;
  std::vector<std::string> key;
  bool create = false, drop_primary_key = false, add_primary_key = false;
  // The key waits until the old rows, which may not have it, are gone.
  bool key_last = false;
  std::vector<DestinationColumn> columns;  // of a new table
  std::vector<DestinationColumn> added, widened;
  std::vector<DestinationColumn> keyed;  // text that gets a length when the key is made

  // There is something to be done before the rows.
  bool changes_table() const {
    return create || drop_primary_key || (add_primary_key && !key_last) || !added.empty() ||
           !widened.empty();
  }
};

// Invalid naming the column: a change that schema_change refuses, that no type can hold, or a name
// that the table cannot have.
Result<LayoutChange> plan_layout(const std::string& table, const TableLayout& now,
                                 const LoadPlan& load);

// Each statement commits by itself. REQUIRES: no transaction.
Status apply_layout(Connection& db, const std::string& table, const TableLayout& now,
                    const LayoutChange& change);
Status add_key(Connection& db, const std::string& table, const LayoutChange& change);

// `name type COLLATE …`, as it stands in CREATE TABLE.
std::string definition(const Connection& db, const std::string& name, const TargetType& type);
// "`a`, `b`".
std::string column_list(const Connection& db, const std::vector<std::string>& names);

// The name, cut to what MySQL takes (64 characters), told apart by a hash.
std::string short_name(std::string_view name);

}  // namespace tidegate::engine::mysql
